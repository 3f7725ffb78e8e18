// SPDX-License-Identifier: MIT
//
// Each requirement of the wire is shown by a test that can be found by its number: in the name of a test, or
// of a case in a corpus of the end-to-end tests.

// R1 to R12: HTTP/1. R20 to R26: HTTP/2. R30 to R36: time, memory, faults. R39: the end. R41: JSON.
const range = (from, to) => Array.from({length: to - from + 1}, (_, i) => from + i);
const kRequired = [...range(1, 12), ...range(20, 26), ...range(30, 36), 39, 41];

const kNames = [
  [/^tests\/.*\.cc$/, /^TEST(?:_[FP])?\(([^)]*)\)/gm],
  [/^tests\/.*\.mjs$/, /\b(?:it|test|describe|suite)\(\s*(['"`].*)/g],
  [/^tests\/e2e\/\w+\.txt$/, /^(R\d+) [\w.-]+ \S+$/gm],
];
/** `R22Rapid…` and `R22: rapid…`, but neither `R2` nor `FOR22`. */
const kNumber = /(?<![A-Za-z0-9])R(\d+)(?![0-9])/g;

export default {
  name: 'requirements',
  says: 'each requirement of the wire is the name of a test',
  check(tree) {
    const shown = new Set();
    for (const [path, text] of tree) {
      for (const [, name] of kNames.flatMap(([where, what]) => where.test(path) ? [...text.matchAll(what)] : [])) {
        for (const [, number] of name.matchAll(kNumber)) shown.add(Number(number));
      }
    }
    // A tree without tests is a sample of another lint.
    if (shown.size === 0) return [];
    return kRequired.filter((number) => !shown.has(number))
      .map((number) => ({path: 'tests', line: 1, message: `no test has R${number} in its name`}));
  },
  bad: [
    [{'tests/a_test.cc': `TEST(Http1, R1Frames) {}\n// R2 is not shown\n`}, 'tests:1: no test has R2 in its name'],
    [{'tests/a_test.cc': `TEST_F(${range(1, 41).filter((n) => n !== 20).map((n) => `R${n}`).join(' ')}) {}\n`}, 'tests:1: no test has R20 in its name'],
    [{'tests/e2e/a.test.mjs': `it('FOR3 R1: frames', work);\n`}, 'tests:1: no test has R3 in its name'],
  ],
  good: [
    {'tests/a_test.cc': kRequired.map((n) => `TEST(Wire, R${n}Holds) {}\n`).join('')},
    {'tests/e2e/a.test.mjs': kRequired.slice(1).map((n) => `  it(\`R${n}: holds\`, work);\n`).join(''), 'tests/e2e/a.txt': 'R1 a-body 200\n  GET /\n'},
  ],
};
