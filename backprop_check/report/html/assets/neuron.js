// One neuron: what it should be and what it is, then its mathematics, forward and backward.
const QUANTITIES = {
  z: 'its weighted sum z', a: 'its activation a', delta: 'its δ', bias_gradient: 'the gradient of its bias',
  weight_gradient: 'weight gradient', updated_bias: 'its updated bias', updated_weight: 'updated weight',
};

function neuronPanel(net, l, p, s) {
  const state = net.state(l, p);
  const rows = neuronRows(net, l, p, s), wrong = rows.filter((row) => 'riu'.includes(row.v.state));
  return h(`section.panel.s-${name(state)}`, {'aria-labelledby': 'neuron-title', id: 'neuron'},
    h('div.panel-head', h('h3', {id: 'neuron-title', tabindex: '-1'}, net.label(l, p)), mark(state)),
    h('p.lead', story(net, l, p, state, wrong)),
    valueTable(net, rows, s));
}
function neuronMaths(net, l, p, s) {
  const layer = net.d.layers[l], kind = KINDS[layer.kind], act = INDEX.formulas.activations[layer.act];
  return [
    section('forward', 'Forward: from its inputs to its activation', true, () => [kind.forward(net, l, s, p), activation(net, l, s, p, layer, act)]),
    section('backward', 'Backward: where its δ comes from', true, () => backward(net, l, s, p, layer, act, kind)),
    section('gradients', 'Gradients: what its weights learn', true, () => gradients(net, l, p)),
    net.d.lr !== undefined ? section('update', net.d.training ? 'Update' : 'Update: one step down the slope', true, () => update(net, l, p)) : null,
    sideBySide(net, l, p, s),
  ];
}

const openSections = new Map(); // what the reader opened stays open from neuron to neuron
function section(key, title, open, make) {
  const body = h('div.body'), node = h('details' + (key.includes('.') ? '.wide-section' : ''), {open: openSections.get(key) ?? open, 'data-section': key.split('.')[0]}, h('summary', title), body);
  const show = () => { if (node.open && !body.firstChild) add(body, make()); };
  node.addEventListener('toggle', () => { show(); });
  node.querySelector('summary').addEventListener('click', () => openSections.set(key, !node.open));
  show();
  return node;
}

function neuronRows(net, l, p, s) {
  const rows = [], row = (q, label, v, extra) => { if (v) rows.push({q, label, v, ...extra}); };
  row('z', ['weighted sum ', term('z', 'z')], net.value('z', l, s, p));
  row('a', ['activation ', term('a', 'a')], net.value('a', l, s, p));
  row('delta', ['delta ', term('delta', 'δ')], net.value('delta', l, s, p));
  row('bias_gradient', [term('bias', 'bias'), ' gradient'], net.value('bias_gradient', l, p));
  net.list(l - 1).forEach((_, i) => row('weight_gradient', ['weight ', term('gradient', 'gradient'), `, ${net.brief(l - 1, i)}`], net.value('weight_gradient', l, p, i), {i}));
  row('updated_bias', [term('updated', 'updated'), ' bias'], net.value('updated_bias', l, p));
  net.list(l - 1).forEach((_, i) => row('updated_weight', [term('updated', 'updated'), ` weight, ${net.brief(l - 1, i)}`], net.value('updated_weight', l, p, i), {i}));
  return rows;
}

// What happened here, in words.
function story(net, l, p, state, wrong) {
  if (state === '?') return 'Nothing was replied for this neuron, so nothing can be said of it.';
  if (state === '.') return 'Every value that was replied for it is within what rounding allows.';
  const words = (letters) => {
    const found = wrong.filter((row) => letters.includes(row.v.state)), parts = [];
    for (const q of Object.keys(QUANTITIES)) {
      const n = found.filter((row) => row.q === q).length;
      if (n) parts.push(q.endsWith('weight') || q === 'weight_gradient' ? (n === 1 ? 'one ' + QUANTITIES[q] : `${n} ${QUANTITIES[q]}s`) : QUANTITIES[q]);
    }
    return parts.length > 1 ? parts.slice(0, -1).join(', ') + ' and ' + parts.at(-1) : parts[0];
  };
  const be = (text) => text.includes(' and ') || /^\d/.test(text) ? 'are' : 'is', roots = words('r'), rest = words('iu');
  const unstable = wrong.some((row) => row.v.unstable) ? ' A formula that is right but unstable gives this.' : '';
  if (roots) return [h('strong', 'Here is a mistake: '), `${roots} ${be(roots)} wrong although everything it is computed from is right.`,
    rest ? ` From there ${rest} ${be(rest)} wrong too.` : '', unstable];
  if (!rest) return 'It is wrong in another sample of the batch; in this one its values are right.';
  const tail = state === 'i' ? 'only because something it is computed from is wrong.' : 'whether the mistake happens here could not be told.';
  return [`${rest[0].toUpperCase()}${rest.slice(1)} ${be(rest)} wrong${state === 'i' ? ', ' : '; '}${tail}`, unstable];
}

function numberCells(v) {
  if (v.g === null) return [h('td.n', {title: String(v.e)}, digits(v.e, 7)), h('td.n.muted', '–'), h('td.n'), h('td.n', digits(v.allowed, 3))];
  const bad = 'riu'.includes(v.state), [e, g] = bad ? both(v.e, v.g) : [digits(v.e, 7), digits(v.g, 7)];
  return [
    h('td.n', {title: `expected ${v.e}`}, bad ? parted(e, g) : e), h('td.n.got', {title: `got ${v.g}`}, bad ? parted(g, e) : g),
    h('td.n', {title: String(v.error)}, digits(v.error, 3)), h('td.n', {title: String(v.allowed)}, digits(v.allowed, 3)),
  ];
}

function valueTable(net, rows, s, whole = false) {
  const LIMIT = 14, body = h('tbody');
  const line = (row) => h(`tr.s-${name(row.v.state)}`, {'data-q': row.q}, h('td.sign-cell', sign(row.v.state)), h('th', {scope: 'row'}, row.label, row.v.unstable ? [' ', term('unstable', 'unstable')] : null, row.v.recovered && row.v.g !== null ? h('span.under', 'follows from its gradients') : null), numberCells(row.v));
  const draw = (all) => {
    const bad = new Set(rows.filter((row) => 'riu'.includes(row.v.state)).slice(0, 24));
    const kept = all || rows.length <= LIMIT + 3 ? rows : rows.filter((row, n) => row.i === undefined || row.i < 3 || bad.has(row));
    fill(body, kept.map(line));
    if (kept.length < rows.length) add(body, h('tr.rest', h('td', {colspan: 6}, button(`… ${rows.length - kept.length} more`, () => draw(true), {class: 'link'}))));
  };
  draw(false);
  return h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'values of this neuron'}, h('table.values', h('caption', !whole && (net.samples > 1 || net.d.samples > 1) ? `z, a and δ are those of sample ${net.shown.samples[s]}` : 'what it should be, and what it is'),
    h('thead', h('tr', h('th', {scope: 'col'}, h('span.hide', 'verdict')), h('th', {scope: 'col'}, 'quantity'), ['expected', 'got', 'error', 'allowed'].map((key) => h('th.n', {scope: 'col'}, term(key, key))))), body));
}

// The same neuron in the other implementations' results.
function sideBySide(net, l, p, s) {
  const others = (byCase.get(CASES.id[net.row]) || []).filter((row) => row !== net.row);
  if (!others.length) return null;
  return section('side.wide', 'Side by side with the other implementations', true, () => {
    const nets = others.map((row) => [row, detailOf(row)]);
    const columns = [[net.row, net], ...nets];
    const rows = neuronRows(net, l, p, s).slice(0, 24);
    const cell = (row, other) => {
      if (OUT[CASES.out[row]].key === 'passed') return h('td.n', mark('.'));
      if (!isNet(other)) return h('td.n.muted', OUT[CASES.out[row]].words);
      const place = {l, p: other.at(l, net.neuron(l, p)), s: other.shown.samples.indexOf(net.shown.samples[s])};
      return (q, i) => {
        const k = i === undefined ? 0 : other.at(l - 1, net.neuron(l - 1, i));
        if (place.p < 0 || place.s < 0 || k < 0) return h('td.n.muted', 'not in this page');
        const v = 'z a delta'.split(' ').includes(q) ? other.value(q, l, place.s, place.p) : i === undefined ? other.value(q, l, place.p) : other.value(q, l, place.p, k);
        if (!v || v.g === null) return h('td.n.muted', '–');
        return h('td.n', {title: String(v.g)}, digits(v.g, 7), ' ', sign(v.state));
      };
    };
    const made = columns.map(([row, other]) => cell(row, other));
    return h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'side by side'}, h('table.values', h('caption', 'what each implementation replied for this neuron'),
      h('thead', h('tr', h('th', {scope: 'col'}, 'quantity'), h('th.n', {scope: 'col'}, 'expected'), columns.map(([row]) => h('th.n', {scope: 'col'}, INDEX.impls[CASES.impl[row]].label)))),
      h('tbody', rows.map((row) => h('tr', h('th', {scope: 'row'}, row.label), h('td.n', digits(row.v.e, 7)), made.map((one) => typeof one === 'function' ? one(row.q, row.i) : one.cloneNode(true)))))));
  });
}

function activation(net, l, s, p, layer, act) {
  const z = net.value('z', l, s, p), a = net.value('a', l, s, p);
  const numbers = (key) => key === 'z' ? number(z.e) : key === 'a' ? number(a.e) : key === 'alpha' ? number(layer.alpha) : symbol(key);
  const out = [h('p', `${act.name} ${act.says}:`), formula(mathSub('a', 'j'), m('mo', '='), act.value)];
  if (!act.layer) out.push(formula(m('mo', '='), act.value[0] === '$' ? [] : [tree(act.value, numbers), m('mo', '=')], result(a.e)));
  else out.push(formula(mathSub('a', 'j'), m('mo', '='), result(a.e)), h('p.hint', 'It reads the weighted sums of all neurons of the layer.'));
  return out;
}

function backward(net, l, s, p, layer, act, kind) {
  const last = l === net.depth - 1, d = net.value('delta', l, s, p), out = [];
  const z = net.value('z', l, s, p), a = net.value('a', l, s, p), g = net.outerror(l, s, p), slope = net.slope(l, s, p);
  const own = !last && net.list(l + 1).some((_, k) => 'riu'.includes(net.value('delta', l + 1, s, k).state) && net.value('delta', l + 1, s, k).g !== null);
  if (last) {
    const loss = INDEX.formulas.losses[net.d.loss.kind], t = net.target(s, p), mean = net.d.reduction === 'mean' && net.d.samples > 1;
    const known = {a: a.e, t, K: net.width(l), T: net.d.loss.threshold ?? 1};
    const put = (key) => known[key] !== undefined ? number(known[key]) : symbol(key);
    out.push(h('p', ['The ', term('loss', 'loss'), ` is the ${loss.name}: ${loss.says}.`]), formula(m('mi', 'ℓ'), m('mo', '='), loss.value),
      h('p', 'How it changes with this output', mean ? `, shared by the ${net.d.samples} samples of the batch:` : ':'));
    out.push(formula(partial(mathSub('a', 'j')), m('mo', '='), mean ? [m('mfrac', m('mn', '1'), m('mi', 'S')), m('mo', '·'), m('mrow', m('mo', '('), tree(loss.slope, symbol), m('mo', ')'))] : loss.slope));
    out.push(formula(m('mo', '='), mean ? [m('mfrac', m('mn', '1'), m('mn', String(net.d.samples))), m('mo', '·'), m('mrow', m('mo', '('), tree(loss.slope, put), m('mo', ')'))] : tree(loss.slope, put), m('mo', '='), g === null ? m('mtext', 'not finite') : result(g)));
  } else out.push(...kind.backward(net, l, s, p, own));
  const values = (key) => key === 'z' ? number(z.e) : key === 'a' ? number(a.e) : key === 'alpha' ? number(layer.alpha) : key === 'g' ? (g === null ? symbol(key) : number(g)) : symbol(key);
  const prime = [m('mi', 'φ′'), m('mo', '('), mathSub('z', 'j'), m('mo', ')'), m('mo', '=')];
  if (act.layer) {
    out.push(h('p', `Through the ${act.name}, all outputs of the layer together, with g = ∂L/∂a:`), formula(mathSub('δ', 'j'), m('mo', '='), act.slope), formula(mathSub('δ', 'j'), m('mo', '='), result(d.e)));
  } else {
    out.push(h('p', [`The `, term('phi', 'slope'), ` of the ${act.name} at this z:`]), formula(...prime, act.slope, varies(act.slope) ? [m('mo', '='), tree(act.slope, values)] : [], slope === null ? [] : [m('mo', '='), result(slope)]));
    out.push(h('p', ['Both together are its ', term('delta', 'δ'), ':']));
    out.push(formula(mathSub('δ', 'j'), m('mo', '='), partial(mathSub('a', 'j')), m('mo', '·'), m('mi', 'φ′'), m('mo', '('), mathSub('z', 'j'), m('mo', ')'), m('mo', '='),
      g === null || slope === null ? [] : [number(g), m('mo', '·'), number(slope), m('mo', '=')], result(d.e)));
  }
  const matched = {'sigmoid binary_cross_entropy': 1, 'softmax cross_entropy': 1}[`${layer.act} ${net.d.loss.kind}`];
  if (last && matched) out.push(h('p.hint', 'For this activation and this loss the two undo each other, and δ is a − t (times the sum of the targets, for a softmax).'));
  out.push(verdictOnDelta(net, l, s, d, own, slope));
  return out;
}

function verdictOnDelta(net, l, s, d, own, slope) {
  if (d.g === null) return h('p.hint', 'The implementation did not report its δ.');
  if (d.state === '.') return h('p.result.s-right', mark('.'), ` It replied ${digits(d.g, 9)}.`);
  const causes = INDEX.impls[CASES.impl[net.row]].causes, mine = CASES.cause[net.row].map((n) => causes[n]).filter((cause) => cause && cause.implemented);
  return h(`div.result.s-${name(d.state)}`, mark(d.state), ` It replied `, h('b', both(d.e, d.g)[1]), `: an error of ${digits(d.error, 3)}, where rounding allows ${digits(d.allowed, 2)}.`,
    own && slope !== null && d.state === 'i' ? ' With the δ that it was fed (the coloured ones), its own step is right.' : null,
    d.state === 'r' ? mine.map((cause) => h('div.as', h('span.hint', `As it was computed (${cause.code}): `), h('code', cause.implemented))) : null);
}

function gradients(net, l, p) {
  const n = net.list(l - 1).length, first = range(n).find((i) => 'riu'.includes(net.value('weight_gradient', l, p, i).state)) ?? 0;
  const body = h('div'), list = net.shown.samples;
  const draw = (i) => {
    const v = net.value('weight_gradient', l, p, i);
    fill(body, sumTable({
      caption: `Sample by sample: the gradient of the weight from ${net.brief(l - 1, i)}`,
      heads: ['sample', ['its input ', term('a', 'a')], [term('delta', 'δ')], 'δ · a'],
      rows: list.map((sample, s) => {
        const d = net.value('delta', l, s, p), a = net.read(l, s, i);
        return {cells: [sample, a.e, d.e], term: d.e * a.e, own: 'riu'.includes(d.state) ? [d.g, d.g * a.e] : null};
      }),
      more: net.d.samples - list.length, add: [], total: v.e, result: [partial(mathSub('w', 'ji'))], math: true,
    }), v.g === null ? h('p.hint', 'The implementation did not report this gradient.')
      : h(`p.result.s-${name(v.state)}`, mark(v.state), ` It replied ${'riu'.includes(v.state) ? both(v.e, v.g)[1] : digits(v.g, 9)}.`));
  };
  draw(first);
  const choice = h('select', {onchange: (event) => draw(Number(event.target.value))}, range(n).map((i) => {
    const state = net.value('weight_gradient', l, p, i).state;
    return h('option', {value: String(i), selected: i === first}, `${net.brief(l - 1, i)}${'riu'.includes(state) ? ' ' + STATES[state].sign : ''}`);
  }));
  choice.value = String(first);
  return [formula(partial(mathSub('w', 'ji')), m('mo', '='), m('munder', m('mo', 'Σ'), m('mi', 's')), mathSub('δ', 'j'), m('mo', '·'), mathSub('a', 'i')), formula(partial(mathSub('b', 'j')), m('mo', '='), m('munder', m('mo', 'Σ'), m('mi', 's')), mathSub('δ', 'j')),
    n > 1 ? h('label.inline', 'Weight from ', choice) : null, body];
}

function update(net, l, p) {
  const eta = net.d.lr, i = range(net.list(l - 1).length).find((k) => 'riu'.includes(net.value('updated_weight', l, p, k)?.state)) ?? 0;
  const w = net.weight(l, p, i), g = net.value('weight_gradient', l, p, i), u = net.value('updated_weight', l, p, i);
  const plus = m('msubsup', m('mi', 'w'), m('mrow', m('mi', 'j'), m('mi', 'i')), m('mo', '+'));
  const out = net.d.training ? [h('p', `${net.d.training.words}. ${count(net.d.steps, 'update')}, each judged by the gradients and parameters that the implementation itself reported before it; explain works them out number by number.`)] : [formula(plus, m('mo', '='), mathSub('w', 'ji'), m('mo', '−'), m('mi', 'η'), m('mo', '·'), partial(mathSub('w', 'ji')))];
  if (net.d.training) out.push(h('p', `The updated weight from ${net.brief(l - 1, i)}:`), formula(plus, m('mo', '='), result(u.e)));
  else if (net.d.steps === 1) out.push(h('p', `The weight from ${net.brief(l - 1, i)}, with the `, term('rate', 'learning rate'), ` η = ${eta}:`), formula(m('mo', '='), number(w), m('mo', '−'), number(eta), m('mo', '·'), number(g.e), m('mo', '='), result(u.e)));
  else out.push(h('p', `This case takes ${net.d.steps} such steps, each with the gradients of its own pass, with the `, term('rate', 'learning rate'), ` η = ${eta}; the updated values are those after the last.`));
  out.push(u.g === null ? h('p.hint', 'The implementation did not report its updated weights.') : h(`p.result.s-${name(u.state)}`, mark(u.state), ` It replied ${both(u.e, u.g)[1]}.`));
  return out;
}
