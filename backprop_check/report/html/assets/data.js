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
    opened.set(row, detail.wired ? new Wired(detail, row) : detail.layers ? new Net(detail, row) : new Bare(detail));
  }
  return opened.get(row);
}

const isNet = (net) => net instanceof Net || net instanceof Wired; // a case that can be drawn
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

// A failing case with its network. Neurons are known by their position among those in the page;
// `neuron(l, p)` gives the index in the network, `at(l, index)` the position. Layer -1 is the inputs.
class Net {
  constructor(detail, row) {
    this.d = detail;
    this.row = row;
    this.names = detail.names;
    this.shown = detail.shown || {
      inputs: range(detail.inputs), layers: detail.layers.map((layer) => range(layer.units)), samples: range(detail.samples),
    };
    this.cut = !!detail.shown;
    this.samples = this.shown.samples.length;
    this.slots = new Map();
    this.wrongOrder = [];
    for (const letter of 'riu') {
      for (let l = detail.layers.length - 1; l >= 0; l--) {
        this.list(l).forEach((_, p) => { if (this.state(l, p) === letter) this.wrongOrder.push([l, p]); });
      }
    }
    const first = CASES.first[row]; // the file's own first wrong value goes first
    if (first.length) {
      const p = this.at(first[0], first[1]);
      const n = this.wrongOrder.findIndex(([l, q]) => l === first[0] && q === p);
      if (n > 0 && this.state(...this.wrongOrder[0]) === this.state(first[0], p)) this.wrongOrder.unshift(...this.wrongOrder.splice(n, 1));
    }
  }
  get depth() { return this.d.layers.length; }
  list(l) { return l < 0 ? this.shown.inputs : this.shown.layers[l] || []; }
  width(l) { return l < 0 ? this.d.inputs : this.d.layers[l].units; }
  neuron(l, p) { return this.list(l)[p]; }
  at(l, index) { return this.list(l).indexOf(index); }
  layerName(l) { return l < 0 ? 'input' : this.names[l]; }
  label(l, p) { return l < 0 ? `input ${this.neuron(l, p)}` : `neuron ${this.neuron(l, p)} of ${this.names[l]}`; }
  brief(l, p) { return `${capped(this.layerName(l), 20)}:${this.neuron(l, p)}`; }
  state(l, p) { return this.d.status[l + 1][p]; }
  wrongOf(l) { return this.d.bad[l + 1]; }

  slot(key) { return unpacked(this, key); }
  value(quantity, l, ...place) {
    const slot = this.slot(l === null ? quantity : `${quantity}.${l}`);
    if (!slot) return null;
    const width = quantity === 'input_gradient' ? this.list(-1).length
      : quantity.endsWith('weight') || quantity === 'weight_gradient' ? this.list(l - 1).length : l === null ? 1 : this.list(l).length;
    const i = place.length === 2 ? place[0] * width + place[1] : place[0] || 0;
    return valueOf(slot, i);
  }
  weight(l, p, i) { return this.d.layers[l].W[p * this.list(l - 1).length + i]; }
  bias(l, p) { return this.d.layers[l].B[p]; }
  input(s, i) { return this.d.X[s * this.list(-1).length + i]; }
  target(s, p) { return this.d.T[s * this.list(this.depth - 1).length + p]; }
  slope(l, s, p) { const all = this.d.layers[l].slope; return all ? all[s * this.list(l).length + p] : null; }
  outerror(l, s, p) { return this.d.layers[l].err[s * this.list(l).length + p]; }
  // What layer l reads from position i: an input, or an activation.
  read(l, s, i) {
    if (l === 0) { const x = this.input(s, i); return {e: x, g: x, state: '.'}; }
    return this.value('a', l - 1, s, i);
  }

  get wrongCount() { return this.d.bad.slice(1).reduce((a, b) => a + b, 0); }
  address(l, p) { return `${l}:${this.neuron(l, p)}`; }
  find(text) { // layer:neuron, as a name or a number
    const cut = text.lastIndexOf(':'), layer = text.slice(0, cut), named = this.names.indexOf(layer), l = named >= 0 ? named : Number(layer);
    const p = this.at(l, Number(text.slice(cut + 1)));
    return p >= 0 ? [l, p] : null;
  }
  wrongIn(l, p, s) { return ['z', 'a', 'delta'].find((q) => 'riu'.includes(this.value(q, l, s, p).state)); }
  loss() { return this.value('loss', null); }
  notice() { return this.cut ? `A large case: this page holds ${this.list(-1).length} of its ${this.d.inputs} inputs, ${this.d.layers.map((layer, l) => `${this.list(l).length} of ${layer.units} neurons of ${this.names[l]}`).join(', ')}, and ${this.samples} of ${this.d.samples} samples, the wrong ones first. The sums below count all of them.` : ''; }
  findings() { // those that no circle can show
    const slot = this.slot('input_gradient');
    if (!slot.states.some((state) => 'riu'.includes(state))) return [];
    return this.shown.samples.flatMap((sample, s) => this.list(-1).map((input, i) => [this.value('input_gradient', null, s, i), `input gradient, input ${input}, sample ${sample}`]));
  }
  diagram(state, select) { return new Diagram(this, state, select); }
  panel(l, p, s) { return neuronPanel(this, l, p, s); }
  maths(l, p, s) { return neuronMaths(this, l, p, s); }
  about() {
    const d = this.d, loss = INDEX.formulas.losses[d.loss.kind];
    return [`${[d.inputs, ...d.layers.map((layer) => layer.units)].join(' → ')} · ${loss.name}, ${d.reduction} of ${count(d.samples, 'sample')}`, d.loss.threshold !== undefined ? ` · threshold ${d.loss.threshold}` : '', d.lr !== undefined ? ` · gradient descent, η = ${d.lr}, ${count(d.steps, 'step')}` : '', d.count ? ` · ${count(d.count, 'value')} wrong` : ''];
  }

  // As the results file and the protocol have it --------------------------------------------------
  caseJson(id) {
    if (this.cut) return null;
    const d = this.d, rows = (flat, n) => range(flat.length / n).map((r) => `[${flat.slice(r * n, r * n + n).map(real).join(', ')}]`).join(', ');
    const layers = d.layers.map((layer, l) => {
      const fields = [`"kind": ${JSON.stringify(layer.kind)}`];
      if (layer.given) fields.push(`"name": ${JSON.stringify(layer.given)}`);
      fields.push(`"units": ${layer.units}`, `"activation": ${JSON.stringify(layer.act)}`);
      if (layer.alpha !== null && (id !== undefined || layer.ownAlpha)) fields.push(`"alpha": ${real(layer.alpha)}`);
      fields.push(`"parameters": {"weights": [${rows(layer.W, this.width(l - 1))}], "biases": [${layer.B.map(real).join(', ')}]}`);
      return `{${fields.join(', ')}}`;
    });
    const loss = [`"kind": ${JSON.stringify(d.loss.kind)}`];
    if (d.loss.threshold !== undefined) loss.push(`"threshold": ${real(d.loss.threshold)}`);
    else if (d.loss.kind === 'huber' && id !== undefined) loss.push('"threshold": 1.0');
    const fields = id === undefined ? [`"name": ${JSON.stringify(d.slug)}`] : ['"type": "case"', `"id": ${JSON.stringify(id)}`];
    fields.push(`"network": {"inputs": ${d.inputs}, "layers": [${layers.join(', ')}]}`, `"loss": {${loss.join(', ')}}`,
      `"reduction": ${JSON.stringify(d.reduction)}`, `"inputs": [${rows(d.X, d.inputs)}]`,
      `"targets": [${rows(d.T, this.width(this.depth - 1))}]`);
    if (d.training) fields.push(id === undefined ? d.training.own : d.training.sent);
    else if (d.lr !== undefined) fields.push(`"optimizer": {"kind": "sgd", "learning_rate": ${real(d.lr)}}`, `"steps": ${d.steps}`);
    return `{${fields.join(', ')}}`;
  }
  actual() {
    const plain = (x) => Number.isFinite(x) ? x : Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity';
    const take = (key, n) => {
      const slot = this.slot(key);
      if (!slot || !slot.g || slot.recovered) return undefined;
      const g = slot.g.map(plain);
      return n === 0 ? g[0] : n === undefined ? g : range(g.length / n).map((r) => g.slice(r * n, r * n + n));
    };
    const layers = this.d.layers.map((_, l) => {
      const out = {z: take(`z.${l}`, this.list(l).length), a: take(`a.${l}`, this.list(l).length), delta: take(`delta.${l}`, this.list(l).length)};
      const n = this.list(l - 1).length;
      const pair = (w, b) => { const both = {weights: take(w, n), biases: take(b)}; return both.weights || both.biases ? both : undefined; };
      out.gradients = pair(`weight_gradient.${l}`, `bias_gradient.${l}`);
      out.updated = pair(`updated_weight.${l}`, `updated_bias.${l}`);
      return out;
    });
    return {loss: take('loss', 0), layers, input_gradients: take('input_gradient', this.list(-1).length)};
  }
  mismatches() {
    const found = [], plain = (x) => Number.isFinite(x) ? x : Number.isNaN(x) ? 'NaN' : x > 0 ? 'Infinity' : '-Infinity';
    for (const key of Object.keys(this.d.slots)) {
      const slot = this.slot(key), [quantity, layer] = key.split('.');
      const l = layer === undefined ? null : Number(layer);
      slot.states.forEach((state, i) => {
        if (!'riu'.includes(state)) return;
        const place = {quantity, layer: l, neuron: null, sample: null, index: []};
        const by = quantity.includes('weight') || l === null ? this.list((l ?? 0) - 1) : this.list(l);
        const [a, b] = [Math.floor(i / by.length), i % by.length];
        if (quantity.includes('weight')) Object.assign(place, {neuron: this.neuron(l, a), index: [by[b]]});
        else if (quantity.includes('bias')) place.neuron = by[i];
        else if (quantity === 'input_gradient') Object.assign(place, {sample: this.shown.samples[a], index: [by[b]]});
        else if (l !== null) Object.assign(place, {sample: this.shown.samples[a], neuron: by[b]});
        const allowed = Number(slot.m.length === 1 ? slot.m[0] : slot.m[i]);
        found.push({...place, expected: plain(slot.e[i]), actual: plain(slot.g[i]), error: plain(Math.abs(slot.g[i] - slot.e[i])), allowed: plain(allowed),
          origin: {r: 'root', i: 'inherited', u: 'unknown'}[state], unstable: slot.unstable.has(i), problem: slot.recovered ? 'recovered' : Number.isFinite(slot.g[i]) ? 'wrong' : 'not_finite'});
      });
    }
    return found;
  }
}
