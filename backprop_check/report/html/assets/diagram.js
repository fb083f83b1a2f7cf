// The network of a case: neurons as circles in layers, weights as lines, what is wrong by colour and by shape.
const FOLD = 9, LINES = 500, R = 23, GAP = 74;

class Diagram {
  constructor(net, state, select) {
    this.net = net;
    this.state = state; // {l, p, s, show}
    this.select = select;
    this.unfolded = new Set();
    this.canvas = h('div.canvas');
    this.notes = h('div.legend');
    this.node = h('div.diagram', this.canvas, this.notes);
    this.draw();
  }
  // The positions of a layer that are drawn: the wrong ones always, then the first.
  drawn(l) {
    const n = this.net.list(l).length;
    if (n <= FOLD + 1 || this.unfolded.has(l)) return range(n);
    const order = range(n).sort((a, b) => this.rank(l, a) - this.rank(l, b) || a - b);
    const keep = new Set(order.slice(0, FOLD));
    if (this.state.l === l && this.state.p !== null) keep.add(this.state.p);
    range(n).filter((p) => 'ri'.includes(this.net.state(l, p))).slice(0, 3 * FOLD).forEach((p) => keep.add(p));
    return range(n).filter((p) => keep.has(p));
  }
  rank(l, p) { return 'riu'.includes(this.net.state(l, p)) ? 'riu'.indexOf(this.net.state(l, p)) : 3; }

  draw() {
    const {net, state} = this, columns = range(net.depth + 1).map((n) => n - 1);
    this.places = new Map();
    const lists = columns.map((l) => this.drawn(l));
    const rests = columns.map((l, c) => net.width(l) - lists[c].length);
    const tallest = Math.max(...lists.map((list, c) => list.length + (rests[c] ? 1 : 0)));
    const gap = tallest > 7 ? 62 : tallest > 4 ? 68 : GAP, top = 74, height = top + tallest * gap + 18;
    const COLUMN = [128, 112, 100][Math.max(0, Math.min(2, columns.length - 3))], width = 46 + net.depth * COLUMN + 104 + 46;
    lists.forEach((list, c) => {
      const rows = list.length + (rests[c] ? 1 : 0), from = top + (tallest - rows) * gap / 2 + gap / 2;
      list.forEach((p, n) => this.places.set(`${c - 1}:${p}`, [46 + c * COLUMN, from + n * gap]));
      if (rests[c]) this.places.set(`${c - 1}:rest`, [46 + c * COLUMN, from + list.length * gap]);
    });
    const lines = svg('g', {'aria-hidden': 'true'}), nodes = svg('g');
    let hidden = false;
    for (let l = 0; l < net.depth; l++) {
      const pairs = lists[l].length * lists[l + 1].length;
      if (pairs > LINES / net.depth) hidden = true;
      this.lines(lines, l, lists, pairs > LINES / net.depth);
    }
    const lastX = 46 + net.depth * COLUMN;
    lists.forEach((list, c) => {
      const l = c - 1, x = 46 + c * COLUMN;
      nodes.append(svg('text', {class: 'head', x, y: 24}, capped(net.layerName(l), 13), svg('title', {}, net.layerName(l))),
        svg('text', {class: 'sub', x, y: 42}, l < 0 ? count(net.width(l), 'number') : INDEX.formulas.activations[net.d.layers[l].act].name),
        svg('text', {class: 'sub', x, y: 58}, l < 0 ? '' : count(net.width(l), 'neuron')));
      list.forEach((p) => nodes.append(this.neuron(l, p)));
      if (rests[c]) nodes.append(this.rest(l, rests[c], net.list(l).length > list.length));
    });
    this.outcome(nodes, lists[net.depth], lastX);
    const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, width, height, role: 'group',
      'aria-label': `The network: ${net.d.inputs} inputs, ${net.d.layers.map((layer, l) => `${layer.units} neurons in ${net.names[l]}`).join(', ')}. Arrow keys go from neuron to neuron.`}, lines, nodes);
    picture.style.minWidth = Math.min(width, 60 + columns.length * 72) + 'px';
    picture.style.maxWidth = width * 1.25 + 'px';
    fill(this.canvas, picture);
    fill(this.notes, this.legend(hidden));
    this.picture = picture;
    this.wide = width;
    this.reveal();
  }
  lines(group, l, lists, many) {
    const {net, state} = this, drawn = [];
    const most = Math.max(...net.d.layers[l].W.map(Math.abs), 1e-300);
    for (const p of lists[l + 1]) {
      for (const i of lists[l]) {
        const mine = (state.l === l && state.p === p) || (state.l === l - 1 && state.p === i);
        if (many && !mine) continue;
        const v = net.value('weight_gradient', l, p, i);
        const bad = v && 'riu'.includes(v.state) ? v.state : null;
        drawn.push([mine ? 2 : bad ? 1 : 0, p, i, v, bad, mine]);
      }
    }
    drawn.sort((a, b) => a[0] - b[0]);
    for (const [, p, i, v, bad, mine] of drawn) {
      const [x1, y1] = this.places.get(`${l - 1}:${i}`), [x2, y2] = this.places.get(`${l}:${p}`);
      const w = net.weight(l, p, i), kinds = ['line'];
      if (bad) kinds.push('e-' + name(bad));
      if (mine) kinds.push('mine');
      const line = svg('line', {class: kinds.join(' '), x1: x1 + R, y1, x2: x2 - R, y2, 'stroke-width': (0.8 + 2.6 * Math.abs(w) / most).toFixed(2)},
        svg('title', {}, `weight from ${net.label(l - 1, i)} into ${net.label(l, p)}: ${digits(w, 6)}` + (v && v.g !== null ? `\ngradient expected ${digits(v.e, 7)}, got ${digits(v.g, 7)}` : '')));
      line.addEventListener('click', () => this.select(l, p));
      group.append(line);
      if (mine && state.l === l && lists[l].length <= 5 && !many) {
        const t = 0.36;
        group.append(svg('text', {class: 'w', x: x1 + R + (x2 - x1 - 2 * R) * t, y: y1 + (y2 - y1) * t - 5}, digits(w, 3)));
      }
    }
  }
  neuron(l, p) {
    const {net, state} = this, [x, y] = this.places.get(`${l}:${p}`), status = net.state(l, p);
    const chosen = state.l === l && state.p === p;
    const node = svg('g', {class: `neuron ${l < 0 && status === '?' ? 'plain' : 's-' + name(status)}${chosen ? ' chosen' : ''}`, transform: `translate(${x},${y})`});
    const shape = l < 0 ? svg('rect', {class: 'body', x: -R, y: -R + 5, width: 2 * R, height: 2 * R - 10, rx: 7}) : svg('circle', {class: 'body', r: R});
    let v = null, text;
    if (l < 0) text = circled(net.input(state.s, p));
    else { v = net.value(state.show, l, state.s, p); text = circled(v.g ?? v.e); }
    const hit = svg('g', {}, chosen ? svg('circle', {class: 'halo', r: R + 7}) : null, status === 'r' ? svg('circle', {class: 'ring', r: R + 3.5}) : null, shape);
    node.append(hit, svg('text', {class: 'value' + (v && 'riu'.includes(v.state) ? ' off' : '') + (v && v.g === null ? ' untold' : ''), y: 4}, text));
    if ('riu'.includes(status)) {
      node.append(svg('circle', {class: 'badge', cx: R - 4, cy: -R + 4, r: 9}), svg('text', {class: 'sign', x: R - 4, y: -R + 8}, STATES[status].sign));
    }
    node.append(svg('text', {class: 'index', x: 0, y: R + 13}, l < 0 ? `x${sub(net.neuron(l, p))}` : String(net.neuron(l, p))));
    if (l >= 0) {
      for (const each of node.querySelectorAll('text')) each.setAttribute('aria-hidden', 'true');
      build(hit, {role: 'button', tabindex: chosen ? 0 : -1, 'aria-pressed': String(chosen), 'data-l': l, 'data-p': p,
        'aria-label': `${net.label(l, p)}, ${STATES[status].words}, ${state.show} ${text}`});
      node.addEventListener('click', () => this.select(l, p));
      hit.addEventListener('keydown', (event) => this.key(event, l, p));
    }
    return node;
  }
  rest(l, n, can) {
    const {net} = this, [x, y] = this.places.get(`${l}:rest`);
    const wrong = net.wrongOf(l) - this.drawn(l).filter((p) => 'riu'.includes(net.state(l, p))).length;
    const node = svg('g', {class: 'more', transform: `translate(${x},${y})`}, svg('text', {y: 0}, `… ${n.toLocaleString('en')} more`),
      svg('text', {class: 'sub', y: 17}, wrong > 0 ? `${wrong} of them wrong` : can ? 'unfold' : ''));
    if (can) {
      const open = () => { this.unfolded.add(l); this.draw(); };
      build(node, {role: 'button', tabindex: 0});
      node.addEventListener('click', open);
      node.addEventListener('keydown', (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); open(); } });
    }
    return node;
  }
  outcome(nodes, outputs, lastX) { // targets, and the loss
    const {net, state} = this, x = lastX + 104;
    nodes.append(svg('text', {class: 'head', x, y: 24}, 'target'));
    outputs.forEach((p) => {
      const [, y] = this.places.get(`${net.depth - 1}:${p}`);
      nodes.append(svg('line', {class: 'line plain', x1: lastX + R + 3, y1: y, x2: x - R, y2: y}),
        svg('rect', {class: 'target', x: x - R, y: y - R + 7, width: 2 * R, height: 2 * R - 14, rx: 3}),
        svg('text', {class: 'value', x, y: y + 4}, circled(net.target(state.s, p))));
    });
    const loss = net.value('loss', null);
    nodes.append(svg('text', {class: 'sub' + ('riu'.includes(loss.state) ? ' off' : ''), x, y: 42}, `loss ${digits(loss.g ?? loss.e, 4)}`),
      svg('text', {class: 'sub', x, y: 58}, 'riu'.includes(loss.state) ? `✕ not ${digits(loss.e, 4)}` : ''));
  }
  key(event, l, p) {
    const step = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]}[event.key];
    if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); this.select(l, p, true); return; }
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [dl, dp] = step, layer = Math.max(0, Math.min(this.net.depth - 1, l + dl)), list = this.drawn(layer);
    let n;
    if (dl) n = Math.round(this.drawn(l).indexOf(p) / Math.max(1, this.drawn(l).length - 1) * (list.length - 1)) || 0;
    else n = Math.max(0, Math.min(list.length - 1, list.indexOf(p) + dp));
    this.select(layer, list[n], true);
  }
  reveal() { // a large network scrolls to the chosen neuron
    const box = this.canvas, [x, y] = this.places.get(`${this.state.l}:${this.state.p}`) || [0, 0], scale = this.picture.clientWidth / this.wide;
    if (x * scale < box.scrollLeft + 60 || x * scale > box.scrollLeft + box.clientWidth - 60) box.scrollLeft = x * scale - box.clientWidth / 2;
    if (y * scale < box.scrollTop + 50 || y * scale > box.scrollTop + box.clientHeight - 50) box.scrollTop = y * scale - box.clientHeight / 2;
  }
  focus() { this.node.querySelector('.chosen [role]')?.focus(); }
  legend(hidden) {
    const swatch = (state) => h(`span.key`, svg('svg', {viewBox: '-16 -16 32 32', width: 22, height: 22, 'aria-hidden': 'true', class: 'neuron s-' + name(state)},
      state === 'r' ? svg('circle', {class: 'ring', r: 13.5}) : null, svg('circle', {class: 'body', r: 10}), 'riu'.includes(state) ? svg('text', {class: 'legend-sign', y: 4}, STATES[state].sign) : null),
    STATES[state].term ? term(STATES[state].term, STATES[state].words) : STATES[state].words);
    const used = new Set(this.net.d.status.slice(1).join('')), edges = new Set(this.net.d.layers.flatMap((_, l) => this.net.slot(`weight_gradient.${l}`).states));
    const stroke = (state) => h('span.key', svg('svg', {viewBox: '0 0 30 10', width: 30, height: 10, 'aria-hidden': 'true'}, svg('line', {class: 'line e-' + name(state), x1: 0, y1: 5, x2: 30, y2: 5, 'stroke-width': 3})),
      {r: 'wrong gradient, root', i: 'wrong gradient, inherited', u: 'wrong gradient'}[state]);
    return [['r', 'i', 'u', '.', '?'].filter((state) => used.has(state)).map(swatch), ['r', 'i', 'u'].filter((state) => edges.has(state)).map(stroke),
      h('span.key', h('span.hint', hidden ? 'Only the selected neuron’s weights are drawn.' : 'A thicker line is a larger weight.'))];
  }
}
const capped = (text, n) => text.length > n ? text.slice(0, n - 1) + '…' : text;
// A number short enough for a circle.
function circled(x) {
  for (const n of [3, 2, 1]) { const text = digits(x, n); if (text.length <= (n > 1 ? 6 : 99)) return text; }
}
const sub = (n) => String(n).replace(/\d/g, (c) => '₀₁₂₃₄₅₆₇₈₉'[c]);
