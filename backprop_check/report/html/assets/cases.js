// The cases: filter, search, sort; the failing first.
const PAGE = 100;
const filter = {text: '', outcome: 'all', cause: '', suite: '', impl: '', sort: 'failed', down: true};
let listed = [], limit = PAGE;

const causeName = (row, n) => { const cause = INDEX.impls[CASES.impl[row]].causes[n]; return cause ? cause.code || (cause.implemented ? 'formula' : 'no name') : ''; };
const causeKey = (row, n) => `${causeName(row, n)}`;
const haystack = new Array(ROWS);
function searched(row) {
  haystack[row] ??= [CASES.id[row], OUT[CASES.out[row]].words, INDEX.suites[CASES.suite[row]], INDEX.impls[CASES.impl[row]].label, CASES.msg[row],
    ...CASES.cause[row].map((n) => { const c = INDEX.impls[CASES.impl[row]].causes[n]; return c ? `${c.code || ''} ${c.bug || ''} ${c.title || ''}` : ''; })].join(' ').toLowerCase();
  return haystack[row];
}
function kept(row) {
  if (filter.outcome === 'fails' ? !fails(row) : filter.outcome !== 'all' && OUT[CASES.out[row]].key !== filter.outcome) return false;
  if (filter.suite !== '' && CASES.suite[row] !== Number(filter.suite)) return false;
  if (filter.impl !== '' && CASES.impl[row] !== Number(filter.impl)) return false;
  if (filter.cause !== '' && !CASES.cause[row].some((n) => causeKey(row, n) === filter.cause)) return false;
  return !filter.text || filter.text.toLowerCase().split(/\s+/).every((word) => searched(row).includes(word));
}
const SORTS = {
  failed: ['failed first', (a, b) => CASES.out[a] - CASES.out[b] || a - b],
  id: ['name', (a, b) => CASES.id[a] < CASES.id[b] ? -1 : CASES.id[a] > CASES.id[b] ? 1 : a - b],
  count: ['wrong values', (a, b) => CASES.count[b] - CASES.count[a] || a - b],
  sec: ['time', (a, b) => CASES.sec[b] - CASES.sec[a] || a - b],
  file: ['order of the run', (a, b) => a - b],
};
function listCases(keep) {
  if (!keep) limit = PAGE;
  listed = range(ROWS).filter(kept).sort(SORTS[filter.sort][1]);
  if (!filter.down) listed.reverse();
  const n = listed.length, failing = listed.filter(fails).length;
  byId('listed').textContent = `${n === ROWS ? count(n, 'case') : `${n.toLocaleString('en')} of ${count(ROWS, 'case')}`}, ${failing.toLocaleString('en')} failing`;
  fill(byId('rows'), listed.slice(0, limit).map(caseRow), n ? null : h('tr', h('td', {colspan: 3}, 'No case fits. ', button('Show all', clearFilters, {class: 'link'}))));
  byId('more').hidden = n <= limit;
  byId('more').textContent = `Show ${Math.min(PAGE, n - limit)} more of ${(n - limit).toLocaleString('en')}`;
  for (const head of document.querySelectorAll('#cases th[data-sort]')) {
    if (head.dataset.sort === filter.sort) head.setAttribute('aria-sort', filter.down === (filter.sort === 'id') ? 'ascending' : 'descending');
    else head.removeAttribute('aria-sort');
  }
}
const href = (row) => `#case=${encodeURIComponent(CASES.id[row])}${several ? `&impl=${CASES.impl[row]}` : ''}`;
function outcomeState(row) { const out = OUT[CASES.out[row]]; return out.fails ? (out.key === 'mismatched' ? 'r' : 'u') : out.key === 'passed' ? '.' : '?'; }
function caseRow(row) {
  const out = OUT[CASES.out[row]], state = outcomeState(row), causes = [...new Set(CASES.cause[row].map((n) => causeName(row, n)))];
  const current = row === view.row;
  return h(`tr.s-${name(state)}${current ? '.current' : ''}`, {'data-row': row, onclick: (event) => { if (!event.target.closest('a,button') && String(getSelection()) === '') location.hash = href(row); }},
    h('th', {scope: 'row'}, h('a', {href: href(row), 'aria-current': current ? 'true' : null}, CASES.id[row]),
      h('span.under', h(`span.mark.s-${name(state)}`, h('span', {'aria-hidden': 'true'}, STATES[state].sign), ' ', out.words), several ? ` · ${INDEX.impls[CASES.impl[row]].label}` : '', INDEX.suites.length > 1 ? ` · ${INDEX.suites[CASES.suite[row]]}` : '')),
    anyNamed ? h('td', causes.map((one) => h('span.code', one))) : null, h('td.n', CASES.count[row] ? CASES.count[row].toLocaleString('en') : ''));
}
function setFilter(change) {
  Object.assign(filter, change);
  for (const key of ['outcome', 'cause', 'suite', 'impl', 'sort']) { const node = byId('f-' + key); if (node) node.value = String(filter[key]); }
  byId('search').value = filter.text;
  listCases();
}
const clearFilters = () => setFilter({text: '', outcome: 'all', cause: '', suite: '', impl: '', sort: 'failed', down: true});
function sortBy(key) { setFilter({down: filter.sort === key ? !filter.down : true, sort: key}); }

const anyNamed = CASES.cause.some((list) => list.length);
function casesPanel() {
  const choice = (key, label, options) => h('label.choice', h('span', label), h('select', {id: 'f-' + key, onchange: (event) => setFilter({[key]: event.target.value, ...(key === 'sort' ? {down: true} : {})})},
    options.map(([value, text]) => h('option', {value}, text))));
  const used = [...new Set(CASES.out)].sort((a, b) => a - b).map((n) => [OUT[n].key, OUT[n].words]);
  const causes = [...new Set(range(ROWS).flatMap((row) => CASES.cause[row].map((n) => causeKey(row, n))))].sort();
  const head = (key, text, kind) => h('th' + (kind || ''), {scope: 'col', 'data-sort': key}, button(text, () => sortBy(key), {class: 'sort'}));
  return h('section.cases', {id: 'cases', 'aria-labelledby': 'cases-title'},
    h('h2', {id: 'cases-title', tabindex: '-1'}, 'Cases'),
    h('div.controls', h('input', {type: 'search', id: 'search', placeholder: 'Search (press /)', 'aria-label': 'Search the cases', oninput: (event) => setFilterText(event.target.value)}),
      choice('outcome', 'Show', [['all', 'all'], ['fails', 'failing'], ...used]),
      choice('sort', 'Sort', Object.entries(SORTS).map(([key, [text]]) => [key, text])),
      causes.length ? choice('cause', 'Cause', [['', 'any'], ...causes.map((c) => [c, c])]) : null,
      INDEX.suites.length > 1 ? choice('suite', 'Suite', [['', 'any'], ...INDEX.suites.map((s, n) => [String(n), s])]) : null,
      several ? choice('impl', 'Who', [['', 'all'], ...INDEX.impls.map((one, n) => [String(n), one.label])]) : null),
    h('p.hint', {id: 'listed', role: 'status'}),
    h('div.rows', {tabindex: '0', role: 'group', 'aria-label': 'list of cases'}, h('table', h('thead', h('tr', head('id', 'case'), anyNamed ? h('th', {scope: 'col'}, 'cause') : null, head('count', 'wrong', '.n'))), h('tbody', {id: 'rows'}))),
    button('', () => { limit += PAGE; listCases(true); }, {id: 'more', class: 'wide', hidden: true}));
}
function setFilterText(text) { filter.text = text; listCases(); }
