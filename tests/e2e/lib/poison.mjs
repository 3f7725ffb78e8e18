// SPDX-License-Identifier: MIT
//
// Files that no relay may put in force, made of a good one: wrong in the text, in the tree, in a value, in what
// belongs together, or by a test of their own.

/** [[name, bytes]…], forty of them. `good`: a relay.yaml of relay.mjs. */
export function poisonous(good) {
  const change = (from, to) => {
    if (!good.includes(from)) throw new Error(`not in the file: ${from}`);
    return good.replace(from, () => to);
  };
  const withKey = (line) => change('\nclusters:', `\n  - ${line}\n\nclusters:`);
  const auth = '      - auth: {service: claude}\n';
  return Object.entries({
    'nothing': '',
    'a comment only': '# nothing\n',
    'half of a file': good.slice(0, good.length / 2),
    'no YAML': 'a: [b\n',
    'a tab': change('  - name: alice', '\t- name: alice'),
    'two documents': `${good}---\n${good}`,
    'no UTF-8': Buffer.concat([Buffer.from(good), Buffer.from([0x23, 0xff, 0xfe])]),
    'a control byte': `${good}# \x07\n`,
    'more than 1 MiB': `${good}#${'x'.repeat(1 << 20)}\n`,
    'an anchor': change('keys:', 'keys: &all'),
    'an alias': change('workers: 2', 'workers: *two'),
    'a tag': change('workers: 2', 'workers: !!int 2'),
    'a key twice': `workers: 3\n${good}`,
    'a list': '- listeners\n- keys\n',
    'nested too deep': `${good}x: ${'['.repeat(100)}${']'.repeat(100)}\n`,
    'an unknown key': `${good}nonsense: 1\n`,
    'an unknown key of a key': change('services:', 'servces:'),
    'no listeners': change('listeners:', 'listeners: []\nlisteners2:'),
    'an address that is none': change('127.0.0.1:0', '127.0.0.1:99999'),
    'workers beyond the range': change('workers: 2', 'workers: 1000'),
    'a duration that is none': `${good}drain-timeout: soon\n`,
    'a time zone that is none': `${good}time-zone: Mars/Olympus\n`,
    'a variable that is not set': change('${RELAY_KEY}', '${NO_SUCH_VARIABLE}'),
    'a default as a shell has it': change('${RELAY_KEY}', '${RELAY_KEY:-x}'),
    'a file that is not there': change('${RELAY_KEY}', '${file:no/such/file}'),
    'a key that is too short': withKey('{name: short, key: cr_1}'),
    'a key with the name of another': withKey(`{name: alice, key: cr_${'7'.repeat(30)}}`),
    'a key with the secret of another': withKey('{name: twin, key: "${RELAY_KEY}"}'),
    'a limit below zero': withKey(`{name: below, key: cr_${'7'.repeat(30)}, limits: {concurrency: -1}}`),
    'a service that is none': change('[claude, gemini]', '[claude, gpt]'),
    'a provider that is none': change('provider: claude', 'provider: clod'),
    'an account without a credential': change('    accounts:\n', '    accounts:\n      - {name: poor}\n'),
    'an account with two': change('    accounts:\n', '    accounts:\n      - {name: rich, api-key: sk-1, oauth-token: sk-2}\n'),
    'an endpoint that is none': change('endpoint: http', 'endpoint: gopher'),
    'a cluster that is not there': change('cluster: claude', 'cluster: cloud'),
    'an unknown filter': change('rate-limit:', 'rat-limit:'),
    'an option that is none': change('sticky: session', 'stick: session'),
    'a chain in the wrong order': change(auth, '').replace('    cluster: claude', () => `${auth}    cluster: claude`),
    'a certificate that is not there': change('front.pem', 'no-front.pem'),
    'a test that fails': `${good}tests:\n  - {request: {path: /api/v1/models, key: nobody}, expect: {status: 200}}\n`,
  });
}
