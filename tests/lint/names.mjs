// SPDX-License-Identifier: MIT
//
// Words: client and upstream and no other pair, no type named after nothing, nothing left for later,
// no path of somebody's machine.

import {blank, cppFiles} from './cpp.mjs';

// Built from halves, so that this file may be looked at as well.
const kSides = new RegExp('down' + 'stream', 'i');
const kLater = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`);
const kMachine = new RegExp('(?<![\\w.$}])/(?:' + ['wo' + 'rk', 'ro' + 'ot', 'ho' + 'me/[a-z]'].join('|') + ')/');
const kEmptyName = /\b(?:class|struct)\s+(?:\[\[\w+\]\]\s+)?(\w*(?:Impl|Manager|Helper|Util|Utils))\b/;
const kGenerated = /(^|\/)(package-lock\.json|LICENSE)$/;

const kWords = [
  [kSides, () => 'the words are client and upstream'],
  [kLater, ([word]) => `'${word}' leaves something for later; do it or open an issue`],
  [kMachine, ([path]) => `'${path}' is a path of one machine`],
];

export default {
  name: 'names',
  says: 'the words of the project, in code and text',
  check(tree) {
    const words = [...tree].filter(([path]) => !kGenerated.test(path)).flatMap(([path, text]) =>
      text.split('\n').flatMap((line, index) => kWords.flatMap(([pattern, say]) => {
        const found = line.match(pattern);
        return found ? [{path, line: index + 1, message: say(found)}] : [];
      })));
    const types = cppFiles(tree).flatMap(([path, text]) => blank(text).split('\n').flatMap((line, index) => {
      const found = line.match(kEmptyName);
      return found ? [{path, line: index + 1, message: `'${found[1]}' says nothing; name what it does`}] : [];
    }));
    return [...words, ...types];
  },
  bad: [
    [{'core/a.h': `int ${'down'}stream_;\n`}, 'core/a.h:1: the words are client and upstream'],
    [{'README.md': `Each ${'Down'}stream waits.\n`}, /client and upstream/],
    [{'a.sh': `true # ${'TO'}DO later\n`}, /leaves something for later/],
    [{'a.md': `see ${'/wo'}rk/main\n`}, /a path of one machine/],
    [{'core/a.h': '\nclass PoolManager {\n'}, "core/a.h:2: 'PoolManager' says nothing; name what it does"],
  ],
  good: [{'core/a.h': '// the Util of nobody\nclass Pool;\nstruct ManagerOfNone {};\n', 'b.md': 'build/work/x and ~/home\n'}],
};
