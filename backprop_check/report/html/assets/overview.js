// What was judged, the verdict, the causes; with several implementations, the matrix.
function header() {
  const theme = button('', nextTheme, {id: 'theme', class: 'icon'});
  return [h('p.brand', h('span', 'backprop'), h('span.thin', '-check')), h('span.who', INDEX.title), h('span.grow'),
    button('Download JSON', downloadResults, {class: 'quiet', id: 'download'}), theme, button('?', help, {class: 'icon', 'aria-label': 'Help and keyboard', title: 'Help (?)'})];
}
function overview() {
  const beside = !several && INDEX.impls[0].causes.length === 1;
  return h('section.overview' + (beside ? '.beside' : ''), {'aria-labelledby': 'verdict'},
    h('h1.hide', {id: 'verdict'}, `Report on ${INDEX.title}`),
    h('div.verdicts', INDEX.impls.map((one, n) => verdict(one, n))),
    several ? matrix() : null,
    INDEX.impls.map((one, n) => causes(one, n)));
}
function verdict(one, n) {
  const sign = {bad: '✕', good: '✓', none: '–'}[one.tone], total = Object.values(one.counts).reduce((a, b) => a + b, 0);
  const parts = OUT.filter((out) => one.counts[out.key]).sort((a, b) => (b.key === 'passed') - (a.key === 'passed'));
  const known = one.harness;
  const facts = [one.language, one.version && `version ${one.version}`, one.dtype, known.profile && ['profile ', term('profile', known.profile)], known.seed !== undefined && `seed ${known.seed}`,
    known.rtol && `rtol ${known.rtol}`, known.atol && `atol ${known.atol}`, known.torch && `PyTorch ${known.torch}`, known.version && `backprop-check ${known.version}`, known.platform].filter(Boolean);
  return h(`div.verdict.t-${one.tone}`, h('p.sentence', h('span.sign', {'aria-hidden': 'true'}, sign), h('span', one.verdict)),
    total ? h('div.bar', {'aria-hidden': 'true'}, parts.filter((out) => out.key !== 'not_applicable').map((out) => { const part = h(`i.o-${out.fails ? 'fail' : out.key === 'passed' ? 'pass' : 'rest'}`); part.style.flexGrow = String(one.counts[out.key]); return part; })) : null,
    h('ul.counts', parts.map((out) => h('li', button([h('b', one.counts[out.key].toLocaleString('en')), ' ', one.counts[out.key] > 1 && ['error', 'crash', 'timeout', 'protocol_error'].includes(out.key) ? out.words + (out.key === 'crash' ? 'es' : 's') : out.words], () => { setFilter({outcome: out.key, impl: several ? String(n) : '', cause: '', suite: '', text: ''}); jump('cases'); }, {class: `count o-${out.fails ? 'fail' : out.key === 'passed' ? 'pass' : 'rest'}`}))),
      h('li.plain', h('b', one.neurons.toLocaleString('en')), ' neurons checked'), h('li.plain', h('b', one.values.toLocaleString('en')), ' values checked')),
    h('p.facts', facts.map((fact, i) => [i ? ' · ' : '', fact]), one.command ? [h('br'), h('code', one.command)] : null),
    one.checks.length ? h('details.notes', {open: one.checks.some((each) => !each.holds)}, h('summary', `${count(one.checks.length, 'check')} over several cases, ${one.checks.filter((each) => each.holds).length} hold`),
      h('ul', one.checks.map((each) => h('li', h(`span.mark.s-${each.holds ? 'right' : 'root'}`, h('span', {'aria-hidden': 'true'}, each.holds ? '✓' : '✕'), h('span.hide', each.holds ? 'holds: ' : 'does not hold: '), ' '), each.check, each.code && !each.holds ? [' ', h('span.code', each.code)] : null, each.message ? h('span.under', each.message) : null)))) : null,
    one.conventions.length ? h('details.notes.conventions', h('summary', `${count(one.conventions.length, 'convention')} at kinks`),
      h('ul', one.conventions.map((each) => h('li', each.sentence, h('span.under', `in ${count(each.cases, 'case')}; both are correct`))))) : null,
    one.notes.length ? h('details.notes', h('summary', count(one.notes.length, 'note')), h('ul', one.notes.map((note) => h('li', h('pre', note))))) : null);
}
function causes(one, n) {
  if (!one.causes.length) return null;
  return h('section.why', {'aria-label': several ? `Causes in ${one.label}` : 'Causes'}, h('h2', several ? `Why ${one.label} fails` : one.causes.length > 1 ? 'Causes' : 'The cause'), h('div.causes', one.causes.map((cause) => {
    const show = () => { setFilter({cause: cause.code || (cause.implemented ? 'formula' : 'no name'), impl: several ? String(n) : '', outcome: 'all', suite: '', text: ''}); jump('cases'); };
    const first = cause.first_case ? range(ROWS).find((row) => CASES.id[row] === cause.first_case && CASES.impl[row] === n) : undefined;
    return h(`article.cause${cause.code ? '' : '.nameless'}`, h('p.say', cause.sentence || cause.title || cause.bug || 'no name fits'),
      h('p.label', cause.code ? h('span.code', cause.code) : null, ' ', cause.bug ? h('code', cause.bug) : cause.sentence && cause.title !== cause.sentence ? cause.title : null, cause.scope ? h('span.hint', ` · ${cause.scope}`) : null),
      cause.detail ? h('p', cause.detail) : null,
      cause.right || cause.implemented ? h('dl.twoforms', cause.right ? h('div.is-right', h('dt', h('span', {'aria-hidden': 'true'}, '✓ '), 'right'), h('dd', cause.right)) : null,
        cause.implemented ? h('div.is-wrong', h('dt', h('span', {'aria-hidden': 'true'}, '✕ '), 'as implemented'), h('dd', cause.implemented)) : null) : null,
      cause.shown ? h('details', h('summary', 'With numbers', cause.shown.place ? `: ${cause.shown.place}` : ''), h('div.body.twoforms', ['right', 'implemented'].map((which) => h('div', h('p.label', {class: which === 'right' ? 'label t-right' : 'label t-wrong'}, which === 'right' ? '✓ right' : '✕ as implemented'), h('pre', {tabindex: '0', role: 'group', 'aria-label': which}, cause.shown[which].join('\n')))))) : null,
      cause.stays_right ? h('p.hint', h('b', 'Stays right: '), cause.stays_right) : null,
      cause.fix ? h('p.fix', h('b', 'The fix: '), cause.fix) : null,
      cause.smallest ? h('p.hint', 'The smallest network that shows it: ', h('code', `backprop-check replay ${cause.smallest.replace(/[^A-Za-z0-9._-]/g, '_')}`)) : null,
      cause.equivalent.length ? h('p.hint', 'No case here tells it from ', cause.equivalent.join(', '), '.') : null,
      h('p.actions', first !== undefined ? h('a.button', {href: href(first)}, isNet(detailOf(first)) ? 'Look at it in the network' : 'Look at the first case') : null, cause.cases ? button(`Explains ${count(cause.cases, 'case')}`, show, {class: 'quiet'}) : null));
  })));
}
function matrix() {
  const tally = INDEX.impls.map(() => INDEX.suites.map(() => ({bad: 0, good: 0, rest: 0})));
  for (let row = 0; row < ROWS; row++) tally[CASES.impl[row]][CASES.suite[row]][fails(row) ? 'bad' : OUT[CASES.out[row]].key === 'passed' ? 'good' : 'rest']++;
  const cell = (n, s, t) => {
    const total = t.bad + t.good + t.rest;
    if (!total) return h('td', h('span.muted', 'not sent'));
    const [state, text] = t.bad ? ['r', `${t.bad} of ${t.bad + t.good} fail`] : t.good ? ['.', t.rest ? `${t.good} right, ${t.rest} not judged` : `all ${t.good} right`] : ['?', 'not judged'];
    return h('td', button(h(`span.mark.s-${name(state)}`, h('span', {'aria-hidden': 'true'}, STATES[state].sign), ' ', text), () => { setFilter({impl: String(n), suite: s === null ? '' : String(s), outcome: 'all', cause: '', text: ''}); jump('cases'); }, {class: `cell s-${name(state)}`}));
  };
  const sum = (list) => list.reduce((a, t) => ({bad: a.bad + t.bad, good: a.good + t.good, rest: a.rest + t.rest}), {bad: 0, good: 0, rest: 0});
  return h('section.matrix', {'aria-labelledby': 'matrix-title'}, h('h2', {id: 'matrix-title'}, 'Implementations and suites'),
    h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': 'implementations and suites'}, h('table', h('thead', h('tr', h('th', {scope: 'col'}, 'implementation'), INDEX.suites.map((s) => h('th', {scope: 'col'}, s)), h('th', {scope: 'col'}, 'together'))),
      h('tbody', INDEX.impls.map((one, n) => h('tr', h('th', {scope: 'row'}, one.label), INDEX.suites.map((_, s) => cell(n, s, tally[n][s])), cell(n, null, sum(tally[n]))))))));
}
function jump(id) {
  const node = byId(id);
  if (!node) return;
  node.scrollIntoView({block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'});
}

// Downloads ---------------------------------------------------------------------------------------
function save(text, file) {
  const url = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  const link = h('a', {href: url, download: file});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
function caseRecord(row) {
  const net = detailOf(row), out = {id: CASES.id[row], outcome: OUT[CASES.out[row]].key, message: CASES.msg[row], seconds: CASES.sec[row]};
  if (CASES.neu[row]) Object.assign(out, {neurons_checked: CASES.neu[row], values_checked: CASES.vals[row]});
  out.suite = INDEX.suites[CASES.suite[row]];
  const causes = INDEX.impls[CASES.impl[row]].causes;
  if (CASES.cause[row].length) out.diagnosis = CASES.cause[row].map((n) => causes[n] && causes[n].bug).filter(Boolean);
  if (CASES.first[row].length) out.first_wrong = {layer: CASES.first[row][0], neuron: CASES.first[row][1], sample: CASES.first[row][2] ?? null};
  if (isNet(net)) {
    out.mismatch_count = net.d.count;
    out.mismatches = net.mismatches();
    const request = net.caseJson();
    if (request) Object.assign(out, {case: JSON.parse(request), actual: net.actual()});
    else out.notes = ['this case is too large for its page: some of its neurons are missing here'];
  } else if (net) { out.mismatch_count = net.d.count; out.notes = net.d.notes; }
  return out;
}
function results(n, rows) {
  const one = INDEX.impls[n];
  const known = {};
  for (const [key, value] of Object.entries(one.harness)) known[key] = value;
  return {
    schema: 1, harness: known, implementation: {name: one.label, language: one.language || null, version: one.version || null, command: one.command || null, dtype: one.dtype},
    summary: {complete: one.complete, cases: rows.length - rows.filter((row) => OUT[CASES.out[row]].key === 'not_applicable').length, neurons_checked: one.neurons, values_checked: one.values},
    diagnoses: one.causes.map((cause, c) => ({...cause, explains: rows.filter((row) => CASES.cause[row].includes(c)).map((row) => CASES.id[row])})), behaviours: one.checks, conventions: one.conventions, notes: [...one.notes, 'written by the HTML report: bounds have three digits'], cases: rows.map(caseRecord),
  };
}
function downloadResults() {
  const made = INDEX.impls.map((_, n) => results(n, range(ROWS).filter((row) => CASES.impl[row] === n)));
  save(JSON.stringify(several ? made : made[0]), several ? 'results-all.json' : 'results.json');
  say('The results were saved as JSON.');
}
