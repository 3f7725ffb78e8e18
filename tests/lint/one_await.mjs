// SPDX-License-Identifier: MIT
//
// Rule 4 of the coroutines: one co_await a statement, as `auto r = co_await Call(named, values);`, a plain
// assignment or the whole statement. Every shape of await that compilers were seen to get wrong breaks it.

import {blank, cppFiles, lineAt} from './cpp.mjs';

const kOpens = '([{';
const kCloses = ')]}';

/** Where the statement that holds `at` begins, and whether a parenthesis or bracket stands open there. */
function statementStart(code, at) {
  let depth = 0;
  let enclosed = false;
  for (let i = at - 1; i >= 0; i--) {
    const c = code[i];
    if (depth === 0 && (c === ';' || c === '{' || c === '}')) return {start: i + 1, enclosed};
    if (c === ')' || c === ']') depth++;
    if (c === '(' || c === '[') {
      if (depth === 0) enclosed = true;
      else depth--;
    }
  }
  return {start: 0, enclosed};
}

function statementEnd(code, at) {
  let depth = 0;
  for (let i = at; i < code.length; i++) {
    if (kOpens.includes(code[i])) depth++;
    if (kCloses.includes(code[i]) && --depth < 0) return i;
    if (code[i] === ';' && depth === 0) return i;
  }
  return code.length;
}

/** Takes `if (…)`, `else`, `case x:` and the like off the front of a statement. */
function withoutControl(text) {
  for (;;) {
    text = text.trimStart();
    const word = text.match(/^(?:else\b(?!\s*if)|do\b|case\b[^:?]*:(?!:)|default\s*:|[a-z_]\w*\s*:(?!:))/);
    if (word) {
      text = text.slice(word[0].length);
      continue;
    }
    const control = text.match(/^(?:else\s+)?(?:if(?:\s+constexpr)?|while|for|switch)\s*\(/);
    if (!control) return text;
    let depth = 1;
    let i = control[0].length;
    for (; i < text.length && depth > 0; i++) depth += text[i] === '(' ? 1 : text[i] === ')' ? -1 : 0;
    if (depth > 0) return text;
    text = text.slice(i);
  }
}

/** The operators of `expression` outside all parentheses. */
function topLevel(expression) {
  let depth = 0;
  return [...expression].map((c) => {
    if (kCloses.includes(c)) depth--;
    const shown = depth === 0 ? c : ' ';
    if (kOpens.includes(c)) depth++;
    return shown;
  }).join('');
}

function judge(code, at) {
  const {start, enclosed} = statementStart(code, at);
  const before = withoutControl(code.slice(start, at)).trim();
  const after = code.slice(at + 'co_await'.length, statementEnd(code, at));
  if (enclosed) return 'co_await inside a condition or an argument; give its result a name first';
  if (/\bco_await\b/.test(before) || /\bco_await\b/.test(after)) return 'two co_await in one statement';
  if (/^(?:const\s+)?auto\s*&{0,2}\s*\[/.test(before)) return 'co_await bound by auto [a, b]';
  if (/\?|&&|\|\|/.test(`${before} ${topLevel(after)}`)) return 'co_await beside ?:, && or ||';
  if (before !== '' && !/^(?:[\w:<>,*&\s]+[\s&*>])?[\w.:>[\]*-]+\s*=$/.test(before)) {
    return `co_await after '${before.replace(/\s+/g, ' ')}'; write auto r = co_await …;`;
  }
  if (/(?:[(,=]|^)\s*\[[^\]]*\]\s*[({]/.test(after)) return 'a lambda beside co_await; give it a name first';
  if (after.includes('{')) return 'a brace-built argument beside co_await; give it a name first';
  return undefined;
}

export default {
  name: 'one-await',
  says: 'one co_await a statement, never in a condition or beside a temporary (rule 4)',
  check(tree) {
    return cppFiles(tree).flatMap(([path, text]) => {
      const code = blank(text);
      return [...code.matchAll(/\bco_await\b/g)].flatMap(({index}) => {
        const message = judge(code, index);
        return message === undefined ? [] : [{path, line: lineAt(code, index), message}];
      });
    });
  },
  bad: [
    [{'a.cc': 'Task<> F() {\n  if (co_await G()) return;\n}\n'}, 'a.cc:2: co_await inside a condition or an argument; give its result a name first'],
    [{'a.cc': '{ while (!co_await G()) {} }'}, /inside a condition/],
    [{'a.cc': '{ H(co_await G()); }'}, /inside a condition or an argument/],
    [{'a.cc': '{ for (int i = 0; i < co_await G(); i++) {} }'}, /co_await after 'i <'/],
    [{'a.cc': '{ auto r = co_await G() + co_await H(); }'}, /two co_await/],
    [{'a.cc': '{ auto r = a ? co_await G() : 1; }'}, /beside/],
    [{'a.cc': '{ bool r = a && co_await G(); }'}, /beside/],
    [{'a.cc': '{ bool r = co_await G() || a; }'}, /beside/],
    [{'a.cc': '{ auto [x, y] = co_await G(); }'}, /bound by auto/],
    [{'a.cc': '{ auto r = co_await G([&] { return 1; }); }'}, /lambda/],
    [{'a.cc': '{ co_await G(Limit{1, 2}); }'}, /brace-built/],
    [{'a.cc': '{ co_return co_await G(); }'}, /co_await after 'co_return'/],
    [{'a.cc': '{ if (x) return co_await G(); }'}, /co_await after 'return'/],
    [{'a.cc': '{ std::move(x) = 1; Use(1) = co_await G(); }'}, /co_await after/],
  ],
  good: [{
    'a.cc': `Task<Unit> F(Exchange& x) {
  // if (co_await nothing) "co_await" in a comment
  Log("co_await && co_await");
  co_await Sleep(loop, milliseconds(100));
  auto grant = co_await store_.Take(std::move(key), 1, limit);
  const Result<std::vector<int>> r = co_await G(a && b, c ? 1 : 2, m[1]);
  out = co_await SumInLoop(n);
  x.facts->lease[0] = co_await Lease(x);
  if (a) co_await G();
  if (a && b) {
    co_await G();
  } else co_await H();
  for (;;) { Result<Chunk> read = co_await answer.stream->Read(loop.Now() + idle); }
  switch (n) { case 1: co_await G(); break; default: co_await H(); }
}
`,
  }],
};
