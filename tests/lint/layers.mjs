// SPDX-License-Identifier: MIT
//
// Layers point one way, and each library is seen by the one place that adapts it. Read from the
// #include lines: core <- upstreams <- filters <- admin, inside core the rooms as in core/README.md.

import {cppFiles, includes} from './cpp.mjs';

const kCore = ['core/base', 'core/async', 'core/net', 'core/http', 'core/config', 'core/store', 'core/metrics', 'core/exchange'];

/** What each room may include, beside itself. */
const kRooms = {
  'core/base': [],
  'core/async': ['core/base'],
  'core/net': ['core/base', 'core/async'],
  'core/http': ['core/base', 'core/async', 'core/net'],
  'core/config': ['core/base'],
  'core/store': ['core/base', 'core/async', 'core/net'],
  'core/metrics': ['core/base'],
  'core/exchange': kCore,
  upstreams: kCore,
  filters: [...kCore, 'upstreams'],
  admin: [...kCore, 'upstreams', 'filters'],
};

/** Who may include a library: [header, paths that begin so]. */
const kLibraries = [
  [/^yaml-cpp\//, ['core/config/yaml.cc']],
  [/^spdlog\//, ['core/base/log.cc']],
  [/^fmt\//, ['core/', 'upstreams/', 'filters/', 'admin/']],
  [/^prometheus\//, ['core/metrics/']],
  [/^hiredis\//, ['core/store/resp']],
  [/^openssl\//, ['core/net/tls', 'core/base/secret', 'core/base/aead']],
  [/^nghttp2\//, ['core/http/http2']],
  [/^llhttp\.h$/, ['core/http/http1']],
  [/^sqlite3\.h$/, ['core/store/sqlite_store']],
  [/^uv\.h$/, ['core/async/', 'core/net/']],
  [/^(rapidjson\/|simdjson\.h$)/, ['core/base/json']],
  [/^cctz\//, ['core/base/']],
  [/^zlib\.h$/, ['upstreams/']],
  [/^(gtest|gmock|benchmark)\//, []],
];

const roomOf = (path) => Object.keys(kRooms).find((room) => path.startsWith(`${room}/`));

function checkOwn(path, include) {
  const from = roomOf(path);
  const to = roomOf(include.path);
  if (include.path.startsWith('tests/')) return `the program includes a file of tests: ${include.path}`;
  if (to === undefined) return `'${include.path}' is no path from the root of the project into a room`;
  if (from === to || kRooms[from].includes(to)) return undefined;
  return `${from} may not see ${to}; it may see ${kRooms[from].join(', ') || 'nothing but itself'}`;
}

function checkLibrary(path, include) {
  const library = kLibraries.find(([header]) => header.test(include.path));
  if (library === undefined) return undefined;
  if (path.endsWith('.h')) return `<${include.path}> in a header of ours; declare forward, include it in the .cc`;
  if (library[1].some((place) => path.startsWith(place))) return undefined;
  return `<${include.path}> belongs to ${library[1].join(' and ') || 'the tests'}`;
}

export default {
  name: 'layers',
  says: 'rooms include downwards only, libraries stand in their one place',
  check(tree) {
    return cppFiles(tree).filter(([path]) => roomOf(path) !== undefined).flatMap(([path, text]) =>
      includes(text).flatMap((include) => {
        const message = include.system ? checkLibrary(path, include) : checkOwn(path, include);
        return message === undefined ? [] : [{path, line: include.line, message}];
      }));
  },
  bad: [
    [{'core/base/a.cc': '#include "core/net/tcp.h"\n'}, 'core/base/a.cc:1: core/base may not see core/net; it may see nothing but itself'],
    [{'upstreams/a.h': '\n#include "filters/registry.h"\n'}, /^upstreams\/a\.h:2: upstreams may not see filters/],
    [{'core/store/a.cc': '#include "core/http/stream.h"\n'}, /core\/store may not see core\/http/],
    [{'filters/auth.cc': '#include "auth.h"\n'}, /is no path from the root/],
    [{'admin/a.cc': '#include "tests/support/fake.h"\n'}, /includes a file of tests/],
    [{'core/http/message.cc': '#include <nghttp2/nghttp2.h>\n'}, /belongs to core\/http\/http2/],
    [{'core/config/yaml.h': '#include <yaml-cpp/yaml.h>\n'}, /in a header of ours/],
    [{'filters/auth.cc': '#include <gtest/gtest.h>\n'}, /belongs to the tests/],
  ],
  good: [{
    'core/config/yaml.cc': '#include <yaml-cpp/yaml.h>\n#include "core/base/error.h"\n// #include <uv.h>\n',
    'core/http/http2_session.cc': '#include <nghttp2/nghttp2.h>\n#include <sys/uio.h>\n',
    'admin/main.cc': '#include "core/net/tcp.h"\n#include "filters/registry.h"\n#include <string>\n',
    'tests/core/base/a_test.cc': '#include <gtest/gtest.h>\n#include "admin/main.h"\n',
  }],
};
