// One number: what it should be and what it is, its parameters, then its mathematics, forward and backward. The formulas
// are Python's; here they only get their place, and what the implementation replied below them.
const QUANTITIES = {
  z: 'its weighted sum z', a: 'its activation a', delta: 'its δ', input_gradient: 'its gradient', bias_gradient: 'the gradient of its bias', weight_gradient: 'weight gradient',
  updated_bias: 'its updated bias', updated_weight: 'updated weight', gradient: 'its gradient', updated: 'its updated value', buffer: 'its new value',
};
const SAID = {z: ['weighted sum ', 'z'], a: ['activation ', 'a'], delta: ['delta ', 'δ'], input_gradient: ['gradient ', '∂L/∂x']};
const ORDER = ['z', 'a', 'delta'];

function neuronPanel(net, l, p, s) {
  const state = net.state(l, p), rows = neuronRows(net, l, p, s), wrong = rows.filter((row) => 'riu'.includes(row.v.state)), given = net.given(s, l, p);
  return h(`section.panel.s-${name(state)}`, {'aria-labelledby': 'neuron-title', id: 'neuron'},
    h('div.panel-head', h('h3', {id: 'neuron-title', tabindex: '-1'}, net.label(l, p)), mark(state)),
    h('p.lead', story(net, l, p, state, wrong)),
    given === undefined ? null : h('p.facts', `Its value is ${digits(given, 9)}.`),
    valueTable(net, rows, s, !!net.sheets[l].wire));
}

// The values of a number, then those of the parameters that it is made of.
function neuronRows(net, l, p, s) {
  const sheet = net.sheets[l], own = (q) => sheet.wire ? kindOf(q) : q;
  const label = (q) => SAID[q] ? [SAID[q][0], INDEX.glossary[q] ? term(q, SAID[q][1]) : SAID[q][1]] : q.endsWith('_buffer') ? ['its new value'] : said(q);
  const rows = sheet.keys.map((key) => [key, key.split('.')[0]]).sort((a, b) => ORDER.indexOf(a[1]) - ORDER.indexOf(b[1])).map(([key, q]) => ({q, kind: own(q), label: label(q), v: net.value(key, s, l, p)}));
  const parts = net.parts(l, p, s).map(([k, unit]) => [k, net.sheets[k].list.indexOf(unit)]).filter(([, at]) => at >= 0);
  for (const n of [0, 1]) {
    parts.forEach(([k, at]) => {
      const {keys, of} = net.sheets[k], key = keys[n];
      if (!key) return;
      const q = key.split('.')[0], name = button(partName(net, k, at), () => choose(k, at), {class: 'link', title: net.label(k, at)});
      rows.push({q, kind: of === l ? q : kindOf(q), label: n ? [said(q), ' ', name] : [said(q), ' of ', name, h('span.hint', ` = ${digits(net.given(s, k, at), 6)}`)], v: net.value(key, s, k, at), part: rows.length, sheet: k, unit: net.unit(k, at)});
    });
  }
  return rows.filter((row) => row.v);
}
const kindOf = (q) => q.endsWith('_buffer') ? 'buffer' : q.startsWith('updated_') ? 'updated' : 'gradient';
const said = (q) => q.startsWith('updated_') ? term('updated', 'updated') : term('gradient', 'gradient');
function partName(net, k, p) {
  const sheet = net.sheets[k], at = net.indexes(k, p);
  return sheet.of === undefined ? `${sheet.title} [${at.join(', ')}]` : [sheet.title, ...at.slice(1)].join(' ');
}

// What happened here, in words.
function story(net, l, p, state, wrong) {
  if (state === '?') return net.sheets[l].node ? 'Nothing was replied for this neuron, so nothing can be said of it.' : 'Its gradient was not replied.';
  if (state === '.') return 'Every value that was replied for it is within what rounding allows.';
  const words = (letters) => {
    const found = wrong.filter((row) => letters.includes(row.v.state)), parts = [];
    for (const q of Object.keys(QUANTITIES)) {
      const n = found.filter((row) => row.kind === q).length;
      if (n) parts.push(/^(updated_)?weight/.test(q) ? (n === 1 ? 'one ' + QUANTITIES[q] : `${n} ${QUANTITIES[q]}s`) : n > 1 ? `the gradients of ${n} parameters` : QUANTITIES[q]);
    }
    return parts.length > 1 ? parts.slice(0, -1).join(', ') + ' and ' + parts.at(-1) : parts[0];
  };
  const be = (text) => text.includes(' and ') || /^\d|^the gradients/.test(text) ? 'are' : 'is', roots = words('r'), rest = words('iu');
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

function valueTable(net, rows, s, whole) {
  const LIMIT = 14, body = h('tbody');
  const line = (row) => h(`tr.s-${name(row.v.state)}`, {'data-q': row.q}, h('td.sign-cell', sign(row.v.state)), h('th', {scope: 'row'}, row.label, row.v.unstable ? [' ', term('unstable', 'unstable')] : null, row.v.recovered && row.v.g !== null ? h('span.under', 'follows from its gradients') : null), numberCells(row.v));
  const draw = (all) => {
    const bad = new Set(rows.filter((row) => 'riu'.includes(row.v.state)).slice(0, 24)), first = new Map();
    const few = (row) => { const n = first.get(row.q) || 0; first.set(row.q, n + 1); return n < 3; };
    const kept = all || rows.length <= LIMIT + 3 ? rows : rows.filter((row) => few(row) || bad.has(row));
    fill(body, kept.map(line));
    if (kept.length < rows.length) add(body, h('tr.rest', h('td', {colspan: 6}, button(`… ${rows.length - kept.length} more`, () => draw(true), {class: 'link'}))));
  };
  draw(false);
  return h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'values of this neuron'}, h('table.values', h('caption', !whole && net.d.samples > 1 ? `z, a and δ are those of sample ${net.shown.samples[s]}` : 'what it should be, and what it is'),
    h('thead', h('tr', h('th', {scope: 'col'}, h('span.hide', 'verdict')), h('th', {scope: 'col'}, 'quantity'), ['expected', 'got', 'error', 'allowed'].map((key) => h('th.n', {scope: 'col'}, term(key, key))))), body));
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

// The mathematics: a number's own steps, and those of one of its parameters.
const stageOf = (step) => INDEX.says[step.n][0];
function neuronMaths(net, l, p, s) {
  const told = net.told(l, p, s), {wire} = net.sheets[l], seen = new Set();
  const of = (key, title, fits) => {
    const steps = told ? told.steps.filter((step) => fits.test(stageOf(step))) : [];
    return steps.length ? section(key, title + (net.d.samples > 1 && !wire ? `, for sample ${told.s}` : ''), true, () => steps.map((step) => stepLines(net, step, told, s, seen))) : null;
  };
  const parts = wire ? [[l, net.unit(l, p)]] : net.parts(l, p, s).filter(([k, unit]) => net.d.told[`${k}:${unit}`]);
  return [
    told ? null : untold(net, l, p, s),
    of('forward', wire ? 'How it came to its new value' : 'Forward: how it is made', wire ? /^(weighted sum|sum|function|activation)$/ : /^(?!.*(error|slope|delta|gradient|update|memory))/),
    of('backward', 'Backward: what flows back to it', /error|slope|delta/),
    wire ? null : of('gradients', 'Gradient', /gradient$/),
    parts.length ? learns(net, parts, 'gradients', wire ? 'Gradient: added up over all places where it is used' : 'Gradients: what its parameters learn', /gradient$/, s) : null,
    parts.length ? learns(net, parts, 'update', 'Update', /^(update|memory)$/, s) : null,
    sideBySide(net, l, p, s),
  ];
}
// One parameter's steps, the first wrong one's; the others that are told can be chosen.
function learns(net, parts, key, title, fits, s) {
  const there = parts.map(([k, unit]) => [k, unit, net.d.told[`${k}:${unit}`]]).filter(([, , told]) => told && told.steps.some((step) => fits.test(stageOf(step))));
  if (!there.length) return null;
  return section(key, title, true, () => {
    const label = ([k, unit]) => partName(net, k, net.sheets[k].list.indexOf(unit)), state = ([k, unit]) => net.state(k, net.sheets[k].list.indexOf(unit));
    const body = h('div.stack'), draw = (n) => fill(body, there[n][2].steps.filter((step) => fits.test(stageOf(step))).map((step) => stepLines(net, step, there[n][2], s, new Set())));
    const first = Math.max(0, there.findIndex((one) => 'riu'.includes(state(one))));
    draw(first);
    const choice = h('select', {onchange: (event) => draw(Number(event.target.value))}, there.map((one, n) => h('option', {value: String(n), selected: n === first}, `${label(one)}${'riu'.includes(state(one)) ? ' ' + STATES[state(one)].sign : ''}`)));
    choice.value = String(first);
    const {steps, training} = net.d, later = key === 'update' && (steps > 1 || training);
    return [later ? h('p.hint', [training && `${training}. `, steps > 1 && `This is the first of ${steps} updates; the updated values are those after the last. `, training && 'An update is judged by the gradients and parameters that the implementation itself reported before it.']) : null, there.length > 1 ? h('label.inline', 'Of ', choice) : null, body];
  });
}
function stepLines(net, step, told, s, seen) {
  const [stage, sentence, general] = INDEX.says[step.n], hint = (text) => text ? h('p.hint', text) : null;
  const first = !seen.has(step.n);
  seen.add(step.n);
  return h('div.told', h('p', h('b', stage), step.place ? `, ${step.place}` : ''), first ? [hint(formula(sentence)), h('p.general', formula(general))] : null,
    h('pre.lines', {tabindex: '0', role: 'group', 'aria-label': 'formula'}, indented(step.t)), (step.notes || []).map((note) => hint(formula(typeof note === 'number' ? INDEX.says[note][0] : note))), verdictOn(net, step, told, s));
}
// What was replied for a step's value, and what its formula gives with the numbers that it was fed.
function verdictOn(net, step, told, s) {
  if (!step.at) return step.fed ? h('p.fed', h('span.hint', 'with what was replied: '), formula(step.fed)) : null;
  const [l, unit, k] = step.at, p = net.sheets[l].list.indexOf(unit), at = told.s === undefined ? s : net.shown.samples.indexOf(told.s);
  const v = p < 0 || at < 0 ? null : net.value(net.sheets[l].keys[k], at, l, p);
  if (!v || v.g === null) return null;
  if (v.state === '.') return h('p.result.s-right', mark('.'), ` It replied ${digits(v.g, 9)}.`);
  const causes = INDEX.impls[CASES.impl[net.row]].causes, mine = CASES.cause[net.row].map((n) => causes[n]).filter((cause) => cause && cause.implemented);
  return h(`div.result.s-${name(v.state)}`, mark(v.state), ' It replied ', h('b', both(v.e, v.g)[1]), `: an error of ${digits(v.error, 3)}, where rounding allows ${digits(v.allowed, 2)}.`,
    step.fed ? h('div.as', h('span.hint', 'With what was replied before it: '), h('span.fed', formula(step.fed)), v.state === 'i' ? '; its own step is right.' : '') : null,
    v.state === 'r' && stageOf(step) === 'delta' ? mine.map((cause) => h('div.as', h('span.hint', `As it was computed (${cause.code}): `), h('code', cause.implemented))) : null);
}
function untold(net, l, p, s) {
  const sheet = net.sheets[l], at = net.indexes(l, p).join(','), id = CASES.id[net.row];
  if ((sheet.keys[0] || '').endsWith('_buffer')) return null;
  const what = sheet.wire ? `--weight ${sheet.title}:${at}` : `--neuron ${sheet.node ? net.d.nodes[sheet.node].name : 'input'}:${at}`;
  const command = `backprop-check explain ${id} ${what}${net.d.samples > 1 && !sheet.wire ? ` --sample ${net.shown.samples[s]}` : ''}`.replace(/[^A-Za-z0-9._:, -]/g, '_');
  return h('p.note', 'The mathematics of this number is not in the page. This tells it, with the case’s id or the file that you download: ', h('code', command));
}

// The same number in the other implementations' results.
function sideBySide(net, l, p, s) {
  const others = (byCase.get(CASES.id[net.row]) || []).filter((row) => row !== net.row);
  if (!others.length) return null;
  return section('side.wide', 'Side by side with the other implementations', true, () => {
    const columns = [[net.row, net], ...others.map((row) => [row, detailOf(row)])], rows = neuronRows(net, l, p, s).slice(0, 24);
    const cell = (row, other, one) => {
      if (OUT[CASES.out[row]].key === 'passed') return h('td.n', mark('.'));
      if (!isNet(other)) return h('td.n.muted', OUT[CASES.out[row]].words);
      const k = one.sheet ?? l, at = other.sheets[k].list.indexOf(one.unit ?? net.unit(l, p)), t = other.shown.samples.indexOf(net.shown.samples[s]);
      if (at < 0 || t < 0) return h('td.n.muted', 'not in this page');
      const v = other.value(other.sheets[k].keys.find((key) => key.split('.')[0] === one.q), t, k, at);
      return !v || v.g === null ? h('td.n.muted', '–') : h('td.n', {title: String(v.g)}, digits(v.g, 7), ' ', sign(v.state));
    };
    return h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'side by side'}, h('table.values', h('caption', 'what each implementation replied'),
      h('thead', h('tr', h('th', {scope: 'col'}, 'quantity'), h('th.n', {scope: 'col'}, 'expected'), columns.map(([row]) => h('th.n', {scope: 'col'}, INDEX.impls[CASES.impl[row]].label)))),
      h('tbody', rows.map((one) => h('tr', h('th', {scope: 'row'}, one.label), h('td.n', digits(one.v.e, 7)), columns.map(([row, other]) => cell(row, other, one)))))));
  });
}
