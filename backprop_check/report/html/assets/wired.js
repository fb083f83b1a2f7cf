// A failing case of layers beyond the dense chain: sheets of numbers, drawn as grids (an image has one a channel, a
// sequence a column a step). l is a sheet's number, p the position of a number among those of it in the page.
class Wired {
  constructor(detail, row) {
    Object.assign(this, {d: detail, row, names: detail.names, slots: new Map(), cut: !detail.request});
    this.sheets = detail.sheets.map((one) => ({...one, units: one.shape.reduce((a, b) => a * b, 1), list: one.shown || range(one.shape.reduce((a, b) => a * b, 1))}));
    this.shown = {samples: detail.shownSamples};
    this.samples = detail.shownSamples.length;
    this.wrongOrder = ['r', 'u', 'i'].flatMap((letter) => range(this.sheets.length).reverse().flatMap((l) => this.sheets[l].list.flatMap((_, p) => this.state(l, p) === letter ? [[l, p]] : [])));
    const first = CASES.first[row]; // the file's own first wrong value goes first
    const n = this.wrongOrder.findIndex(([l, p]) => first.length && this.sheets[l].node === first[0] + 1 && !this.sheets[l].wire && this.sheets[l].list[p] === first[1]);
    if (n > 0 && this.state(...this.wrongOrder[n]) === this.state(...this.wrongOrder[0])) this.wrongOrder.unshift(...this.wrongOrder.splice(n, 1));
  }
  get depth() { return this.sheets.length; }
  get wrongCount() { return this.d.wrong; }
  state(l, p) { return this.sheets[l].status[p]; }
  slot(key) { return unpacked(this, key); }
  indexes(l, p) {
    const found = [];
    let rest = this.sheets[l].list[p];
    for (const size of [...this.sheets[l].shape].reverse()) { found.unshift(rest % size); rest = Math.floor(rest / size); }
    return found;
  }
  label(l, p) {
    const sheet = this.sheets[l], at = this.indexes(l, p), node = this.d.nodes[sheet.node].name;
    if (sheet.wire) return `${sheet.title} [${at.join(', ')}] of ${node}`;
    const words = sheet.names.length ? at.map((i, n) => `${sheet.names[n]} ${i}`).join(', ') : `unit [${at.join(', ')}]`;
    return `${sheet.title === 'z' && this.sheets.some((other) => other !== sheet && other.node === sheet.node && other.title === 'a') ? 'z, ' : ''}${words}${sheet.node || at.length > 1 ? ` of ${sheet.node ? node : 'the input'}` : ''}`;
  }
  address(l, p) { const sheet = this.sheets[l]; return `${this.d.nodes[sheet.node].name}${sheet.title === 'a' || !sheet.node ? '' : '.' + sheet.title}:${this.indexes(l, p).join(',')}`; }
  find(text) {
    const cut = text.lastIndexOf(':'), at = text.slice(cut + 1).split(',').map(Number);
    for (let l = 0; l < this.depth; l++) {
      const shape = this.sheets[l].shape;
      const flat = at.length === shape.length ? at.reduce((sum, i, n) => sum * shape[n] + i, 0) : at[0];
      const p = this.sheets[l].list.indexOf(flat);
      if (p >= 0 && this.address(l, p).split(':').slice(0, -1).join(':') === text.slice(0, cut)) return [l, p];
    }
    return null;
  }
  value(key, s, l, p) {
    const slot = this.slot(key);
    if (!slot) return null;
    return valueOf(slot, this.sheets[l].wire ? p : s * this.sheets[l].list.length + p);
  }
  loss() { return valueOf(this.slot('loss'), 0); }
  wrongIn(l, p, s) { return this.sheets[l].keys.map((key) => key.split('.')[0]).find((q, n) => { const v = this.value(this.sheets[l].keys[n], s, l, p); return v && 'riu'.includes(v.state); }); }
  about() {
    const d = this.d, loss = INDEX.formulas.losses[d.loss.kind];
    return [`${d.nodes.map((node, n) => `${node.name} ${this.sheets.find((sheet) => sheet.node === n).shape.join('×')}`).join(' → ')} · ${loss ? loss.name : d.loss.kind}, ${d.reduction} of ${count(d.samples, 'sample')} · ${count(d.count, 'value')} wrong`];
  }
  notice() {
    const parts = this.sheets.filter((sheet) => sheet.shown).map((sheet) => `${sheet.list.length} of ${sheet.units.toLocaleString('en')} of ${sheet.title} of ${this.d.nodes[sheet.node].name}`);
    if (this.samples < this.d.samples) parts.push(`${this.samples} of ${this.d.samples} samples`);
    return parts.length ? `A large case: this page holds ${parts.join(', ')}, the wrong ones first.` : '';
  }
  findings() { return []; }

  // As the results file and the protocol have it --------------------------------------------------
  caseJson(id) {
    if (!this.d.request) return null;
    if (id !== undefined) return this.d.request;
    const {type, id: sent, ...body} = JSON.parse(this.d.request);
    for (const path of this.d.added) delete path.slice(0, -1).reduce((part, key) => part[key], body)[path.at(-1)];
    return JSON.stringify({name: this.d.slug, ...body});
  }
  actual() {
    const plain = (x) => Number.isFinite(x) ? x : Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity';
    const nest = (flat, shape) => shape.length < 2 ? flat : range(shape[0]).map((i) => { const n = flat.length / shape[0]; return nest(flat.slice(i * n, i * n + n), shape.slice(1)); });
    const layers = this.names.map(() => ({})), out = {layers};
    const loss = this.slot('loss');
    if (loss.g) out.loss = plain(loss.g[0]);
    for (const sheet of this.sheets) {
      for (const key of sheet.keys) {
        const slot = this.slot(key), [quantity] = key.split('.');
        if (!slot.g) continue;
        const array = nest(slot.g.map(plain), sheet.wire ? sheet.shape : [this.d.samples, ...sheet.shape]);
        if (!sheet.node) out.input_gradients = array;
        else if (quantity.endsWith('_buffer')) (layers[sheet.node - 1].buffers ??= {})[sheet.wire] = array;
        else if (sheet.wire) (layers[sheet.node - 1][quantity.startsWith('updated_') ? 'updated' : 'gradients'] ??= {})[sheet.wire] = array;
        else layers[sheet.node - 1][quantity] = array;
      }
    }
    return out;
  }
  mismatches() {
    const found = [], plain = (x) => Number.isFinite(x) ? x : Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity';
    this.sheets.forEach((sheet, l) => sheet.keys.forEach((key) => {
      const slot = this.slot(key), n = sheet.list.length, inner = sheet.shape.slice(1).reduce((a, b) => a * b, 1);
      slot.states.forEach((state, i) => {
        if (!'riu'.includes(state)) return;
        const flat = sheet.list[i % n], v = valueOf(slot, i);
        const place = sheet.wire ? {sample: null, neuron: Math.floor(flat / inner), index: sheet.shape.length > 1 ? [flat % inner] : []}
          : {sample: this.shown.samples[Math.floor(i / n)], neuron: sheet.node ? flat : null, index: sheet.node ? [] : [flat]};
        found.push({quantity: key.split('.')[0], layer: sheet.node ? sheet.node - 1 : null, ...place, at: this.indexes(l, i % n), expected: plain(v.e), actual: plain(v.g), error: plain(v.error), allowed: plain(v.allowed),
          origin: {r: 'root', i: 'inherited', u: 'unknown'}[state], unstable: v.unstable, problem: Number.isFinite(v.g) ? 'wrong' : 'not_finite'});
      });
    }));
    return found;
  }
  diagram(state, select) { return new Sheets(this, state, select); }
  panel(l, p, s) { return sheetPanel(this, l, p, s); }
  maths(l, p, s) { return sheetMaths(this, l, p, s); }
}

// The network: a column a layer, its units above, its parameters below.
const EDGES = [[3, 34], [5, 27], [8, 20], [14, 14], [28, 9]], TALL = 460, SKIP = 22;
class Sheets {
  constructor(net, state, select) {
    Object.assign(this, {net, state, select, unfolded: new Set()});
    this.canvas = h('div.canvas', {tabindex: '0', role: 'group', 'aria-label': `The network: ${net.d.nodes.map((node) => `${node.name}${node.about ? ', ' + node.about : ''}`).join('; ')}. Arrow keys go from number to number, Page Up and Page Down from grid to grid.`});
    this.notes = h('div.legend');
    this.node = h('div.diagram', this.canvas, this.notes);
    this.canvas.addEventListener('click', (event) => this.click(event));
    this.canvas.addEventListener('keydown', (event) => this.key(event));
    this.draw();
  }
  grid(l) { // how a sheet is laid out, and the spot of each number
    const sheet = this.net.sheets[l], n = sheet.shape.length;
    let [rows, columns] = n === 0 ? [1, 1] : n === 1 ? [Math.min(sheet.shape[0], 14), Math.ceil(sheet.shape[0] / 14)] : n === 2 ? (sheet.step ? [sheet.shape[1], sheet.shape[0]] : sheet.shape) : sheet.shape.slice(-2);
    const place = (flat) => n < 2 || (n === 2 && sheet.step) ? [0, flat % rows, Math.floor(flat / rows)] : [Math.floor(flat / (rows * columns)), Math.floor(flat / columns) % rows, flat % columns];
    const keep = (n) => [...new Set(sheet.list.map((flat) => place(flat)[n]))].sort((a, b) => a - b), kept = sheet.shown ? [keep(1), keep(2)] : null;
    const at = (flat) => { const [g, r, c] = place(flat); return kept ? [g, kept[0].indexOf(r), kept[1].indexOf(c)] : [g, r, c]; }; // rows and columns that are not in the page take no room
    const spots = new Map(sheet.list.map((flat) => [flat, at(flat)])), split = (flat) => spots.get(flat);
    if (kept) [rows, columns] = [kept[0].length, kept[1].length];
    const most = Math.max(rows, columns), big = (EDGES.find(([size]) => most <= size) || [0, 5])[1], edge = sheet.wire ? Math.max(5, Math.round(big * 0.6)) : big;
    const grids = [...new Set(sheet.list.map((flat) => spots.get(flat)[0]))], across = sheet.wire && n === 4 && sheet.shape[1] * columns * edge < 200 ? sheet.shape[1] : 1;
    const room = Math.max(2, Math.floor((sheet.wire ? TALL / 3 : TALL) / (rows * edge + 8))) * across;
    let drawn = grids;
    if (grids.length > room && !this.unfolded.has(l)) {
      const rank = (g) => g === this.chosenGrid(l, split) ? 0 : this.badGrids(l, split).has(g) ? 1 : 2;
      drawn = grids.slice().sort((a, b) => rank(a) - rank(b) || a - b).slice(0, room).sort((a, b) => a - b);
    }
    const lines = Math.ceil(drawn.length / across), width = across * (columns * edge + (across > 1 ? 6 : 0));
    return {sheet, rows, columns, edge, split, drawn, across, hidden: grids.length - drawn.length, width, height: lines * (rows * edge + 8) + (grids.length > drawn.length ? SKIP : 0)};
  }
  chosenGrid(l, split) { return this.state.l === l ? split(this.net.sheets[l].list[this.state.p])[0] : -1; }
  badGrids(l, split) { return new Set(this.net.sheets[l].list.filter((_, p) => 'riu'.includes(this.net.state(l, p))).map((flat) => split(flat)[0])); }
  draw() {
    const {net} = this, nodes = net.d.nodes, grids = net.sheets.map((_, l) => this.grid(l));
    const columns = nodes.map((_, n) => range(net.sheets.length).filter((l) => net.sheets[l].node === n));
    const caption = (l, list) => `${net.sheets[l].wire || list.filter((other) => !net.sheets[other].wire).length > 1 ? net.sheets[l].title + ' ' : ''}${net.sheets[l].shape.join(' × ')}`;
    const widths = columns.map((list, n) => Math.max(...list.map((l) => Math.max(grids[l].width, 6.4 * caption(l, list).length)), 7 * Math.min(nodes[n].name.length, 14), 5.6 * Math.min(nodes[n].about.length, 18)));
    const units = columns.map((list) => list.filter((l) => !net.sheets[l].wire).reduce((sum, l) => sum + grids[l].height + 20, 0));
    const rest = columns.map((list) => list.filter((l) => net.sheets[l].wire).reduce((sum, l) => sum + grids[l].height + 22, 0));
    const tallest = Math.max(...units), skips = nodes.some((node, n) => node.from.some((from) => from < n - 1)) ? 30 : 0, top = 52, height = top + tallest + skips + Math.max(...rest) + 16;
    const GAP = nodes.length > 5 ? 34 : 48, group = svg('g');
    let x = 18;
    const lefts = widths.map((wide) => { const at = x; x += wide + GAP; return at; });
    this.spots = new Map();
    const middle = (n) => top + tallest / 2 + 4;
    nodes.forEach((node, n) => node.from.forEach((from) => {
      if (from === n - 1) group.append(svg('path', {class: 'arrow', d: `M${lefts[from] + widths[from] + 6} ${middle(n)}H${lefts[n] - 6}m-6-4l6 4l-6 4`}));
      else { const [a, b, y] = [lefts[from] + widths[from] / 2, lefts[n] + widths[n] / 2, top + tallest + 4]; group.append(svg('path', {class: 'arrow', d: `M${a} ${y}C${a} ${y + skips} ${b} ${y + skips} ${b} ${y}m-4 6l4-6l4 6`})); }
    }));
    columns.forEach((list, n) => {
      const centre = lefts[n] + widths[n] / 2;
      group.append(svg('text', {class: 'head', x: centre, y: 20}, capped(nodes[n].name, 14), svg('title', {}, nodes[n].name)), svg('text', {class: 'sub', x: centre, y: 38}, capped(nodes[n].about, 18), svg('title', {}, nodes[n].about)));
      let y = top + (tallest - units[n]) / 2, below = top + tallest + skips + 18;
      for (const l of list) {
        const own = grids[l], left = centre - own.width / 2, wire = !!own.sheet.wire, at = wire ? below : y + 16;
        group.append(svg('text', {class: 'sub', x: centre, y: at - 5}, caption(l, list)));
        this.cells(group, l, own, left, at);
        if (wire) below += own.height + 22; else y += own.height + 20;
      }
    });
    const width = x - GAP + 18, picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true'}, group);
    picture.style.minWidth = width * 0.8 + 'px';
    picture.style.maxWidth = width * 1.25 + 'px';
    Object.assign(this, {picture, wide: width});
    fill(this.canvas, picture);
    fill(this.notes, this.legend());
    this.reveal();
  }
  cells(group, l, own, left, top) {
    const {net, state} = this, {edge} = own, told = net.d.told[`${state.l}:${net.sheets[state.l].list[state.p]}`];
    const lit = new Set((told ? told.uses : []).filter(([other]) => other === l).map(([, unit]) => unit));
    const parts = new Set((told ? told.parts : []).filter(([other]) => other === l).map(([, unit]) => unit));
    const key = own.sheet.wire ? own.sheet.keys[0] : own.sheet.keys.find((one) => one.startsWith(state.show + '.')) || own.sheet.keys[0];
    const shown = own.sheet.list.map((_, p) => net.value(key, state.s, l, p)), size = (v) => Math.abs(own.sheet.given && !own.sheet.node ? 0 : v.g ?? v.e);
    const given = own.sheet.node ? null : own.sheet.given, most = given ? Math.max(...given.map(Math.abs)) : Math.max(...shown.map((v) => v ? size(v) : 0).filter(Number.isFinite), 1e-300);
    const spot = (flat) => { const [g, r, c] = own.split(flat), i = own.drawn.indexOf(g); return i < 0 ? null : [left + (i % own.across) * (own.columns * edge + 6) + c * edge, top + Math.floor(i / own.across) * (own.rows * edge + 8) + r * edge]; };
    own.drawn.forEach((g, i) => group.append(svg('rect', {class: 'sheet', x: left + (i % own.across) * (own.columns * edge + 6), y: top + Math.floor(i / own.across) * (own.rows * edge + 8), width: own.columns * edge, height: own.rows * edge})));
    let chosen = null;
    own.sheet.list.forEach((flat, p) => {
      const at = spot(flat);
      if (!at) return;
      const v = shown[p], letter = v ? v.state : '?', x = given ? given[state.s * own.sheet.list.length + p] : v ? v.g ?? v.e : NaN;
      const cell = svg('rect', {class: `cell s-${name(letter)}${x < 0 ? ' minus' : ''}${edge < 12 ? ' tiny' : ''}`, x: at[0] + 0.5, y: at[1] + 0.5, width: edge - 1, height: edge - 1, 'data-l': l, 'data-p': p});
      if (letter === '.' || given) cell.setAttribute('fill-opacity', (0.06 + 0.6 * Math.min(1, Math.abs(x) / most || 0)).toFixed(2));
      group.append(cell);
      const mark = 'riu'.includes(letter) && edge >= 12;
      if (mark) group.append(svg('text', {class: `cellsign s-${name(letter)}`, x: at[0] + edge / 2, y: at[1] + (edge >= 27 ? 12 : edge / 2 + 4)}, STATES[letter].sign));
      if (edge >= (mark ? 27 : 20) && Number.isFinite(x) && digits(x, 2).length * 5.6 <= edge) group.append(svg('text', {class: 'cellvalue', x: at[0] + edge / 2, y: at[1] + edge / 2 + (mark ? 10 : 4)}, digits(x, 2)));
      if (lit.has(flat) || parts.has(flat)) group.append(svg('rect', {class: 'lit', x: at[0], y: at[1], width: edge, height: edge}));
      if (state.l === l && state.p === p) { chosen = svg('rect', {class: 'chosen-cell', x: at[0] - 1.5, y: at[1] - 1.5, width: edge + 3, height: edge + 3}); this.at = at; }
    });
    if (chosen) group.append(chosen);
    if (own.hidden) group.append(svg('g', {class: 'more', 'data-unfold': l}, svg('text', {x: left + own.width / 2, y: top + own.height - 8}, `… ${own.hidden} more`)));
  }
  click(event) {
    const more = event.target.closest('[data-unfold]'), cell = event.target.closest('[data-p]');
    if (more) { this.unfolded.add(Number(more.dataset.unfold)); this.draw(); }
    if (cell) this.select(Number(cell.dataset.l), Number(cell.dataset.p), true);
  }
  key(event) {
    const {net, state} = this, sheet = net.sheets[state.l], own = this.grid(state.l), [g, r, c] = own.split(sheet.list[state.p]);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = {ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0], ArrowLeft: [0, 0, -1], ArrowRight: [0, 0, 1], PageUp: [-1, 0, 0], PageDown: [1, 0, 0]}[event.key];
    if (!by) return;
    event.preventDefault();
    const to = [g + by[0], r + by[1], c + by[2]], p = sheet.list.findIndex((flat) => own.split(flat).every((i, n) => i === to[n]));
    if (p >= 0) this.select(state.l, p, true);
    else { // beyond the edge: the next sheet
      const l = state.l + (by[0] + by[1] + by[2]);
      if (l >= 0 && l < net.depth) this.select(l, 0, true);
    }
    say(`${net.label(state.l, state.p)}, ${STATES[net.state(state.l, state.p)].words}`);
  }
  reveal() {
    const box = this.canvas, scale = this.picture.clientWidth / this.wide, [x, y] = this.at || [0, 0];
    if (x * scale < box.scrollLeft + 40 || x * scale > box.scrollLeft + box.clientWidth - 40) box.scrollLeft = x * scale - box.clientWidth / 2;
    if (y * scale < box.scrollTop + 30 || y * scale > box.scrollTop + box.clientHeight - 30) box.scrollTop = y * scale - box.clientHeight / 2;
  }
  focus() { this.canvas.focus({preventScroll: true}); }
  legend() {
    const swatch = (state) => h('span.key', svg('svg', {viewBox: '0 0 20 20', width: 20, height: 20, 'aria-hidden': 'true'}, svg('rect', {class: `cell s-${name(state)}`, x: 1, y: 1, width: 18, height: 18, 'fill-opacity': state === '.' ? '.4' : null}), 'riu'.includes(state) ? svg('text', {class: `cellsign s-${name(state)}`, x: 10, y: 14}, STATES[state].sign) : null),
      STATES[state].term ? term(STATES[state].term, STATES[state].words) : STATES[state].words);
    const used = new Set(this.net.sheets.map((sheet) => sheet.status).join(''));
    return [['r', 'i', 'u', '.', '?'].filter((state) => used.has(state)).map(swatch), h('span.key', h('span.hint', 'The stronger the colour, the larger the number: blue above 0, orange below. Framed: what the chosen number is made of.'))];
  }
}

const SAID = {z: ['weighted sum ', 'z'], a: ['output ', 'a'], delta: ['delta ', 'δ'], input_gradient: ['gradient ', '∂L/∂x']};
function sheetRows(net, l, p, s) {
  return net.sheets[l].keys.map((key) => {
    const [q] = key.split('.'), said = SAID[q], label = said ? [said[0], INDEX.glossary[q] ? term(q, said[1]) : said[1]] : q.endsWith('_buffer') ? ['its new value'] : q.startsWith('updated_') ? [term('updated', 'updated')] : [term('gradient', 'gradient')];
    return {q, label, v: net.value(key, s, l, p)};
  });
}
// What a sheet's numbers are called in a sentence.
QUANTITIES.gradient = 'its gradient';
QUANTITIES.updated = 'its updated value';
QUANTITIES.buffer = 'its new value';
QUANTITIES.input_gradient = 'its gradient';
function sheetPanel(net, l, p, s) {
  const state = net.state(l, p), sheet = net.sheets[l], rows = sheetRows(net, l, p, s), told = net.d.told[`${l}:${sheet.list[p]}`];
  const wrong = rows.filter((row) => 'riu'.includes(row.v.state)), given = sheet.given && sheet.given[sheet.wire ? p : s * sheet.list.length + p];
  return h(`section.panel.s-${name(state)}`, {'aria-labelledby': 'neuron-title', id: 'neuron'},
    h('div.panel-head', h('h3', {id: 'neuron-title', tabindex: '-1'}, net.label(l, p)), mark(state)),
    h('p.lead', story(net, l, p, state, wrong.map((row) => ({...row, q: sheet.wire ? row.q.endsWith('_buffer') ? 'buffer' : row.q.startsWith('updated_') ? 'updated' : 'gradient' : row.q})))),
    given !== undefined && given !== null ? h('p.facts', `Its value is ${digits(given, 9)}.`) : null,
    valueTable(net, rows, s, !!sheet.wire),
    told && told.parts.length ? partsTable(net, told.parts) : null);
}
function partsTable(net, parts) { // the weights that come in: of a convolution the kernel that all positions share
  const rows = parts.map(([l, unit]) => [l, net.sheets[l].list.indexOf(unit)]).filter(([, p]) => p >= 0);
  if (!rows.length) return null;
  const link = (l, p) => button(`${net.sheets[l].title} [${net.indexes(l, p).join(', ')}]`, () => choose(l, p), {class: 'link'});
  return h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'the parameters it is made of'}, h('table.values', h('caption', 'The parameters it is made of, and their gradients'),
    h('thead', h('tr', h('th', {scope: 'col'}, h('span.hide', 'verdict')), ['parameter', 'value'].map((text, n) => h(n ? 'th.n' : 'th', {scope: 'col'}, text)), ['expected', 'got', 'error', 'allowed'].map((key) => h('th.n', {scope: 'col'}, term(key, key))))),
    h('tbody', rows.map(([l, p]) => { const v = net.value(net.sheets[l].keys[0], 0, l, p); return h(`tr.s-${name(v.state)}`, h('td.sign-cell', sign(v.state)), h('th', {scope: 'row'}, link(l, p)), h('td.n', digits(net.sheets[l].given[p], 6)), numberCells(v)); }))));
}
function sheetMaths(net, l, p, s) {
  const told = net.d.told[`${l}:${net.sheets[l].list[p]}`];
  if (!told) {
    const sheet = net.sheets[l], node = net.d.nodes[sheet.node].name, at = net.indexes(l, p).join(','), what = sheet.wire ? `--weight ${sheet.title}:${at}` : `--neuron ${node}:${at}`;
    return h('p.note', 'The mathematics of this number is not in the page. To see it, download the case: ', h('code', `backprop-check explain CASE.json ${sheet.node && !(sheet.keys[0] || '').endsWith('_buffer') ? what.replace(/[^A-Za-z0-9._:, -]/g, '_') : ''}`));
  }
  const hint = (text) => text ? h('p.hint', text) : null, groups = [['Forward: how it is made', 'forward', (stage) => !/error|slope|delta|gradient|update|memory/.test(stage)], ['Backward: what flows back to it', 'backward', (stage) => /error|slope|delta/.test(stage)], [net.sheets[l].wire ? 'Gradient: added up over all places where it is used' : 'Gradient', 'gradients', (stage) => /gradient$/.test(stage)], ['Update', 'update', (stage) => stage === 'update' || stage === 'memory']];
  return groups.map(([title, key, fits]) => {
    const steps = told.steps.filter((step) => fits(step.stage));
    return steps.length ? section(key, title + (net.d.samples > 1 && key !== 'update' && !net.sheets[l].wire ? `, for sample ${told.s}` : ''), true, () => steps.map((step) => h('div.told', h('p', h('b', step.stage), step.place ? `, ${step.place}` : ''), hint(step.says), h('pre.lines', {tabindex: '0', role: 'group', 'aria-label': 'formula'}, step.lines.join('\n')), (step.notes || []).map(hint)))) : null;
  });
}
