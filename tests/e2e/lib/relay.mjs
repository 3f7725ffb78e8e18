// SPDX-License-Identifier: MIT
//
// A relay of the built binary, with a relay.yaml that points both clusters at the mock.

import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {serve} from './process.mjs';

export const kRelayBinary = path.resolve(process.env.RELAY_BIN ??
  fileURLToPath(new URL('../../../build/release/relay', import.meta.url)));
export const kRelayKey = `cr_${'5e'.repeat(32)}`;

/** The accounts behind the relay; a test asserts that no client ever sees one. */
export const kAccounts = {
  claude: {
    key: {name: 'team-api', field: 'api-key', value: 'sk-ant-api03-upstream-account'},
    oauth: {name: 'alice-max', field: 'oauth-token', value: 'sk-ant-oat01-upstream-account'},
  },
  gemini: {
    key: {name: 'studio', field: 'api-key', value: 'AIza-upstream-account'},
    oauth: {name: 'dave-google', field: 'oauth-token', value: 'ya29.upstream-account', project: 'mock-project-1234'},
  },
};

function accountLine({name, field, value, project}) {
  return `      - {name: ${name}, ${field}: "${value}"${project ? `, project: ${project}` : ''}}`;
}

/** claude, gemini: which kinds of account each cluster has. */
export function relayYaml({upstream, claude, gemini}) {
  return `# Written by the end-to-end tests.
listeners:
  - address: 127.0.0.1:0

keys:
  - name: alice
    key: \${RELAY_KEY}
    services: [claude, gemini]

clusters:
  claude:
    provider: claude
    endpoint: ${upstream}
    accounts:
${claude.map((kind) => accountLine(kAccounts.claude[kind])).join('\n')}
  gemini:
    provider: gemini
    endpoint: ${upstream}
    code-assist-endpoint: ${upstream}
    accounts:
${gemini.map((kind) => accountLine(kAccounts.gemini[kind])).join('\n')}

routes:
  - name: claude
    match: {prefix: [/api, /claude]}
    filters:
      - auth: {service: claude}
      - rate-limit: {}
      - account-select: {sticky: session}
      - rewrite: {strip-prefix: true}
      - usage-record: {}
    cluster: claude
  - name: gemini
    match: {prefix: /gemini}
    filters:
      - auth: {service: gemini}
      - rate-limit: {}
      - account-select: {sticky: session}
      - rewrite: {strip-prefix: true}
      - usage-record: {}
    cluster: gemini
`;
}

/** Starts a relay in `folder`. ca: a file with the certificate that the upstream's is checked against. */
export async function startRelay({folder, upstream, claude = ['key'], gemini = ['key'], ca}) {
  const config = path.join(folder, 'relay.yaml');
  const portFile = path.join(folder, 'relay.port');
  fs.writeFileSync(config, relayYaml({upstream, claude, gemini}));
  const env = {PATH: process.env.PATH, HOME: folder, TZ: 'UTC', RELAY_KEY: kRelayKey, ...(ca && {SSL_CERT_FILE: ca})};
  const server = await serve(kRelayBinary, ['serve', '--config', config, '--port-file', portFile], {env, cwd: folder, portFile});
  return {port: server.ports[0], url: `http://127.0.0.1:${server.ports[0]}`, log: server.log, stop: server.stop};
}
