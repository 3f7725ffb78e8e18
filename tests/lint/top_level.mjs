// SPDX-License-Identifier: MIT
//
// The top level is a table of contents: nothing is added to it without being wanted there.

const kEntries = new Set(['CMakeLists.txt', 'CMakePresets.json', 'Dockerfile', 'README.md', 'CHANGELOG.md', 'LICENSE', 'relay.yaml',
  'core', 'filters', 'upstreams', 'admin', 'tests', 'examples']);

export default {
  name: 'top-level',
  says: 'the top level holds what the design names, and dot-files',
  check(tree) {
    const entries = new Set([...tree.keys()].map((path) => path.split('/')[0]));
    return [...entries].filter((entry) => !entry.startsWith('.') && !kEntries.has(entry))
      .map((entry) => ({path: entry, line: 1, message: 'not an entry of the top level; put it into a room'}));
  },
  bad: [[{'scripts/x.sh': ''}, 'scripts:1: not an entry of the top level; put it into a room'], [{'NOTES.md': ''}, /not an entry/]],
  good: [{'core/a.h': '', '.ci/run': '', 'relay.yaml': ''}],
};
