// SPDX-License-Identifier: MIT
//
// How a file begins: the licence, then what the file is for (a .cc leaves that to its header, a test to its
// unit); a header is read once.

import {cppFiles} from './cpp.mjs';

const kLicensed = /(\.(cc|h|mjs|js|ts|tsx|sh|cmake|awk)|(^|\/)(CMakeLists\.txt|Dockerfile)|^\.ci\/run)$/;
const kMark = 'SPDX-License-Identifier: MIT';

export default {
  name: 'headers',
  says: 'each file begins with its licence and what it is for',
  check(tree) {
    const licence = [...tree].filter(([path, text]) => kLicensed.test(path) && !text.split('\n', 3).join('\n').includes(kMark))
      .map(([path]) => ({path, line: 1, message: `no '${kMark}' at the top`}));
    const purpose = cppFiles(tree).flatMap(([path, text]) => {
      const saidElsewhere = path.endsWith('.cc') && (tree.has(path.replace(/cc$/, 'h')) || path.endsWith('_test.cc'));
      if (saidElsewhere) return [];
      const lines = text.split('\n');
      const said = lines.findIndex((line) => !line.startsWith('//')) - 1;
      return said >= 1 && said <= 12 ? [] :
        [{path, line: 2, message: said < 1 ? 'no comment says what this file is for' : 'a long comment: put it into the README of the folder'}];
    });
    const once = cppFiles(tree).filter(([path, text]) => path.endsWith('.h') && !/^#pragma once$/m.test(text))
      .map(([path]) => ({path, line: 1, message: 'no #pragma once'}));
    return [...licence, ...purpose, ...once];
  },
  bad: [
    [{'core/a.cc': '// What it is for.\n// More.\nint a;\n'}, `core/a.cc:1: no '${kMark}' at the top`],
    [{'core/a.cc': `// ${kMark}\nint a;\n`}, 'core/a.cc:2: no comment says what this file is for'],
    [{'core/a.h': `// ${kMark}\n// What it is for.\nint a;\n`}, 'core/a.h:1: no #pragma once'],
    [{'a.sh': '#!/bin/sh\ntrue\n'}, /at the top/],
  ],
  good: [{
    'core/a.h': `// ${kMark}\n// What it is for.\n#pragma once\n`, 'a.sh': `#!/bin/sh\n# ${kMark}\ntrue\n`, 'a.md': 'text\n',
    'core/a.cc': `// ${kMark}\n#include "core/a.h"\n`, 'CMakeLists.txt': `# ${kMark}\n`,
  }],
};
