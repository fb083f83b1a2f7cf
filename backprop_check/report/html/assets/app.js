// Which case, neuron and sample are looked at; the address, the keys, the theme.
const view = {row: -1, l: null, p: null, s: 0, show: 'delta', net: null, diagram: null};

function casePanel() { return h('section.stage', {id: 'stage', 'aria-labelledby': 'case-title'}); }

function openCase(row, want = {}) {
  const before = view.row;
  Object.assign(view, {row, net: detailOf(row), diagram: null, l: null, p: null, s: 0});
  const net = view.net, stage = byId('stage');
  for (const each of document.querySelectorAll('#rows tr')) {
    const here = Number(each.dataset.row) === row;
    each.classList.toggle('current', here);
    const link = each.querySelector('a');
    if (link) { if (here) link.setAttribute('aria-current', 'true'); else link.removeAttribute('aria-current'); }
    if (here && before !== row) { const box = each.closest('.rows'), top = each.offsetTop; if (top < box.scrollTop + 40 || top > box.scrollTop + box.clientHeight - 60) box.scrollTop = Math.max(0, top - box.clientHeight / 2); }
  }
  if (isNet(net)) {
    [view.l, view.p] = (want.neuron && net.find(want.neuron)) || net.wrongOrder[0] || [net.sheets.findLastIndex((sheet) => sheet.keys[0]?.startsWith('a.')), 0];
    const bad = net.d.badSamples.indexOf(1), sample = net.shown.samples.indexOf(want.sample ?? CASES.first[row][2] ?? -1);
    view.s = sample >= 0 ? sample : Math.max(0, bad);
    view.show = ['z', 'a', 'delta'].find((q) => q === net.wrongIn(view.l, view.p, view.s)) || 'delta';
  }
  fill(stage, caseHead(row), isNet(net) ? network(net) : net ? withoutNetwork(net) : passed(row));
  drawPanel();
  if (view.diagram) view.diagram.reveal();
  document.title = `${CASES.id[row]} · ${INDEX.title} · backprop-check`;
}
function caseHead(row) {
  const out = OUT[CASES.out[row]], state = outcomeState(row), one = INDEX.impls[CASES.impl[row]], net = view.net;
  const command = one.reproduce ? `${one.reproduce} --case ${CASES.id[row].replace(/[^A-Za-z0-9._-]/g, '_')}` : '';
  const twins = (byCase.get(CASES.id[row]) || []).filter((other) => other !== row);
  return [
    h('div.case-head', h('h2', {id: 'case-title', tabindex: '-1'}, CASES.id[row]), h('div.chips', h(`span.mark.big.s-${name(state)}`, h('span', {'aria-hidden': 'true'}, STATES[state].sign), ' ', out.words),
      several ? h('span.chip', one.label) : null, h('span.chip', INDEX.suites[CASES.suite[row]]), CASES.cause[row].map((n) => one.causes[n] ? h('span.chip.code', one.causes[n].code ? `${one.causes[n].code} ${one.causes[n].title || ''}`.trim() : one.causes[n].title || 'no name fits') : null))),
    CASES.msg[row] ? h('p.message', CASES.msg[row]) : null,
    isNet(net) ? h('p.facts', net.about()) : null,
    twins.length ? h('p.twins', 'The same case: ', twins.map((other, n) => [n ? ', ' : '', h('a', {href: href(other)}, INDEX.impls[CASES.impl[other]].label), ' ', h(`span.mark.s-${name(outcomeState(other))}`, h('span', {'aria-hidden': 'true'}, STATES[outcomeState(other)].sign), ' ', OUT[CASES.out[other]].words)])) : null,
    fails(row) ? h('div.tools', command ? h('div.command', h('code', {id: 'command', tabindex: '0', role: 'group', 'aria-label': 'command to reproduce'}, command), button('Copy', (event) => copy(command, event.target), {class: 'quiet', 'aria-label': 'Copy the command that reproduces this case'})) : null,
      isNet(net) && !net.cut ? [button('Copy the request', (event) => copy(net.caseJson(CASES.id[row]), event.target), {class: 'quiet', title: 'one line of JSON, to pipe into the port'}), button('Download the case', () => { save(net.caseJson(), `${CASES.id[row].replace(/[^A-Za-z0-9._-]/g, '_')}.json`); say('The case was saved.'); }, {class: 'quiet', id: 'download-case'})] : null) : null,
  ];
}
function network(net) {
  const select = (l, p, focus) => { choose(l, p); if (focus) view.diagram.focus(); };
  view.diagram = new Diagram(net, view, select);
  const radios = h('fieldset.show', h('legend', 'Shown'), [['z', 'z'], ['a', 'a'], ['delta', 'δ']].map(([key, text]) => h('label', h('input', {type: 'radio', name: 'show', value: key, checked: view.show === key, onchange: () => { view.show = key; view.diagram.draw(); }}), h('span', text))));
  const samples = net.d.samples > 1 ? h('div.samples', {role: 'group', 'aria-label': 'sample'}, h('span', {'aria-hidden': 'true'}, 'Sample'), net.shown.samples.map((sample, s) => button([String(sample), net.d.badSamples[s] ? h('span.dot', {'aria-hidden': 'true'}, '✕') : null], () => pickSample(s), {'data-s': s, 'aria-pressed': String(view.s === s), 'aria-label': `sample ${sample}${net.d.badSamples[s] ? ', has wrong values' : ''}`}))) : null;
  return [
    net.notice() ? h('p.note', net.notice()) : null,
    elsewhere(net),
    h(net.d.neurons ? 'div.split' : 'div.stack', h('div.left', h('div.diagram-head', h('h3', 'The network'), radios), samples, view.diagram.node,
      h('p.step', net.wrongOrder.length > 1 && button('← previous wrong', () => nextWrong(-1), {class: 'quiet'}), net.wrongOrder.length > 0 && button('next wrong →', () => nextWrong(1), {class: 'quiet'}), h('span.hint', {id: 'position'}))), h('div.right', {id: 'panel'})), h(net.d.neurons ? 'div.maths' : 'div.maths.long', {id: 'maths'}), notes(net),
  ];
}
function drawPanel() {
  const net = view.net, box = byId('panel');
  if (!box || !isNet(net)) return;
  fill(box, neuronPanel(net, view.l, view.p, view.s));
  fill(byId('maths'), neuronMaths(net, view.l, view.p, view.s));
  const n = net.wrongOrder.findIndex(([l, p]) => l === view.l && p === view.p), all = net.wrongCount, what = net.d.neurons ? 'wrong neuron' : 'wrong number';
  byId('position').textContent = all ? `${n >= 0 ? `${n + 1} of ` : ''}${count(all, what)}${all > net.wrongOrder.length ? `, ${net.wrongOrder.length} of them here` : ''}` : `no ${what.slice(6)} is wrong`;
}
function choose(l, p) {
  Object.assign(view, {l, p});
  view.diagram.draw();
  drawPanel();
  address();
}
function pickSample(s) {
  view.s = s;
  for (const each of document.querySelectorAll('.samples button')) each.setAttribute('aria-pressed', String(Number(each.dataset.s) === s));
  view.diagram.draw();
  drawPanel();
  address();
}
function nextWrong(step) {
  const net = view.net;
  if (!isNet(net) || !net.wrongOrder.length) return;
  const n = net.wrongOrder.findIndex(([l, p]) => l === view.l && p === view.p), many = net.wrongOrder.length;
  const [l, p] = net.wrongOrder[n < 0 ? 0 : (n + step + many) % many];
  choose(l, p);
  say(`${net.label(l, p)}, ${STATES[net.state(l, p)].words}`);
}
function elsewhere(net) { // findings that no circle can show: whole arrays, updates, the loss, the inputs
  const rows = net.d.others.slice();
  if (isNet(net)) {
    const found = (v, at) => { if ('riu'.includes(v.state)) rows.unshift({at, o: v.state, expected: v.e, actual: v.g, error: v.error, allowed: v.allowed}); };
    found(net.loss(), 'loss');
  }
  if (!rows.length && !net.d.unlisted) return null;
  const numbers = rows.some((one) => one.expected !== undefined || one.actual !== undefined);
  const text = (one, key) => typeof one[key] === 'number' ? digits(one[key], key === 'expected' || key === 'actual' ? 10 : 3) : one[key] ?? '';
  return h('div.others', rows.length ? h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'further findings'}, h('table.values', h('caption', isNet(net) ? 'Wrong, and not one neuron’s:' : 'What is wrong:'),
    h('thead', h('tr', h('th', {scope: 'col'}, 'where'), numbers ? ['expected', 'got', 'error', 'allowed'].map((key) => h('th', {scope: 'col'}, term(key, key))) : null, h('th', {scope: 'col'}, 'verdict'))),
    h('tbody', rows.map((one) => h(`tr.s-${name(one.o)}`, h('th', {scope: 'row'}, one.at), numbers ? ['expected', 'actual', 'error', 'allowed'].map((key) => h('td', text(one, key))) : null, h('td', mark(one.o), one.problem ? ` ${one.problem}` : '', one.unstable ? [' ', term('unstable', 'unstable')] : '')))))) : null,
  net.d.unlisted ? h('p.hint', `${count(net.d.unlisted, 'finding')} more in the results file.`) : null);
}
function notes(net) { return net.d.notes.length ? h('div.others', h('h3', 'Notes'), net.d.notes.map((note) => h('pre.log', {tabindex: '0', role: 'group', 'aria-label': 'note'}, note))) : null; }
function withoutNetwork(net) { return [net.d.why ? h('p.note', net.d.why) : null, net.d.count ? h('p.facts', `${count(net.d.count, 'value')} wrong`) : null, elsewhere(net), notes(net)]; }
function passed(row) {
  const right = OUT[CASES.out[row]].key === 'passed';
  return h('p.note', right ? `All ${count(CASES.vals[row], 'value')} of ${count(CASES.neu[row], 'neuron')} are within what rounding allows. The numbers of passing cases are not kept.` : 'It was not judged.');
}

// The address: #case=…&impl=…&neuron=layer:neuron&sample=… ------------------------------------------
function address() {
  const net = view.net;
  let hash = href(view.row);
  if (isNet(net)) hash += `&neuron=${encodeURIComponent(net.address(view.l, view.p)).replace(/%3A/g, ':').replace(/%2C/g, ',')}${net.d.samples > 1 ? `&sample=${net.shown.samples[view.s]}` : ''}`;
  history.replaceState(null, '', hash);
}
function fromAddress() {
  const want = new URLSearchParams(location.hash.slice(1)), id = want.get('case');
  if (!id) return false;
  const rows = byCase.get(id) || [], impl = want.get('impl');
  const row = impl === null ? rows.find(fails) ?? rows[0] : rows.find((one) => CASES.impl[one] === Number(impl));
  if (row === undefined) { say('There is no such case in this report.'); return false; }
  openCase(row, {neuron: want.get('neuron'), sample: want.get('sample') === null ? undefined : Number(want.get('sample'))});
  return true;
}
function step(by) {
  const n = listed.indexOf(view.row), next = n < 0 ? listed[0] : listed[n + by];
  if (next === undefined) return;
  if (n + by >= limit) { limit += PAGE; listCases(true); }
  location.hash = href(next);
  say(`${CASES.id[next]}, ${OUT[CASES.out[next]].words}`);
}

// Copy, theme, help, keys --------------------------------------------------------------------------
async function copy(text, node) {
  let done = true;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = h('textarea', {'aria-hidden': 'true'});
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand('copy');
    area.remove();
  }
  const before = node.textContent;
  node.textContent = done ? 'Copied ✓' : 'Select and copy';
  say(done ? 'Copied.' : 'It could not be copied.');
  setTimeout(() => { node.textContent = before; }, 1500);
}
const THEMES = {auto: ['◐', 'as the system'], light: ['☀', 'light'], dark: ['☾', 'dark']};
function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
  const [sign, words] = THEMES[theme];
  byId('theme').textContent = sign;
  byId('theme').title = byId('theme').ariaLabel = `Colours: ${words}`;
  byId('theme').dataset.now = theme;
}
function nextTheme() {
  const names = Object.keys(THEMES), theme = names[(names.indexOf(byId('theme').dataset.now) + 1) % names.length];
  setTheme(theme);
  try { localStorage.setItem('backprop-check-theme', theme); } catch { say('The choice lasts until the page is closed.'); }
}
const KEYS = [['j / k', 'next, previous case'], ['n / p', 'next, previous wrong neuron'], ['↑ ↓ ← →', 'from neuron to neuron, in the network'], ['[ / ]', 'previous, next sample'], ['/', 'search the cases'], ['t', 'colours: system, light, dark'], ['?', 'this help'], ['Esc', 'close, or leave the search']];
function help() {
  const box = byId('help');
  if (!box.firstChild) {
    add(box, [h('div.dialog-head', h('h2', {id: 'help-title'}, 'How to read this page'), button('Close', () => box.close(), {class: 'quiet'})),
      h('p', 'Each circle is a neuron, each line a weight. A value is right where its error is at most what rounding allows in this very place.'),
      h('dl.signs', ['r', 'i', 'u'].map((state) => [h('dt', h(`span.mark.s-${name(state)}`, STATES[state].sign, ' ', STATES[state].words)), h('dd', INDEX.glossary[STATES[state].term][1])])),
      h('h3', 'Keyboard'), h('dl.keys', KEYS.map(([key, what]) => [h('dt', h('kbd', key)), h('dd', what)])),
      h('h3', 'Words'), h('dl.words', Object.values(INDEX.glossary).map(([word, meaning]) => [h('dt', word), h('dd', meaning)]))]);
  }
  box.showModal();
}
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
  const target = event.target, typing = target.closest && target.closest('input:not([type=radio]), textarea, select');
  if (event.key === 'Escape') { hideTip(); if (typing) target.blur(); return; }
  if (typing) return;
  const sample = (by) => { const net = view.net; if (isNet(net) && view.s + by >= 0 && view.s + by < net.samples) pickSample(view.s + by); };
  const run = {j: () => step(1), k: () => step(-1), n: () => nextWrong(1), p: () => nextWrong(-1), '/': () => byId('search').focus(), '?': help, t: nextTheme, '[': () => sample(-1), ']': () => sample(1)}[event.key];
  if (!run) return;
  event.preventDefault();
  run();
}

fill(byId('top'), header());
const left = INDEX.left;
fill(byId('main'), overview(), h('div.work', casesPanel(), casePanel()),
  left.bare ? h('p.note', `To keep this page small, the numbers of ${count(left.bare, 'failing case')} are left out, and of ${count(left.reduced, 'more')} some are. backprop-check report RESULTS --case ID --html PATH shows one in full.`) : null);
add(document.body, [h('p.hide', {id: 'say', role: 'status', 'aria-live': 'polite'}), h('dialog', {id: 'help', 'aria-labelledby': 'help-title'})]);
let theme = 'auto';
try { theme = localStorage.getItem('backprop-check-theme') || 'auto'; } catch { theme = 'auto'; }
setTheme(THEMES[theme] ? theme : 'auto');
listCases();
if (!fromAddress() && listed.length) openCase(listed[0]);
addEventListener('hashchange', () => {
  const top = fromAddress() ? byId('stage').getBoundingClientRect().top : 0;
  if (top < -200 || top > innerHeight * 0.7) jump('stage');
});
addEventListener('keydown', keys);
addEventListener('beforeprint', () => { for (const each of document.querySelectorAll('.maths details')) each.open = true; });
addEventListener('scroll', hideTip, {passive: true});
