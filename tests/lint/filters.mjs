// SPDX-License-Identifier: MIT
//
// A filter is one source file, one test, one line in the registry and at least one example.

const kOthers = new Set(['registry']);

export default {
  name: 'filters',
  says: 'each filter has its test, its line in registry.cc and an example',
  check(tree) {
    const registry = tree.get('filters/registry.cc') ?? '';
    const examples = [...tree].filter(([path]) => /^examples\/[^/]+\/relay\.yaml$/.test(path)).map(([, text]) => text);
    return [...tree.keys()].flatMap((path) => {
      const unit = path.match(/^filters\/(\w+)\.cc$/)?.[1];
      // A filter has no header; what has one is shared by several.
      if (unit === undefined || kOthers.has(unit) || tree.has(`filters/${unit}.h`)) return [];
      const name = unit.replaceAll('_', '-');
      return [
        tree.has(`tests/filters/${unit}_test.cc`) ? '' : `no test tests/filters/${unit}_test.cc`,
        registry.includes(`"${name}"`) ? '' : `no line for "${name}" in filters/registry.cc`,
        examples.some((text) => new RegExp(`- ${name}:`).test(text)) ? '' : `no relay.yaml of examples/ shows '${name}'`,
      ].filter((message) => message !== '').map((message) => ({path, line: 1, message}));
    });
  },
  bad: [
    [{'filters/rate_limit.cc': '', 'filters/registry.cc': '{"rate-limit", …}', 'tests/filters/rate_limit_test.cc': ''},
      "filters/rate_limit.cc:1: no relay.yaml of examples/ shows 'rate-limit'"],
    [{'filters/auth.cc': '', 'tests/filters/auth_test.cc': '', 'examples/a/relay.yaml': '- auth: {}\n'}, /no line for "auth"/],
    [{'filters/auth.cc': '', 'filters/registry.cc': '"auth"', 'examples/a/relay.yaml': '- auth: {}\n'}, /no test/],
  ],
  good: [{'filters/auth.cc': '', 'filters/registry.cc': '"auth"', 'tests/filters/auth_test.cc': '', 'examples/a/relay.yaml': '- auth: {}\n',
    'filters/policy.cc': '', 'filters/policy.h': ''}],
};
