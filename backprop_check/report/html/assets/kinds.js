// One renderer a layer kind: how its neurons are drawn, and how its sums are written.
// A new kind is an entry here beside its class in kinds.py.
const KINDS = {
  dense: {
    // Which neurons of the layer before a neuron reads: all of them.
    reads: (net, l) => range(net.list(l - 1).length),
    // Which neurons of the next layer it speaks to: all of them.
    feeds: (net, l) => l + 1 < net.depth ? range(net.list(l + 1).length) : [],
    forward: (net, l, s, p) => [
      formula(mathSub('z', 'j'), m('mo', '='), m('munder', m('mo', 'Σ'), m('mi', 'i')), mathSub('w', 'ji'), m('mo', '·'), mathSub('a', 'i'), m('mo', '+'), mathSub('b', 'j')),
      sumTable({
        caption: `Term by term: the weighted sum of ${net.label(l, p)}`,
        heads: ['from', [term('weight', 'weight'), ' w'], ['its ', term('a', 'a')], 'w · a'],
        rows: range(net.list(l - 1).length).map((i) => {
          const w = net.weight(l, p, i), a = net.read(l, s, i);
          return {cells: [net.brief(l - 1, i), w, a.e], term: w * a.e};
        }),
        more: net.width(l - 1) - net.list(l - 1).length,
        add: [[[term('bias', 'bias'), ' b'], net.bias(l, p)]],
        total: net.value('z', l, s, p).e,
        result: [term('z', 'z')],
      }),
    ],
    backward: (net, l, s, p, own) => [
      formula(mathSub('δ', 'j'), m('mo', '='), m('mrow', m('mi', 'φ′'), m('mo', '('), mathSub('z', 'j'), m('mo', ')')), m('mo', '·'),
        m('munder', m('mo', 'Σ'), m('mi', 'k')), mathSub('w', 'kj'), m('mo', '·'), mathSub('δ', 'k')),
      sumTable({
        caption: `Term by term: what comes back to ${net.label(l, p)}`,
        heads: ['from', [term('weight', 'weight'), ' w'], ['its ', term('delta', 'δ')], 'w · δ'],
        rows: range(net.list(l + 1).length).map((k) => {
          const w = net.weight(l + 1, k, p), d = net.value('delta', l + 1, s, k);
          return {cells: [net.brief(l + 1, k), w, d.e], term: w * d.e, own: own && 'riu'.includes(d.state) ? [d.g, w * d.g] : null};
        }),
        more: net.width(l + 1) - net.list(l + 1).length,
        add: [],
        total: net.outerror(l, s, p),
        result: [partial(mathSub('a', 'j'))],
        math: true,
      }),
    ],
  },
};

// A sum written out: one row a term, the rest of a large layer in one, then the total. Where the implementation
// replied another factor, it stands below the expected one.
function sumTable({caption, heads, rows, more, add: extra, total, result, math}) {
  const LIMIT = 12, folded = rows.length > LIMIT + 2, own = rows.some((row) => row.own);
  const part = rows.reduce((sum, row) => sum + row.term, 0) + extra.reduce((sum, [, x]) => sum + x, 0);
  const body = h('tbody');
  const cell = (x, got) => { const text = digits(x, 6), other = got === undefined ? text : digits(got, 6); return h('td.n', {title: String(x)}, text, other === text ? null : h('span.own', h('span.hide', 'replied '), other)); };
  const line = ({cells, term: product, own: got}) => h('tr', h('th', {scope: 'row'}, cells[0]), cell(cells[1]), cell(cells[2], got?.[0]), cell(product, got?.[1]));
  const rest = (label, note, x) => h('tr.rest', h('th', {scope: 'row'}, label), h('td', {colspan: 2}, note), h('td.n', digits(x, 6)));
  const draw = (all) => {
    fill(body, rows.slice(0, all ? rows.length : LIMIT).map(line));
    if (!all) add(body, rest(button(`… ${rows.length - LIMIT} more`, () => draw(true), {class: 'link'}), '', rows.slice(LIMIT).reduce((sum, row) => sum + row.term, 0)));
    if (more > 0) add(body, rest(`the other ${more.toLocaleString('en')}`, 'not in this page', total === null ? null : total - part));
    extra.forEach(([label, x]) => add(body, rest(['+ ', label], '', x)));
  };
  draw(!folded);
  const ownTotal = own && more === 0 ? rows.reduce((sum, row) => sum + (row.own ? row.own[1] : row.term), 0) : null;
  const [a, b] = [digits(total, 9), digits(ownTotal, 9)];
  return h('div.scroll', {tabindex: '0', role: 'group', 'aria-label': caption}, h('table.sum', h('caption', caption, own ? [' ', h('span.own-key', 'coloured: as replied')] : null),
    h('thead', h('tr', heads.map((head, i) => h('th' + (i ? '.n' : ''), {scope: 'col'}, head)))), body,
    h('tfoot', h('tr', h('th', {scope: 'row'}, 'sum = ', math ? m('math', result) : result), h('td', {colspan: 2}), h('td.n', h('b', a), ownTotal === null || a.slice(0, 7) === b.slice(0, 7) ? null : h('span.own', h('span.hide', 'replied '), b))))));
}
