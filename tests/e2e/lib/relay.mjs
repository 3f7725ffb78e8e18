// SPDX-License-Identifier: MIT
//
// A relay of the built binary, with a relay.yaml that points both clusters at the mock.

import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {run, serve} from './process.mjs';

export const kRelayBinary = path.resolve(process.env.RELAY_BIN ??
  fileURLToPath(new URL('../../../build/release/relay', import.meta.url)));
export const kRelayKey = `cr_${'5e'.repeat(32)}`;

/** The accounts behind the relay, best first; a test asserts that no client ever sees one. */
export const kAccounts = {
  claude: {
    key: {name: 'team-api', field: 'api-key', value: 'sk-ant-api03-upstream-account'},
    second: {name: 'spare-api', field: 'api-key', value: 'sk-ant-api03-spare-account'},
    third: {name: 'third-api', field: 'api-key', value: 'sk-ant-api03-third-account'},
    oauth: {name: 'alice-max', field: 'oauth-token', value: 'sk-ant-oat01-upstream-account'},
  },
  gemini: {
    key: {name: 'studio', field: 'api-key', value: 'AIza-upstream-account'},
    second: {name: 'spare-studio', field: 'api-key', value: 'AIza-spare-account'},
    third: {name: 'third-studio', field: 'api-key', value: 'AIza-third-account'},
    oauth: {name: 'dave-google', field: 'oauth-token', value: 'ya29.upstream-account', project: 'mock-project-1234'},
  },
};

function accountLines(service, kinds) {
  return kinds.map((kind, i) => {
    const {name, field, value, project, endpoint, proxy, priority = 10 * (i + 1)} = {...kAccounts[service][kind.kind ?? kind], ...kind};
    return `      - {name: ${name}, ${field}: "${value}", priority: ${priority}` +
      `${project ? `, project: ${project}` : ''}${endpoint ? `, endpoint: "${endpoint}"` : ''}${proxy ? `, proxy: "${proxy}"` : ''}}`;
  }).join('\n');
}

/**
 * claude, gemini: which kinds of account each cluster has, in the order of their priority; a kind may be
 * an object {kind, endpoint, proxy, priority}. The rest goes into the file as it stands: limits (of the listeners),
 * timeouts (of the clusters), drain, workers, keyLimits, passthrough, metricsToken, tls ({cert, key} of a second listener),
 * rateLimit (options of the filter), bufferedBytes, trustedProxies; more: lines of the top level; keys: more of them, as
 * [{name, key, limits, rules}]; claudeRules: of the cluster, in braces.
 */
export function relayYaml({upstream, claude, gemini, limits, timeouts, drain, workers, keyLimits, passthrough, metricsToken, tls,
  rateLimit = '', bufferedBytes, trustedProxies, more: topLevel = '', keys = [], claudeRules}) {
  const listenerLimits = (limits ? `\n    limits: {${limits}}` : '') + (trustedProxies ? `\n    trusted-proxies: [${trustedProxies}]` : '');
  const more = timeouts ? `\n    timeouts: {${timeouts}}` : '';
  const open = passthrough ? `\n    passthrough: [${passthrough}]` : '';
  const route = (name, prefix) => `  - name: ${name}
    match: {prefix: ${prefix}}
    filters:
      - auth: {service: ${name}}
      - rate-limit: {${rateLimit}}
      - account-select: {sticky: session}
      - rewrite: {strip-prefix: true}
      - usage-record: {}
    cluster: ${name}${open}`;
  return `# Written by the end-to-end tests.
listeners:
  - address: 127.0.0.1:0${listenerLimits}
${tls ? `  - address: 127.0.0.1:0\n    tls: {certificate: ${tls.cert}, key: ${tls.key}}${listenerLimits}\n` : ''}
log: {level: debug}
${drain ? `drain-timeout: ${drain}\n` : ''}${workers ? `workers: ${workers}\n` : ''}${metricsToken ? `admin: {metrics-token: ${metricsToken}}\n` : ''}
${bufferedBytes ? `limits: {buffered-bytes: ${bufferedBytes}}\n` : ''}${topLevel}
keys:
  - name: alice
    key: \${RELAY_KEY}
    services: [claude, gemini]${keyLimits ? `\n    limits: {${keyLimits}}` : ''}
${keys.map(({name, key, limits: its = '', rules}) => `  - {name: ${name}, key: ${key}, limits: {${its}}${rules ? `, ${rules}` : ''}}\n`).join('')}
clusters:
  claude:
    provider: claude
    endpoint: ${upstream}
    accounts:
${accountLines('claude', claude)}${more}${claudeRules ? `\n    rules: [${claudeRules}]` : ''}
  gemini:
    provider: gemini
    endpoint: ${upstream}
    code-assist-endpoint: ${upstream}
    accounts:
${accountLines('gemini', gemini)}${more}

routes:
${route('claude', '[/api, /claude]')}
${route('gemini', '/gemini')}
`;
}

/**
 * Starts a relay in `folder`, or again there. ca: a file with the certificate that the upstream's is checked against.
 * by: a command (and its first arguments) that the program's is given to, and which ends as that one.
 */
export async function startRelay({folder, ca, by = [], ...settings}) {
  const config = path.join(folder, 'relay.yaml');
  const portFile = path.join(folder, 'relay.port');
  const data = path.join(folder, 'data');
  fs.mkdirSync(data, {recursive: true});
  fs.writeFileSync(config, relayYaml(settings));
  fs.rmSync(portFile, {force: true});
  const env = {PATH: process.env.PATH, HOME: folder, TZ: 'UTC', RELAY_KEY: kRelayKey, RELAY_DATA: data,
    ...(ca && {SSL_CERT_FILE: ca})};
  const [program, ...args] = [...by, kRelayBinary, 'serve', '--config', config, '--port-file', portFile];
  const server = await serve(program, args, {env, cwd: folder, portFile});
  return {
    pid: server.child.pid,
    child: server.child,
    port: server.ports[0],
    tlsPort: server.ports[1],
    url: `http://127.0.0.1:${server.ports[0]}`,
    log: server.log,
    stop: server.stop,
    /** Runs another command of the program beside it, with the same file and environment. */
    command: (...args) => run(kRelayBinary, [...args, '--config', config], {env, cwd: folder, timeoutMs: 20_000}),
  };
}
