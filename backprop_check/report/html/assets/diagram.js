// The network of a case: a column a layer. What is a row of neurons is drawn as circles, the weights between two rows as
// lines; an image is a grid a channel, a sequence a grid with a column a step; other parameters are grids below.
const FOLD = 9, LINES = 500, R = 23, EDGES = [[3, 34], [5, 27], [8, 20], [14, 14], [28, 9]], TALL = 460, SKIP = 22;
const sub = (n) => String(n).replace(/\d/g, (c) => '₀₁₂₃₄₅₆₇₈₉'[c]);
// A number short enough for a circle.
function circled(x) {
  for (const n of [3, 2, 1]) { const text = digits(x, n); if (text.length <= (n > 1 ? 6 : 99)) return text; }
}

// A row of neurons: the wrong ones always, then the first.
class Row {
  constructor(diagram, l) {
    const {net, state} = diagram, sheet = net.sheets[l], n = sheet.list.length, target = sheet.title === 't';
    Object.assign(this, {l, sheet, drawn: range(n), width: 2 * R});
    if (n > FOLD + 1 && !diagram.unfolded.has(l)) {
      const rank = (p) => { const at = 'riu'.indexOf(net.state(l, p)); return at < 0 ? 3 : at; };
      const keep = new Set(range(n).sort((a, b) => rank(a) - rank(b) || a - b).slice(0, FOLD));
      if (state.l === l) keep.add(state.p);
      range(n).filter((p) => 'ri'.includes(net.state(l, p))).slice(0, 3 * FOLD).forEach((p) => keep.add(p));
      if (!target) this.drawn = range(n).filter((p) => keep.has(p));
    }
    this.rest = sheet.units - this.drawn.length;
  }
  get rows() { return this.drawn.length + (this.rest ? 1 : 0); }
  height(gap) { return this.rows * gap; }
  spot(n, gap) { return [R, n * gap + gap / 2 - 6]; }
}

// Grids of squares, one below the other; of many some are drawn, those with something wrong first.
class Grids {
  constructor(diagram, l) {
    const {net} = diagram, sheet = net.sheets[l], n = sheet.shape.length;
    let [rows, columns] = n === 0 ? [1, 1] : n === 1 ? [Math.min(sheet.shape[0], 14), Math.ceil(sheet.shape[0] / 14)] : n === 2 ? (sheet.step ? [sheet.shape[1], sheet.shape[0]] : sheet.shape) : sheet.shape.slice(-2);
    const place = (unit) => n < 2 || (n === 2 && sheet.step) ? [0, unit % rows, Math.floor(unit / rows)] : [Math.floor(unit / (rows * columns)), Math.floor(unit / columns) % rows, unit % columns];
    const keep = (n) => [...new Set(sheet.list.map((unit) => place(unit)[n]))].sort((a, b) => a - b), kept = sheet.shown ? [keep(1), keep(2)] : null;
    this.spots = new Map(sheet.list.map((unit) => { const [g, r, c] = place(unit); return [unit, kept ? [g, kept[0].indexOf(r), kept[1].indexOf(c)] : [g, r, c]]; })); // rows and columns that are not in the page take no room
    if (kept) [rows, columns] = [kept[0].length, kept[1].length];
    const most = Math.max(rows, columns), big = (EDGES.find(([size]) => most <= size) || [0, 5])[1], edge = sheet.wire ? Math.max(5, Math.round(big * 0.6)) : big;
    const grids = [...new Set(sheet.list.map((unit) => this.spots.get(unit)[0]))], across = sheet.wire && n === 4 && sheet.shape[1] * columns * edge < 200 ? sheet.shape[1] : 1;
    const room = Math.max(2, Math.floor((sheet.wire ? TALL / 3 : TALL) / (rows * edge + 8))) * across;
    let drawn = grids;
    if (grids.length > room && !diagram.unfolded.has(l)) {
      const chosen = diagram.state.l === l ? this.spots.get(net.unit(l, diagram.state.p))[0] : -1;
      const bad = new Set(sheet.list.filter((_, p) => 'riu'.includes(net.state(l, p))).map((unit) => this.spots.get(unit)[0]));
      const rank = (g) => g === chosen ? 0 : bad.has(g) ? 1 : 2;
      drawn = grids.slice().sort((a, b) => rank(a) - rank(b) || a - b).slice(0, room).sort((a, b) => a - b);
    }
    const hidden = grids.length - drawn.length;
    Object.assign(this, {l, sheet, rows, columns, edge, drawn, across, hidden, width: across * (columns * edge + (across > 1 ? 6 : 0)), tall: Math.ceil(drawn.length / across) * (rows * edge + 8) + (hidden ? SKIP : 0)});
  }
  height() { return this.tall + 20; }
  corner(i) { return [(i % this.across) * (this.columns * this.edge + 6), Math.floor(i / this.across) * (this.rows * this.edge + 8)]; }
  spot(unit) {
    const [g, r, c] = this.spots.get(unit), i = this.drawn.indexOf(g);
    if (i < 0) return null;
    const [x, y] = this.corner(i);
    return [x + c * this.edge, y + r * this.edge];
  }
}

class Diagram {
  constructor(net, state, select) {
    Object.assign(this, {net, state, select, unfolded: new Set()}); // state: {l, p, s, show}
    this.canvas = h('div.canvas', {tabindex: '0', role: 'group', 'aria-label': `The network: ${net.sheets.filter((sheet) => !sheet.wire && sheet.title !== 't').map((sheet) => `${net.d.nodes[sheet.node].name} ${sheet.shape.join(' by ')}`).join(', ')}. Arrow keys go from neuron to neuron, Page Up and Page Down from grid to grid.`});
    this.notes = h('div.legend');
    this.node = h('div.diagram', this.canvas, this.notes);
    this.canvas.addEventListener('click', (event) => this.click(event));
    this.canvas.addEventListener('keydown', (event) => this.key(event));
    this.draw();
  }
  // The weights of a layer that are drawn as lines, if they are: then its parameters are not drawn as grids.
  lined(n) { return this.net.sheets.findIndex((sheet) => sheet.node === n && sheet.reads !== undefined); }
  shows({sheet}) { return sheet.of === undefined || this.lined(sheet.node) < 0; }
  draw() {
    const {net} = this, nodes = [...net.d.nodes, ...(net.sheets.at(-1).title === 't' ? [{name: 'target', about: '', from: []}] : [])];
    this.glyphs = net.sheets.map((sheet, l) => !sheet.wire && sheet.shape.length === 1 ? new Row(this, l) : new Grids(this, l));
    const columns = nodes.map((_, n) => this.glyphs.filter((own) => own.sheet.node === n && this.shows(own)));
    const units = columns.map((list) => list.filter((own) => !own.sheet.wire)), rest = columns.map((list) => list.filter((own) => own.sheet.wire));
    const tallest = Math.max(...this.glyphs.filter((own) => own instanceof Row).map((own) => own.rows), 0), gap = tallest > 7 ? 62 : tallest > 4 ? 68 : 74;
    const heights = units.map((list) => list.reduce((sum, own) => sum + own.height(gap), 0)), below = Math.max(...rest.map((list) => list.reduce((sum, own) => sum + own.height() + 2, 0)));
    const skips = nodes.some((node, n) => node.from.some((from) => from < n - 1)) ? 30 : 0, top = 68, inner = Math.max(...heights), height = top + inner + skips + below + 16;
    const apart = [82, 66, 54][Math.max(0, Math.min(2, net.d.nodes.length - 3))], group = svg('g'), lines = svg('g', {'aria-hidden': 'true'});
    const widths = columns.map((list, n) => Math.max(...list.map((own) => own instanceof Row ? own.width : Math.max(own.width, 6.4 * this.caption(own, list).length)), 7 * Math.min(nodes[n].name.length, 13), 5.6 * Math.min(nodes[n].about.length, 18)));
    let x = 18;
    const lefts = widths.map((wide, n) => { const at = x; x += wide + (nodes[n + 1] && (this.lined(n + 1) >= 0 || n === net.d.nodes.length - 1) ? apart : nodes.length > 5 ? 34 : 48); return at; });
    this.places = new Map();
    this.hidden = false;
    columns.forEach((list, n) => {
      const centre = lefts[n] + widths[n] / 2;
      group.append(svg('text', {class: 'head', x: centre, y: 22}, capped(nodes[n].name, 14), svg('title', {}, nodes[n].name)), svg('text', {class: 'sub', x: centre, y: 40}, capped(nodes[n].about, 18), svg('title', {}, nodes[n].about)));
      let y = top + (inner - heights[n]) / 2, under = top + inner + skips + 18;
      for (const own of list) {
        const left = centre - own.width / 2, at = own.sheet.wire ? under : y;
        if (own instanceof Row) this.row(group, own, left, at, gap, centre); else this.grids(group, own, left, at + 16, this.caption(own, list));
        if (own.sheet.wire) under += own.height() + 2; else y += own.height(gap);
      }
    });
    const middle = top + inner / 2 + 4;
    nodes.forEach((node, n) => node.from.forEach((from) => {
      if (this.lined(n) >= 0) this.lines(lines, this.lined(n));
      else if (from === n - 1) lines.append(svg('path', {class: 'arrow', d: `M${lefts[from] + widths[from] + 6} ${middle}H${lefts[n] - 6}m-6-4l6 4l-6 4`}));
      else { const [a, b, y] = [lefts[from] + widths[from] / 2, lefts[n] + widths[n] / 2, top + inner + 4]; lines.append(svg('path', {class: 'arrow', d: `M${a} ${y}C${a} ${y + skips} ${b} ${y + skips} ${b} ${y}m-4 6l4-6l4 6`})); }
    }));
    if (nodes.length > net.d.nodes.length) this.outcome(group, lines, lefts.at(-1) + widths.at(-1) / 2);
    const width = x - (nodes.length > 5 ? 34 : 48) + 18, picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, width, height}, lines, group);
    picture.style.minWidth = (net.d.neurons ? Math.min(width, 60 + nodes.length * 72) : width * 0.8) + 'px';
    picture.style.maxWidth = width * 1.25 + 'px';
    Object.assign(this, {picture, wide: width});
    fill(this.canvas, picture);
    fill(this.notes, this.legend());
    this.reveal();
  }
  caption(own, list) { return `${own.sheet.wire || list.filter((other) => !other.sheet.wire).length > 1 ? own.sheet.title + ' ' : ''}${own.sheet.shape.join(' × ')}`; }
  key_of(sheet) { return sheet.wire ? sheet.keys[0] : sheet.keys.find((one) => one.startsWith(this.state.show + '.')) || sheet.keys[0]; }
  row(group, own, left, top, gap, centre) {
    const {net} = this, {l, sheet} = own;
    if (sheet.title !== 't') group.append(svg('text', {class: 'sub', x: centre, y: net.d.nodes[sheet.node].about ? 56 : 40}, count(sheet.units, sheet.names[0] === 'neuron' ? 'neuron' : 'number')));
    own.drawn.forEach((p, n) => {
      const [x, y] = own.spot(n, gap), at = [left + x, top + y];
      this.places.set(`${l}:${p}`, at);
      group.append(sheet.title === 't' ? svg('g', {}, svg('rect', {class: 'target', x: at[0] - R, y: at[1] - R + 7, width: 2 * R, height: 2 * R - 14, rx: 3}), svg('text', {class: 'value', x: at[0], y: at[1] + 4}, circled(net.given(this.state.s, l, p)))) : this.neuron(own, p, at));
    });
    if (own.rest) group.append(this.rest(own, [centre, top + own.spot(own.drawn.length, gap)[1]]));
  }
  neuron({l, sheet}, p, [x, y]) {
    const {net, state} = this, status = net.state(l, p), chosen = state.l === l && state.p === p;
    const node = svg('g', {class: `neuron ${!sheet.node && status === '?' ? 'plain' : 's-' + name(status)}${chosen ? ' chosen' : ''}`, transform: `translate(${x},${y})`});
    const shape = sheet.node ? svg('circle', {class: 'body', r: R}) : svg('rect', {class: 'body', x: -R, y: -R + 5, width: 2 * R, height: 2 * R - 10, rx: 7});
    const v = sheet.node ? net.value(this.key_of(sheet), state.s, l, p) : null, text = circled(v ? v.g ?? v.e : net.given(state.s, l, p));
    const hit = svg('g', {role: 'button', tabindex: chosen ? 0 : -1, 'aria-pressed': String(chosen), 'data-l': l, 'data-p': p, 'data-at': net.address(l, p), 'aria-label': `${net.label(l, p)}, ${STATES[status].words}, ${sheet.node ? state.show : 'x'} ${text}`},
      chosen ? svg('circle', {class: 'halo', r: R + 7}) : null, status === 'r' ? svg('circle', {class: 'ring', r: R + 3.5}) : null, shape);
    node.append(hit, svg('text', {class: 'value' + (v && 'riu'.includes(v.state) ? ' off' : '') + (v && v.g === null ? ' untold' : ''), y: 4}, text));
    if ('riu'.includes(status)) node.append(svg('circle', {class: 'badge', cx: R - 4, cy: -R + 4, r: 9}), svg('text', {class: 'sign', x: R - 4, y: -R + 8}, STATES[status].sign));
    node.append(svg('text', {class: 'index', x: 0, y: R + 13}, sheet.node ? String(net.unit(l, p)) : `x${sub(net.unit(l, p))}`));
    for (const each of node.querySelectorAll('text')) each.setAttribute('aria-hidden', 'true');
    return node;
  }
  rest(own, [x, y]) {
    const {net} = this, {l, sheet} = own, can = sheet.list.length > own.drawn.length;
    const wrong = sheet.bad - own.drawn.filter((p) => 'riu'.includes(net.state(l, p))).length;
    return svg('g', {class: 'more', transform: `translate(${x},${y})`, ...(can ? {role: 'button', tabindex: 0, 'data-unfold': l} : {})}, svg('text', {y: 0}, `… ${own.rest.toLocaleString('en')} more`), svg('text', {class: 'sub', y: 17}, wrong > 0 ? `${wrong} of them wrong` : can ? 'unfold' : ''));
  }
  lines(group, w) {
    const {net, state} = this, sheet = net.sheets[w], [into, from] = [this.glyphs[sheet.of], this.glyphs[sheet.reads]], columns = sheet.shape[1], drawn = [];
    const most = Math.max(...sheet.given.map(Math.abs), 1e-300), spots = new Map(sheet.list.map((unit, k) => [unit, k]));
    const many = into.drawn.length * from.drawn.length > LINES / net.d.nodes.length;
    this.hidden ||= many;
    for (const p of into.drawn) {
      for (const i of from.drawn) {
        const k = spots.get(net.unit(sheet.of, p) * columns + net.unit(sheet.reads, i));
        const mine = (state.l === sheet.of && state.p === p) || (state.l === sheet.reads && state.p === i) || (state.l === w && state.p === k);
        if (k === undefined || (many && !mine)) continue;
        const v = net.value(sheet.keys[0], state.s, w, k), bad = v && 'riu'.includes(v.state) ? v.state : null;
        drawn.push({p, i, k, v, bad, mine, rank: mine ? 2 : bad ? 1 : 0});
      }
    }
    for (const {p, i, k, v, bad, mine} of drawn.sort((a, b) => a.rank - b.rank)) {
      const [x1, y1] = this.places.get(`${sheet.reads}:${i}`), [x2, y2] = this.places.get(`${sheet.of}:${p}`), x = sheet.given[k];
      group.append(svg('line', {class: ['line', bad && 'e-' + name(bad), mine && 'mine'].filter(Boolean).join(' '), x1: x1 + R, y1, x2: x2 - R, y2, 'stroke-width': (0.8 + 2.6 * Math.abs(x) / most).toFixed(2), 'data-l': sheet.of, 'data-p': p},
        svg('title', {}, `${net.label(w, k)}: ${digits(x, 6)}` + (v && v.g !== null ? `\ngradient expected ${digits(v.e, 7)}, got ${digits(v.g, 7)}` : ''))));
      if (mine && state.l !== sheet.reads && from.drawn.length <= 5 && !many) group.append(svg('text', {class: 'w', x: x1 + R + (x2 - x1 - 2 * R) * 0.36, y: y1 + (y2 - y1) * 0.36 - 5}, digits(x, 3)));
    }
  }
  outcome(group, lines, x) { // the loss, above the targets, and which output is compared with which
    const {net} = this, loss = net.loss(), t = net.depth - 1, output = net.sheets.findIndex((sheet) => sheet.node === net.d.nodes.length - 1);
    group.append(svg('text', {class: 'sub' + ('riu'.includes(loss.state) ? ' off' : ''), x, y: 40}, `loss ${digits(loss.g ?? loss.e, 4)}`), svg('text', {class: 'sub', x, y: 56}, 'riu'.includes(loss.state) ? `✕ not ${digits(loss.e, 4)}` : ''));
    for (const p of this.glyphs[t].drawn) {
      const [a, b] = [this.places.get(`${output}:${net.sheets[output].list.indexOf(net.unit(t, p))}`), this.places.get(`${t}:${p}`)];
      if (a && b && a[1] === b[1]) lines.append(svg('line', {class: 'line plain', x1: a[0] + R + 3, y1: a[1], x2: b[0] - R, y2: b[1]}));
    }
  }
  grids(group, own, left, top, caption) {
    const {net, state} = this, {edge, l, sheet} = own, told = net.told(state.l, state.p, state.s), target = sheet.title === 't';
    const lit = new Set((told ? [...told.uses, ...(told.parts || [])] : []).filter(([other]) => other === l).map(([, unit]) => unit));
    const key = this.key_of(sheet), shown = sheet.list.map((_, p) => key ? net.value(key, state.s, l, p) : null), given = !sheet.node || target;
    const size = (v) => Math.abs(sheet.given && !given ? 0 : v.g ?? v.e), numbers = shown.map((v, p) => given ? net.given(state.s, l, p) : v ? v.g ?? v.e : NaN);
    const most = given ? Math.max(...sheet.given.map(Math.abs)) : Math.max(...shown.map((v) => v ? size(v) : 0).filter(Number.isFinite), 1e-300);
    group.append(svg('text', {class: 'sub', x: left + own.width / 2, y: top - 5}, caption));
    own.drawn.forEach((_, i) => { const [x, y] = own.corner(i); group.append(svg('rect', {class: 'sheet', x: left + x, y: top + y, width: own.columns * edge, height: own.rows * edge})); });
    let chosen = null;
    sheet.list.forEach((unit, p) => {
      const spot = own.spot(unit);
      if (!spot) return;
      const [x, y] = [left + spot[0], top + spot[1]], v = shown[p], letter = v ? v.state : '?', number = numbers[p];
      const cell = svg('rect', {class: `cell s-${name(letter)}${number < 0 ? ' minus' : ''}${edge < 12 ? ' tiny' : ''}`, x: x + 0.5, y: y + 0.5, width: edge - 1, height: edge - 1, ...(target ? {} : {'data-l': l, 'data-p': p, 'data-at': net.address(l, p)})});
      if (letter === '.' || given) cell.setAttribute('fill-opacity', (0.06 + 0.6 * Math.min(1, Math.abs(number) / most || 0)).toFixed(2));
      group.append(cell);
      const mark = 'riu'.includes(letter) && edge >= 12;
      if (mark) group.append(svg('text', {class: `cellsign s-${name(letter)}`, x: x + edge / 2, y: y + (edge >= 27 ? 12 : edge / 2 + 4)}, STATES[letter].sign));
      if (edge >= (mark ? 27 : 20) && Number.isFinite(number) && digits(number, 2).length * 5.6 <= edge) group.append(svg('text', {class: 'cellvalue', x: x + edge / 2, y: y + edge / 2 + (mark ? 10 : 4)}, digits(number, 2)));
      if (lit.has(unit)) group.append(svg('rect', {class: 'lit', x, y, width: edge, height: edge}));
      if (state.l === l && state.p === p) chosen = svg('rect', {class: 'chosen-cell', x: x - 1.5, y: y - 1.5, width: edge + 3, height: edge + 3});
      this.places.set(`${l}:${p}`, [x, y]);
    });
    if (chosen) group.append(chosen);
    if (own.hidden) group.append(svg('g', {class: 'more', 'data-unfold': l}, svg('text', {x: left + own.width / 2, y: top + own.tall - 8}, `… ${own.hidden} more`)));
  }
  click(event) {
    const more = event.target.closest('[data-unfold]'), one = event.target.closest('[data-p]');
    if (more) this.unfold(Number(more.dataset.unfold));
    if (one) this.select(Number(one.dataset.l), Number(one.dataset.p), true);
  }
  unfold(l) { this.unfolded.add(l); this.draw(); }
  key(event) {
    const {state} = this, more = event.target.closest('[data-unfold]');
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      if (more) this.unfold(Number(more.dataset.unfold)); else this.click(event);
      return;
    }
    const by = {ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0], ArrowLeft: [0, 0, -1], ArrowRight: [0, 0, 1], PageUp: [-1, 0, 0], PageDown: [1, 0, 0]}[event.key];
    if (!by) return;
    event.preventDefault();
    const own = this.glyphs[state.l], to = own instanceof Row ? this.along(own, by) : this.within(own, by);
    if (to) this.select(...to, true);
    say(`${this.net.label(state.l, state.p)}, ${STATES[this.net.state(state.l, state.p)].words}`);
  }
  along(own, [page, down, right]) { // in a row up and down; to the next layer's as far down
    const n = own.drawn.indexOf(this.state.p) + down + page, next = this.beside(own, right);
    if (!right) return [own.l, own.drawn[Math.max(0, Math.min(own.drawn.length - 1, n))]];
    if (!next) return null;
    if (!(next instanceof Row)) return [next.l, 0];
    return [next.l, next.drawn[Math.round(n / Math.max(1, own.drawn.length - 1) * (next.drawn.length - 1)) || 0]];
  }
  within(own, by) { // in a grid, and beyond its edge to the next layer's
    const at = own.spots.get(this.net.unit(own.l, this.state.p)), to = at.map((n, k) => n + by[k]);
    const p = own.sheet.list.findIndex((unit) => own.spots.get(unit).every((i, n) => i === to[n])), next = this.beside(own, by[0] + by[1] + by[2]);
    return p >= 0 ? [own.l, p] : next ? [next.l, next instanceof Row ? next.drawn[0] : 0] : null;
  }
  beside(own, step) { // the next that is drawn
    const drawn = this.glyphs.filter((each) => this.shows(each) && each.sheet.title !== 't' && !(own instanceof Row && each.sheet.wire));
    return drawn[drawn.indexOf(own) + step];
  }
  reveal() { // a large network scrolls to what is chosen
    const at = this.places.get(`${this.state.l}:${this.state.p}`), box = this.canvas, scale = this.picture.clientWidth / this.wide;
    if (!at) return;
    const [x, y] = at;
    if (x * scale < box.scrollLeft + 60 || x * scale > box.scrollLeft + box.clientWidth - 60) box.scrollLeft = x * scale - box.clientWidth / 2;
    if (y * scale < box.scrollTop + 50 || y * scale > box.scrollTop + box.clientHeight - 50) box.scrollTop = y * scale - box.clientHeight / 2;
  }
  focus() { (this.canvas.querySelector('.chosen [role]') || this.canvas).focus({preventScroll: true}); }
  legend() {
    const {net} = this, rows = this.glyphs.some((own) => own instanceof Row && own.sheet.node), grids = this.glyphs.some((own) => own instanceof Grids && this.shows(own));
    const swatch = (state) => h('span.key', rows ? svg('svg', {viewBox: '-16 -16 32 32', width: 22, height: 22, 'aria-hidden': 'true', class: 'neuron s-' + name(state)}, state === 'r' ? svg('circle', {class: 'ring', r: 13.5}) : null, svg('circle', {class: 'body', r: 10}), 'riu'.includes(state) ? svg('text', {class: 'legend-sign', y: 4}, STATES[state].sign) : null)
      : svg('svg', {viewBox: '0 0 20 20', width: 20, height: 20, 'aria-hidden': 'true'}, svg('rect', {class: `cell s-${name(state)}`, x: 1, y: 1, width: 18, height: 18, 'fill-opacity': state === '.' ? '.4' : null}), 'riu'.includes(state) ? svg('text', {class: `cellsign s-${name(state)}`, x: 10, y: 14}, STATES[state].sign) : null),
    STATES[state].term ? term(STATES[state].term, STATES[state].words) : STATES[state].words);
    const used = new Set(net.sheets.filter((sheet) => sheet.node && sheet.title !== 't' && this.shows({sheet})).map((sheet) => sheet.status).join('')), edges = new Set(net.sheets.filter((sheet) => sheet.reads !== undefined).flatMap((sheet) => net.slot(sheet.keys[0])?.states || []));
    const stroke = (state) => h('span.key', svg('svg', {viewBox: '0 0 30 10', width: 30, height: 10, 'aria-hidden': 'true'}, svg('line', {class: 'line e-' + name(state), x1: 0, y1: 5, x2: 30, y2: 5, 'stroke-width': 3})),
      {r: 'wrong gradient, root', i: 'wrong gradient, inherited', u: 'wrong gradient'}[state]);
    const said = [edges.size && (this.hidden ? 'Only the selected neuron’s weights are drawn.' : 'A thicker line is a larger weight.'), grids && 'The stronger the colour, the larger the number: blue above 0, orange below. Framed: what the chosen number is made of.'];
    return [['r', 'i', 'u', '.', '?'].filter((state) => used.has(state)).map(swatch), ['r', 'i', 'u'].filter((state) => edges.has(state)).map(stroke), said.filter(Boolean).map((text) => h('span.key', h('span.hint', text)))];
  }
}
