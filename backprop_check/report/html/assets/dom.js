// Elements are made with createElement and textContent only: what an implementation said stays text.
const byId = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg', MATHML = 'http://www.w3.org/1998/Math/MathML';

function build(node, props, kids) {
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked' || key === 'hidden') node[key] = value;
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  add(node, kids);
  return node;
}
function add(node, kids) {
  for (const kid of [kids].flat(Infinity)) {
    if (kid === null || kid === undefined || kid === false) continue;
    node.append(kid instanceof Node ? kid : document.createTextNode(String(kid)));
  }
  return node;
}
function h(name, props, ...kids) {
  const [tag, ...classes] = name.split('.');
  const node = document.createElement(tag || 'div');
  if (classes.length) node.className = classes.join(' ');
  if (props && (props instanceof Node || typeof props !== 'object' || Array.isArray(props))) return add(node, [props, kids]);
  return build(node, props, kids);
}
function svg(name, props, ...kids) { return build(document.createElementNS(SVG, name), props, kids); }
function fill(node, ...kids) { node.replaceChildren(); return add(node, kids); }
const button = (text, run, props) => h('button', {type: 'button', ...props, onclick: run}, text);
const count = (n, one, more) => `${n.toLocaleString('en')} ${n === 1 ? one : more || one + 's'}`;
const range = (n) => Array.from({length: n}, (_, i) => i);

// A word of the glossary: its meaning shows where it is pointed at or focused.
function term(key, text) {
  const known = INDEX.glossary[key];
  if (!known) return text;
  const node = h('button.term', {type: 'button', 'data-term': key}, text);
  const show = () => showTip(node, known);
  node.addEventListener('mouseenter', show);
  node.addEventListener('focus', show);
  node.addEventListener('click', show);
  node.addEventListener('mouseleave', hideTip);
  node.addEventListener('blur', hideTip);
  return node;
}
let tip = null, tipOf = null;
function showTip(node, [name, meaning]) {
  if (!tip) { tip = h('div.tip', {role: 'tooltip', id: 'tip'}); document.body.append(tip); }
  hideTip();
  tipOf = node;
  node.setAttribute('aria-describedby', 'tip');
  fill(tip, h('b', name), h('span', meaning));
  tip.classList.add('on');
  const at = node.getBoundingClientRect(), box = tip.getBoundingClientRect();
  const above = at.bottom + box.height + 12 > innerHeight && at.top > box.height + 12;
  tip.style.left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - box.width - 8)) + 'px';
  tip.style.top = (above ? at.top - box.height - 8 : at.bottom + 8) + 'px';
}
function hideTip() {
  if (tipOf) tipOf.removeAttribute('aria-describedby');
  if (tip) tip.classList.remove('on');
  tipOf = null;
}
function say(text) { byId('say').textContent = text; }

// What a state is called, and the sign that goes with its colour.
const STATES = {
  r: {words: 'root', sign: '✕', term: 'root'},
  i: {words: 'inherited', sign: '▲', term: 'inherited'},
  u: {words: 'wrong', sign: '!', term: 'unknown'},
  '.': {words: 'right', sign: '✓'},
  '?': {words: 'not reported', sign: '–'},
};
const mark = (state, text) => h(`span.mark.s-${name(state)}`, h('span', {'aria-hidden': 'true'}, STATES[state].sign), ' ',
  text || (STATES[state].term ? term(STATES[state].term, STATES[state].words) : STATES[state].words));
// The sign alone, for tables: its word is there for who asks, and for screen readers.
function sign(state) {
  const known = STATES[state], kids = [h('span', {'aria-hidden': 'true'}, known.sign), h('span.hide', known.words)];
  return h(`span.mark.s-${name(state)}`, known.term ? term(known.term, kids) : kids);
}
function name(state) { return {r: 'root', i: 'inherited', u: 'unknown', '.': 'right', '?': 'untold'}[state]; }

// Numbers -----------------------------------------------------------------------------------------
const bits = new Float64Array(1), words = new BigInt64Array(bits.buffer), LOWEST = -(2n ** 63n);
function ulps(x, steps) { // the double that many places from x
  if (!steps) return x;
  bits[0] = x;
  let n = words[0] >= 0n ? words[0] : LOWEST - words[0];
  n += BigInt(steps);
  words[0] = n >= 0n ? n : LOWEST - n;
  return bits[0];
}
function trimmed(text) {
  return text.includes('.') ? text.replace(/\.?0+(e|$)/, '$1') : text;
}
function digits(x, n) {
  if (x === null || x === undefined) return '';
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'NaN' : x > 0 ? '∞' : '-∞';
  if (x === 0) return '0';
  const size = Math.abs(x);
  return trimmed(size < 1e-4 || size >= 1e9 ? x.toExponential(n - 1) : x.toPrecision(n));
}
// Expected and got with as many digits as it takes to see where they part.
function both(e, g) {
  const apart = Math.abs(g - e), size = Math.max(Math.abs(e), Math.abs(g));
  const n = apart > 0 && Number.isFinite(apart) ? Math.min(17, Math.max(7, Math.ceil(Math.log10(size / apart)) + 4)) : 9;
  return [digits(e, n), digits(g, n)];
}
function parted(text, other) {
  let n = 0;
  while (n < text.length && text[n] === other[n]) n++;
  return n < text.length && n > 0 ? [text.slice(0, n), h('b', text.slice(n))] : h('b', text);
}

// Formulas, as Python wrote them with few bytes ----------------------------------------------------
const formula = (text) => text.replace(/~(.)/g, (_, c) => c === '~' ? c : /\d/.test(c) ? `⁽${'⁰¹²³⁴⁵⁶⁷⁸⁹'[c]}⁾` : INDEX.signs[INDEX.codes.indexOf(c)]);
// Its lines: what begins with = stands below the first =, a term of a sum is set in.
function indented(text) {
  const lines = formula(text).split('\n'), wide = lines[0].indexOf(' = ');
  return lines.map((line) => line.startsWith('= ') ? ' '.repeat(wide + 1) + line : /^[+−] /.test(line) ? `  ${line}` : line).join('\n');
}
const capped = (text, n) => text.length > n ? text.slice(0, n - 1) + '…' : text;
