// The index is read at once, a failing case's numbers when it is opened.
const INDEX = JSON.parse(byId('index').textContent);
const CASES = INDEX.cases, ROWS = CASES.id.length;
const OUT = INDEX.outcomes.map(([key, words, fails]) => ({key, words, fails}));
const fails = (row) => OUT[CASES.out[row]].fails;
const several = INDEX.impls.length > 1;
const opened = new Map();
const byCase = new Map();
for (let row = 0; row < ROWS; row++) {
  if (!byCase.has(CASES.id[row])) byCase.set(CASES.id[row], []);
  byCase.get(CASES.id[row]).push(row);
}

function detailOf(row) {
  if (CASES.det[row] < 0) return null;
  if (!opened.has(row)) {
    if (opened.size > 40) opened.delete(opened.keys().next().value);
    const detail = JSON.parse(byId('d' + CASES.det[row]).textContent);
    opened.set(row, detail.sheets ? new Net(detail, row) : new Bare(detail));
  }
  return opened.get(row);
}

const isNet = (net) => net instanceof Net; // a case that can be drawn
// One array of a case, as numbers: e expected, g got, states a letter each.
function unpacked(net, key) {
  if (!net.slots.has(key)) {
    const raw = net.d.slots[key];
    if (!raw) return null;
    const e = raw.e.map(Number);
    let g = null;
    if (raw.g === 0) g = e;
    else if (raw.g) g = raw.g.map((x, i) => x === null ? null : typeof x === 'number' ? ulps(e[i], x) : Number(x));
    const states = e.map((_, i) => g && g[i] !== null ? '.' : '?'), unstable = new Set();
    (raw.x || []).forEach((i, n) => {
      states[i] = raw.o[n].toLowerCase();
      if (raw.o[n] !== states[i]) unstable.add(i);
    });
    net.slots.set(key, {e, g, m: raw.m, states, unstable, recovered: !!raw.rec});
  }
  return net.slots.get(key);
}
function valueOf(slot, i) {
  const g = slot.g ? slot.g[i] : null;
  return {
    e: slot.e[i], g, allowed: Number(slot.m.length === 1 ? slot.m[0] : slot.m[i]), state: slot.states[i],
    error: g === null ? null : Math.abs(g - slot.e[i]), unstable: slot.unstable.has(i), recovered: slot.recovered,
  };
}

class Bare { // a failing case whose network the results do not hold
  constructor(detail) { this.d = detail; }
}

// A failing case with its network, as sheets of numbers: the input, a layer's units, a parameter, the targets. l is a
// sheet's number, p the position of a number among those of it in the page; a unit counts all, in the page or not.
const times = (shape) => shape.reduce((a, b) => a * b, 1);
const plain = (x) => Number.isFinite(x) ? x : Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity';
class Net {
  constructor(detail, row) {
    Object.assign(this, {d: detail, row, slots: new Map(), cut: !detail.request});
    this.sheets = detail.sheets.map((one) => ({...one, units: times(one.shape), list: one.shown || range(times(one.shape))}));
    this.shown = {samples: detail.shownSamples};
    this.samples = detail.shownSamples.length;
    this.wrongOrder = detail.order.map(([l, unit]) => [l, this.sheets[l].list.indexOf(unit)]);
    if (detail.request) this.take(JSON.parse(detail.request));
  }
  take(request) { // the case's own numbers, where the page has them once only
    for (const sheet of this.sheets) {
      const layer = request.network.layers[sheet.node - 1];
      sheet.given ??= (sheet.wire ? layer.parameters[sheet.wire] : sheet.title === 't' ? request.targets : sheet.node ? undefined : request.inputs)?.flat(Infinity);
    }
  }
  get depth() { return this.sheets.length; }
  get wrongCount() { return this.d.wrong; }
  state(l, p) { return this.sheets[l].status[p]; }
  unit(l, p) { return this.sheets[l].list[p]; }
  name(l) { const n = this.sheets[l].node; return n ? this.d.nodes[n]?.name ?? 'target' : 'the input'; }
  spread(l, unit) { // the indexes of a unit
    const found = [];
    for (const size of [...this.sheets[l].shape].reverse()) { found.unshift(unit % size); unit = Math.floor(unit / size); }
    return found;
  }
  indexes(l, p) { return this.spread(l, this.unit(l, p)); }
  label(l, p) { return this.called(l, this.unit(l, p)); }
  called(l, unit) {
    const sheet = this.sheets[l], at = this.spread(l, unit);
    if (sheet.of !== undefined) return `${sheet.title}${at.length > 1 ? ` from ${this.source(l, at[1])} into` : ' of'} neuron ${at[0]} of ${this.name(l)}`;
    if (sheet.wire) return `${sheet.title} [${at.join(', ')}] of ${this.name(l)}`;
    const words = sheet.names.length ? at.map((i, n) => `${sheet.names[n]} ${i}`).join(', ') : `unit [${at.join(', ')}]`;
    const apart = sheet.title === 'z' && this.sheets.some((other) => other !== sheet && other.node === sheet.node && other.title === 'a');
    return `${apart ? 'z, ' : ''}${words}${sheet.node || at.length > 1 ? ` of ${this.name(l)}` : ''}`;
  }
  source(l, i) { // what a dense layer reads at this place
    const from = this.d.nodes[this.sheets[l].node].from, before = this.sheets.findIndex((sheet) => sheet.node === from[0]);
    return from.length > 1 || this.sheets[before].shape.length === 1 ? `input ${i}` : this.called(before, i);
  }
  address(l, p) { const sheet = this.sheets[l]; return `${sheet.node ? this.d.nodes[sheet.node].name : 'input'}${sheet.title === 'a' || !sheet.node ? '' : '.' + sheet.title}:${this.indexes(l, p).join(',')}`; }
  find(text) { // as in an address; a layer by its number too
    const cut = text.lastIndexOf(':'), at = text.slice(cut + 1).split(',').map(Number), name = text.slice(0, cut);
    const named = /^\d+$/.test(name) && !this.d.nodes.some((node) => node.name === name) ? this.d.nodes[Number(name) + 1]?.name : name;
    for (let l = 0; l < this.depth; l++) {
      const sheet = this.sheets[l];
      if (sheet.title === 't') continue;
      const p = sheet.list.indexOf(at.length === sheet.shape.length ? at.reduce((sum, i, n) => sum * sheet.shape[n] + i, 0) : at[0]);
      if (p >= 0 && this.address(l, p).split(':').slice(0, -1).join(':') === named) return [l, p];
    }
    return null;
  }
  // The parameters that a unit is made of, as [sheet, unit]: a neuron's own, or those that its mathematics reads.
  parts(l, p, s) {
    const unit = this.unit(l, p), found = [];
    this.sheets.forEach((sheet, k) => {
      if (sheet.of === l) sheet.list.forEach((each) => { if (Math.floor(each * sheet.shape[0] / sheet.units) === unit) found.push([k, each]); });
    });
    return found.length ? found : this.told(l, p, s)?.parts || [];
  }
  told(l, p, s) { // the mathematics of a number: in this sample, or in another one
    const {told} = this.d, key = `${l}:${this.unit(l, p)}`;
    if (this.sheets[l].wire) return told[key];
    const sample = [this.shown.samples[s], ...this.shown.samples].find((each) => told[`${key}:${each}`]);
    return sample === undefined ? undefined : {...told[`${key}:${sample}`], s: sample};
  }
  slot(key) { return unpacked(this, key); }
  value(key, s, l, p) {
    const slot = this.slot(key);
    return slot && valueOf(slot, this.sheets[l].wire ? p : s * this.sheets[l].list.length + p);
  }
  given(s, l, p) { const {given, wire, list} = this.sheets[l]; return given?.[wire ? p : s * list.length + p]; }
  loss() { return valueOf(this.slot('loss'), 0); }
  wrongIn(l, p, s) { return this.sheets[l].keys.map((key) => key.split('.')[0]).find((q, n) => { const v = this.value(this.sheets[l].keys[n], s, l, p); return v && 'riu'.includes(v.state); }); }
  about() { return [this.d.about, this.d.count ? ` · ${count(this.d.count, 'value')} wrong` : '']; }
  notice() {
    const parts = this.sheets.filter((sheet) => sheet.shown && sheet.shown.length < sheet.units).map((sheet) => `${sheet.list.length} of ${count(sheet.units, sheet.names.length === 1 ? sheet.names[0] : 'number')}${sheet.names.length === 1 ? '' : ` of ${sheet.title}`}${sheet.node ? ` of ${this.name(this.sheets.indexOf(sheet))}` : ''}`);
    if (this.samples < this.d.samples) parts.push(`${this.samples} of ${this.d.samples} samples`);
    return parts.length ? `A large case: this page holds ${parts.join(', ')}, the wrong ones first.` : '';
  }

  // As the results file and the protocol have it --------------------------------------------------
  caseJson(id) {
    if (!this.d.request || id !== undefined) return this.d.request || null;
    const {type, id: sent, ...body} = JSON.parse(this.d.request);
    for (const path of this.d.added) delete path.slice(0, -1).reduce((part, key) => part[key], body)[path.at(-1)];
    return JSON.stringify({name: this.d.slug, ...body});
  }
  actual() {
    const nest = (flat, shape) => shape.length < 2 ? flat : range(shape[0]).map((i) => { const n = flat.length / shape[0]; return nest(flat.slice(i * n, i * n + n), shape.slice(1)); });
    const layers = this.d.nodes.slice(1).map(() => ({})), out = {layers}, loss = this.slot('loss');
    if (loss.g) out.loss = plain(loss.g[0]);
    for (const sheet of this.sheets) {
      for (const key of sheet.keys) {
        const slot = this.slot(key), [quantity] = key.split('.');
        if (!slot.g || slot.recovered) continue;
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
    const found = [];
    this.sheets.forEach((sheet, l) => sheet.keys.forEach((key) => {
      const slot = this.slot(key), n = sheet.list.length, inner = times(sheet.shape.slice(1));
      slot.states.forEach((state, i) => {
        if (!'riu'.includes(state)) return;
        const unit = sheet.list[i % n], v = valueOf(slot, i);
        const place = sheet.wire ? {sample: null, neuron: Math.floor(unit / inner), index: sheet.shape.length > 1 ? [unit % inner] : []}
          : {sample: this.shown.samples[Math.floor(i / n)], neuron: sheet.node ? unit : null, index: sheet.node ? [] : [unit]};
        found.push({quantity: key.split('.')[0], layer: sheet.node ? sheet.node - 1 : null, ...place, at: this.indexes(l, i % n), expected: plain(v.e), actual: plain(v.g), error: plain(v.error), allowed: plain(v.allowed),
          origin: {r: 'root', i: 'inherited', u: 'unknown'}[state], unstable: v.unstable, problem: slot.recovered ? 'recovered' : Number.isFinite(v.g) ? 'wrong' : 'not_finite'});
      });
    }));
    return found;
  }
}
