// SPDX-License-Identifier: MIT
//
// Subscriptions that log in, against the mock's OAuth: login by the command line, use, refresh, end and revocation for
// both vendors; one refresh for a hundred requests; and a relay that dies at each step of it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, afterEach, before, beforeEach, describe, it} from 'node:test';

import {startMock} from './lib/mock.mjs';
import {run, serve} from './lib/process.mjs';
import {freePort, startProxy} from './lib/proxies.mjs';
import {kRedisPassword, startRedis} from './lib/redis.mjs';
import {kRelayBinary, kRelayKey} from './lib/relay.mjs';
import {sleep, until} from './lib/waiting.mjs';

const kVendors = {
  claude: {
    agent: 'claude-cli/2.1.330 (external, cli)',
    target: '/api/v1/messages',
    body: {model: 'claude-opus-5-5', max_tokens: 16, messages: [{role: 'user', content: 'hi'}]},
    seed: 'sk-ant-ort01-seed-of-relay-yaml',
    rotates: true,
    text: (json) => json.content[0].text,
  },
  gemini: {
    agent: 'GeminiCLI/0.61.0 (linux; x64)',
    target: '/gemini/v1internal:generateContent',
    body: {model: 'gemini-2.5-pro', project: 'any', request: {contents: [{role: 'user', parts: [{text: 'hi'}]}]}},
    seed: '1//seed-of-relay-yaml',
    rotates: false,
    text: (json) => json.response.candidates[0].content.parts[0].text,
  },
};

let mock;
let control;
let folder;
const relays = [];

before(async () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'oauth-mock-'));
  mock = await startMock({folder: home});
  control = (what, body) => mock.control(body === undefined ? 'GET' : 'POST', what, body).then((answer) => answer.json());
});
after(() => mock.stop());
beforeEach(async () => {
  await mock.reset();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'oauth-'));
});
afterEach(async () => {
  for (const relay of relays.splice(0)) {
    relay.child.kill('SIGKILL');
    await relay.child.ended;
  }
});

/** accounts: lines of a cluster by vendor; proxy: of both clusters; store: as in relay.yaml; env: more of the environment. */
async function startRelay({accounts = {}, proxy, allowPrivate, store, home = folder, env: more = {}} = {}) {
  const cluster = (name) => `  ${name}:
    provider: ${name}
    endpoint: ${mock.url}
${proxy ? `    proxy: "${proxy}"\n` : ''}${allowPrivate ? '    allow-private: true\n' : ''}${name === 'gemini' ? `    code-assist-endpoint: ${mock.url}\n` : ''}    oauth:
      authorize-url: ${mock.url}${name === 'gemini' ? '/o/oauth2/v2/auth' : '/oauth/authorize'}
      token-url: ${mock.url}${name === 'gemini' ? '/token' : '/v1/oauth/token'}
${name === 'gemini' ? `      profile-url: ${mock.url}/oauth2/v2/userinfo\n      client-secret: the-client-secret\n` : ''}\
    accounts: [${accounts[name] ?? ''}]`;
  const route = (name, prefix) => `  - {name: ${name}, match: {prefix: ${prefix}}, cluster: ${name}, filters: [auth: {service: ${name}}, \
rate-limit: {}, account-select: {sticky: session}, rewrite: {strip-prefix: true}, usage-record: {}]}`;
  const config = path.join(home, 'relay.yaml');
  fs.writeFileSync(config, `listeners: [{address: "127.0.0.1:0"}]
workers: 2
${store ? `store: ${store}\n` : ''}log: {level: debug}
keys: [{name: alice, key: ${kRelayKey}}]
clusters:
${cluster('claude')}
${cluster('gemini')}
routes:
${route('claude', '/api')}
${route('gemini', '/gemini')}
`);
  const data = path.join(home, 'data');
  const portFile = path.join(home, 'relay.port');
  fs.rmSync(portFile, {force: true});
  const env = {PATH: process.env.PATH, HOME: folder, TZ: 'UTC', RELAY_DATA: data, ...more};
  const server = await serve(kRelayBinary, ['serve', '--config', config, '--port-file', portFile], {env, cwd: folder, portFile});
  const relay = {
    ...server,
    url: `http://127.0.0.1:${server.ports[0]}`,
    command: (args, talk) => run(kRelayBinary, [...args, '--config', config], {env, cwd: folder, timeoutMs: 30_000, talk}),
    /** A line of the shell at a terminal, in which RELAY is the program. */
    terminal: (line, talk) => run('script', ['-qec', line.replaceAll('RELAY', `'${kRelayBinary}'`), '/dev/null'],
      {env: {...env, SHELL: '/bin/sh'}, cwd: folder, timeoutMs: 30_000, talk}),
    async ask(name, change = {}) {
      const vendor = kVendors[name];
      const answer = await fetch(relay.url + vendor.target, {method: 'POST', body: JSON.stringify(vendor.body),
        headers: {'content-type': 'application/json', 'x-api-key': kRelayKey, 'user-agent': vendor.agent,
          'anthropic-version': '2023-06-01', ...change}});
      const json = await answer.json();
      return {status: answer.status, headers: answer.headers, json};
    },
    async list() {
      const {code, stdout, stderr} = await relay.command(['accounts', 'list', '--json']);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout).accounts;
    },
  };
  relays.push(relay);
  return relay;
}

const seeded = (name, more = '') =>
  ({[name]: `{name: seeded, oauth: {refresh-token: "${kVendors[name].seed}"}${name === 'gemini' ? ', project: mock-project-1234' : ''}${more}}`});

/** Goes to the page whose address the child prints, as a person does, and gives what is to be pasted. */
async function agree(child, as) {
  await until(() => /^http\S+$/m.test(child.out), 'the address');
  const url = new URL(/^http\S+$/m.exec(child.out)[0]);
  if (as) url.searchParams.set('login_hint', as);
  const answer = await fetch(url, {redirect: 'manual'});
  assert.equal(answer.status, 302, await answer.text());
  return new URL(answer.headers.get('location'));
}

const pasteCode = async (child) => {
  const back = await agree(child, 'alice@example.com');
  child.stdin.write(`${back.searchParams.get('code')}#${back.searchParams.get('state')}\n`);
};
const pasteAddress = async (child) => {
  const back = await agree(child, 'alice@example.com');
  child.stdin.write(`${back.href}\n`);
};
const login = (relay, name, talk = pasteCode, args = []) =>
  relay.command(['accounts', 'login', `${name}/alice`, '--accept-terms', ...args], talk);

/** No token that the mock gave, no code and no secret stands in the relay's log or in what a command said. */
async function assertNoSecrets(relay, ...texts) {
  const {families} = await control('oauth');
  const secrets = [...families.flatMap(({access, refresh}) => [...access, ...refresh]), 'the-client-secret', 'code-',
    kVendors.claude.seed, kVendors.gemini.seed];
  for (const text of [relay.log(), ...texts]) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} is told`);
  }
  for (const file of fs.readdirSync(path.join(folder, 'data'), {recursive: true, withFileTypes: true})) {
    if (!file.isFile()) continue;
    const bytes = fs.readFileSync(path.join(file.parentPath ?? file.path, file.name));
    for (const secret of secrets.filter((one) => one !== 'code-')) assert.ok(!bytes.includes(secret), `${secret} in ${file.name}`);
  }
}

for (const [name, vendor] of Object.entries(kVendors)) {
  describe(`a login with ${name}`, () => {
    it('is made by the command line, serves, is refreshed, and ends when the vendor takes it back', async () => {
      await control('oauth', {accessSeconds: 2, ...(name === 'gemini' && {onboarding: {polls: 0, project: 'found-project'}})});
      const relay = await startRelay();
      const empty = await relay.ask(name);
      assert.equal(empty.status, 503);
      const told = await login(relay, name);
      assert.equal(told.code, 0, told.stderr);
      assert.match(told.stdout, /alice is logged in as alice@example\.com/);
      if (name === 'claude') assert.match(told.stdout, /five_hour: 12 % used/);
      else assert.match(told.stdout, /project: found-project/);
      const first = await relay.ask(name);
      assert.equal(first.status, 200);
      assert.match(vendor.text(first.json), /Hello from the mock/);
      const [account] = await relay.list();
      assert.deepEqual([account.kind, account.source, account.who, account.state], ['login', 'store', 'alice@example.com', 'ready']);
      // It ends, and comes anew; with it the project of the account.
      await sleep(2100);
      assert.equal((await relay.ask(name)).status, 200);
      const {families: [family]} = await control('oauth');
      assert.ok(family.refreshes >= 1);
      assert.equal(family.reused, 0);
      if (name === 'gemini') assert.equal((await mock.records({path: 'generateContent'})).at(-1).project, 'found-project');
      // The vendor takes it back.
      await control('revoke', {credential: family.refresh.at(-1)});
      const refused = await relay.ask(name);
      assert.equal(refused.status, 503);
      assert.equal(refused.headers.get('x-should-retry'), 'false');
      const [after] = await relay.list();
      assert.equal(after.state, 'refused');
      assert.match(after.cause, /invalid_grant; log in again/);
      assert.match(after.incidents[0].cause, /invalid_grant/);
      // And a person logs in again, by the whole address.
      const again = await login(relay, name, pasteAddress);
      assert.equal(again.code, 0, again.stderr);
      assert.equal((await relay.ask(name)).status, 200);
      assert.equal((await relay.list())[0].state, 'ready');
      await assertNoSecrets(relay, told.stdout, told.stderr, again.stdout);
    });

    it('a hundred requests on an ended token make one refresh', async () => {
      const relay = await startRelay({accounts: seeded(name)});
      const answers = await Promise.all(Array.from({length: 100}, () => relay.ask(name)));
      assert.deepEqual(answers.map(({status}) => status), Array(100).fill(200));
      let {families} = await control('oauth');
      assert.deepEqual(families.map(({refreshes}) => refreshes), [1]);
      // The same by the vendor's word, in the middle of its life.
      await control('expire', {credential: families[0].access[0]});
      const more = await Promise.all(Array.from({length: 100}, () => relay.ask(name)));
      assert.deepEqual(more.map(({status}) => status), Array(100).fill(200));
      ({families} = await control('oauth'));
      assert.deepEqual(families.map(({refreshes, reused}) => [refreshes, reused]), [[2, 0]]);
      await assertNoSecrets(relay);
    });

    it('the newest token lives through a restart, and a changed seed begins anew', async () => {
      let relay = await startRelay({accounts: seeded(name)});
      assert.equal((await relay.ask(name)).status, 200);
      await relay.stop();
      relay = await startRelay({accounts: seeded(name)});
      assert.equal((await relay.ask(name)).status, 200);
      assert.equal((await control('oauth')).families[0].refreshes, 1);
      await relay.stop();
      const changed = {[name]: seeded(name)[name].replace('seed-of', 'another-seed-of')};
      relay = await startRelay({accounts: changed});
      assert.equal((await relay.ask(name)).status, 200);
      const {families} = await control('oauth');
      assert.deepEqual(families.map(({refreshes, reused}) => [refreshes, reused]), [[1, 0], [1, 0]]);
    });
  });
}

describe('a token endpoint in trouble', () => {
  for (const fault of ['status-503', 'status-429', 'reset-before-head', 'garbage', 'raw;text=HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{}']) {
    it(`is asked again (${fault.slice(0, 20)})`, async () => {
      await control('oauth', {graceSeconds: 60});
      await mock.script({match: {path: '/v1/oauth/token'}, faults: [fault]});
      const relay = await startRelay({accounts: seeded('claude')});
      const first = await relay.ask('claude');
      assert.equal(first.status, 503);
      assert.ok(Number(first.headers.get('retry-after')) >= 1);
      assert.equal(first.headers.get('x-should-retry'), null);
      assert.equal((await relay.list())[0].state, 'expired');
      if (fault === 'status-429') return;  // its retry-after is an hour
      await until(async () => (await relay.ask('claude')).status === 200, 'a token');
      assert.equal((await relay.list())[0].state, 'ready');
    });
  }

  it('holds nobody up who has another account', async () => {
    await mock.script({match: {path: '/v1/oauth/token'}, faults: ['status-503']});
    const relay = await startRelay({accounts: {claude: `${seeded('claude', ', priority: 1').claude}, {name: spare, api-key: sk-ant-api03-spare}`}});
    assert.equal((await relay.ask('claude')).status, 200);
    const [record] = await mock.records({path: '/v1/messages'});
    assert.equal(record.credential.value, 'sk-ant-api03-spare');
  });
});

describe('what the relay asks for an account behind a proxy', () => {
  const kUser = {user: 'alice', password: 'pr0xy-p4ss'};
  let proxy;
  afterEach(async () => {
    await proxy?.stop();
    proxy = undefined;
  });
  /** What reached the mock from the relay: the vendor's page is opened by a browser. */
  const asked = async () => (await mock.records({wait: 0})).filter(({path: target}) => !/\/authorize|\/v2\/auth/.test(target));

  for (const name of Object.keys(kVendors)) {
    it(`goes by it alone: login, refreshes and tests with ${name}`, async () => {
      await control('oauth', {accessSeconds: 2, onboarding: {polls: 0, project: 'found-project'}});
      proxy = await startProxy('http', kUser);
      const relay = await startRelay({proxy: proxy.url()});
      const told = await login(relay, name);
      assert.equal(told.code, 0, told.stderr);
      assert.equal((await relay.ask(name)).status, 200);
      await sleep(2100);
      assert.equal((await relay.ask(name)).status, 200);
      const tested = await relay.command(['accounts', 'test', 'alice']);
      assert.equal(tested.code, 0, tested.stdout);
      assert.ok((await control('oauth')).families[0].refreshes >= 1);
      const records = await asked();
      const ofTokens = records.filter(({path: target}) => /\/token$/.test(target));
      assert.ok(ofTokens.length >= 2, 'a login and a refresh');
      const connections = new Set(records.map(({connection}) => connection));
      assert.ok(connections.size > ofTokens.length);
      // As many came by the proxy as came at all.
      await until(() => proxy.connects().length === connections.size, 'the log of the proxy');
      assert.deepEqual([...new Set(proxy.connects())], [new URL(mock.url).host]);
      await assertNoSecrets(relay, told.stdout, told.stderr);
      assert.ok(!relay.log().includes(kUser.password));
    });
  }

  it('goes by the one that a login names, which stays the account\'s', async () => {
    proxy = await startProxy('http', kUser);
    const own = {PROXY_OF_ALICE: proxy.url()};
    const refused = await login(await startRelay({env: own}), 'claude', pasteCode, ['--proxy-env', 'PROXY_OF_ALICE']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /not an address of the public internet/);
    await relays.at(-1).stop();
    const relay = await startRelay({allowPrivate: true, env: own});
    const told = await login(relay, 'claude', pasteCode, ['--proxy-env', 'PROXY_OF_ALICE', '--weight', '4']);
    assert.equal(told.code, 0, told.stderr);
    assert.equal((await relay.ask('claude')).status, 200);
    const connections = new Set((await asked()).map(({connection}) => connection));
    assert.ok(connections.size >= 3);
    await until(() => proxy.connects().length === connections.size, 'the log of the proxy');
    assert.deepEqual((await relay.list())[0].terms, {priority: 50, weight: 4, proxy: proxy.url().replace(/\/\/.*@/, '//')});
    assert.ok(!`${relay.log()}${told.stdout}${told.stderr}`.includes(kUser.password));
  });

  it('fails with a dead one, and nothing goes out without it', async () => {
    const dead = `http://alice:pr0xy-p4ss@127.0.0.1:${await freePort()}`;
    const relay = await startRelay({proxy: dead, accounts: seeded('claude')});
    const answer = await relay.ask('claude');
    assert.deepEqual([answer.status, answer.headers.get('x-should-retry')], [503, null]);
    const [account] = await relay.list();
    assert.deepEqual([account.state, account.token.state], ['expired', 'expired']);
    for (const cause of [account.cause, account.token.cause]) {
      assert.match(cause, /token endpoint: the proxy http:\/\/127\.0\.0\.1:\d+ fails: cannot connect/);
    }
    const tested = await relay.command(['accounts', 'test', 'seeded']);
    assert.equal(tested.code, 1);
    assert.match(tested.stdout, /the proxy http:\/\/127\.0\.0\.1:\d+ fails/);
    const told = await login(relay, 'claude');
    assert.equal(told.code, 1);
    assert.match(told.stderr, /the proxy http:\/\/127\.0\.0\.1:\d+ fails/);
    assert.deepEqual(await asked(), []);
    assert.ok(!`${relay.log()}${tested.stdout}${told.stderr}`.includes('pr0xy-p4ss'));
  });

  it('needs a person where it does not accept the user', async () => {
    proxy = await startProxy('http', kUser);
    const relay = await startRelay({accounts: seeded('claude', `, proxy: "${proxy.url('alice:wr0ng')}"`)});
    const answer = await relay.ask('claude');
    assert.deepEqual([answer.status, answer.headers.get('x-should-retry')], [503, 'false']);
    const [account] = await relay.list();
    assert.deepEqual([account.state, account.token.state], ['refused', 'refused']);
    assert.match(account.cause, /does not accept user and password/);
    assert.deepEqual(await asked(), []);
    assert.ok(!relay.log().includes('wr0ng'));
  });
});

describe('two relays on one Redis', () => {
  for (const name of Object.keys(kVendors)) {
    it(`make one refresh for a hundred requests with ${name}`, async () => {
      const redis = await startRedis({folder});
      try {
        const store = `{redis: {address: "127.0.0.1:${redis.port}", password: "${kRedisPassword}", replicas: 2}}\n` +
          'secrets: {encryption-key: e2e-encryption-key-0123456789abcdef}';
        const both = [];
        for (const one of ['one', 'two']) {
          const home = path.join(folder, one);
          fs.mkdirSync(home);
          both.push(await startRelay({accounts: seeded(name), store, home}));
        }
        const askAll = () => Promise.all(Array.from({length: 100}, (_, i) => both[i % 2].ask(name)));
        assert.deepEqual((await askAll()).map(({status}) => status), Array(100).fill(200));
        const {families} = await control('oauth');
        assert.deepEqual(families.map(({refreshes}) => refreshes), [1]);
        await control('expire', {credential: families[0].access[0]});
        assert.deepEqual((await askAll()).map(({status}) => status), Array(100).fill(200));
        const [family] = (await control('oauth')).families;
        assert.deepEqual([family.refreshes, family.reused], [2, 0], 'a token that was spent is spent no more');
      } finally {
        for (const relay of relays) await relay.stop();
        await redis.stop();
      }
    });
  }
});

describe('without a store', () => {
  it('a refresh token that is good once lasts for one start, as the relay says', async () => {
    let relay = await startRelay({store: 'memory', accounts: seeded('claude')});
    await until(() => /a refresh token lasts for this start only.*claude\/seeded/.test(relay.log()), 'the warning');
    assert.equal((await relay.ask('claude')).status, 200);
    await relay.stop();
    relay = await startRelay({store: 'memory', accounts: seeded('claude')});
    assert.equal((await relay.ask('claude')).status, 503);
    assert.equal((await relay.list())[0].state, 'refused');
  });
});

describe('kill -9 at each step of a refresh', () => {
  /** Dies there, comes again and serves; gives the mock's families. */
  async function dieAndServe(point, settings = {}) {
    await control('oauth', settings);
    const dying = await startRelay({accounts: seeded('claude'), env: {RELAY_FAULT_POINT: point}});
    await dying.ask('claude').catch(() => {});
    assert.equal((await dying.child.ended).signal, 'SIGKILL');
    const relay = await startRelay({accounts: seeded('claude')});
    const answer = await relay.ask('claude');
    return {relay, answer, families: (await control('oauth')).families};
  }

  for (const [point, refreshes] of [['token-claim', 1], ['token-claimed', 1], ['token-stored', 1]]) {
    it(`at ${point} nothing is lost, with a vendor that forgives nothing`, async () => {
      const {answer, families} = await dieAndServe(point);
      assert.equal(answer.status, 200);
      assert.deepEqual(families.map((family) => [family.refreshes, family.reused]), [[refreshes, 0]]);
    });
  }

  it('at token-answered it is the vendor\'s grace that counts', async () => {
    const {answer, families} = await dieAndServe('token-answered', {graceSeconds: 60});
    assert.equal(answer.status, 200);
    assert.equal(families[0].reused, 0);
  });

  it('while the vendor is asked it is the same', async () => {
    await control('oauth', {graceSeconds: 60});
    await mock.script({match: {path: '/v1/oauth/token'}, faults: ['stall-before-head']});
    const dying = await startRelay({accounts: seeded('claude')});
    const lost = dying.ask('claude').catch(() => {});
    await until(async () => (await mock.records({path: '/v1/oauth/token', wait: 0})).length > 0, 'the request for a token');
    dying.child.kill('SIGKILL');
    await Promise.all([lost, dying.child.ended]);
    const relay = await startRelay({accounts: seeded('claude')});
    assert.equal((await relay.ask('claude')).status, 200);
  });

  it('and where the vendor forgives nothing, a person is told to log in, and that cures it', async () => {
    const {relay, answer} = await dieAndServe('token-answered');
    assert.equal(answer.status, 503);
    assert.match((await relay.list())[0].cause, /log in again/);
    const told = await relay.command(['accounts', 'login', 'claude/seeded', '--accept-terms'], pasteCode);
    assert.equal(told.code, 0, told.stderr);
    assert.equal((await relay.ask('claude')).status, 200);
  });

  it('a refresh in advance that dies leaves the token that lives', async () => {
    await control('oauth', {accessSeconds: 30});
    const first = await startRelay({accounts: seeded('claude')});
    assert.equal((await first.ask('claude')).status, 200);
    const [{access: [token]}] = (await control('oauth')).families;
    await first.stop();
    // A 401 makes it refresh before its time; it dies with the answer in hand.
    const dying = await startRelay({accounts: seeded('claude'), env: {RELAY_FAULT_POINT: 'token-answered'}});
    await mock.script({match: {path: '/v1/messages'}, faults: ['status-401']});
    await dying.ask('claude').catch(() => {});
    assert.equal((await dying.child.ended).signal, 'SIGKILL');
    const relay = await startRelay({accounts: seeded('claude')});
    assert.equal((await relay.ask('claude')).status, 200);
    assert.equal((await mock.records({path: '/v1/messages'})).at(-1).credential.value, token);
  });

  for (const point of ['login-answered', 'login-stored']) {
    it(`at ${point} a login is begun anew`, async () => {
      const dying = await startRelay({env: {RELAY_FAULT_POINT: point}});
      assert.equal((await login(dying, 'claude')).code, 1);
      assert.equal((await dying.child.ended).signal, 'SIGKILL');
      const relay = await startRelay();
      assert.deepEqual(await relay.list(), []);
      assert.equal((await login(relay, 'claude')).code, 0);
      assert.equal((await relay.ask('claude')).status, 200);
    });
  }

  it('SIGTERM lets a refresh come to its end', async () => {
    await mock.script({match: {path: '/v1/oauth/token'}, faults: ['latency-700']});
    const stopping = await startRelay({accounts: seeded('claude')});
    const asked = stopping.ask('claude', {}).catch(() => {});
    await until(async () => (await mock.records({path: '/v1/oauth/token', wait: 0})).length > 0, 'the request for a token');
    await stopping.stop();
    await asked;
    const relay = await startRelay({accounts: seeded('claude')});
    assert.equal((await relay.ask('claude')).status, 200);
    assert.deepEqual((await control('oauth')).families.map(({refreshes, reused}) => [refreshes, reused]), [[1, 0]]);
  });
});

describe('relay accounts', () => {
  it('asks for a yes to the terms, and does nothing without', async () => {
    const relay = await startRelay();
    const no = await relay.command(['accounts', 'login', 'claude/alice'], async (child) => child.stdin.write('no\n'));
    assert.equal(no.code, 1);
    assert.match(no.stderr, /terms restrict/);
    // Nobody is asked where it could not be all the same.
    const nowhere = await relay.command(['accounts', 'login', 'other/alice'], async (child) => child.stdin.write('yes\n'));
    assert.deepEqual([nowhere.code, nowhere.stderr], [1, "relay: relay.yaml has no cluster 'other'\n"]);
    const yes = await relay.command(['accounts', 'login', 'claude/alice'], async (child) => {
      child.stdin.write('yes\n');
      await pasteCode(child);
    });
    assert.equal(yes.code, 0, yes.stderr);
  });

  it('takes no code of another login, and says when the person said no', async () => {
    const relay = await startRelay();
    const other = await login(relay, 'claude', async (child) => {
      const back = await agree(child);
      child.stdin.write(`${back.searchParams.get('code')}#another-state\n`);
    });
    assert.equal(other.code, 1);
    assert.match(other.stderr, /another login/);
    await control('oauth', {deny: true});
    const denied = await login(relay, 'claude', pasteAddress);
    assert.match(denied.stderr, /access_denied/);
    assert.deepEqual(await relay.list(), []);
  });

  it('asks again for what is no code', async () => {
    const relay = await startRelay();
    const told = await login(relay, 'claude', async (child) => {
      await agree(child);
      child.stdin.write('what is this\n\n');
      await until(() => child.err.includes('relay: '), 'the complaint');
      await pasteCode(child);
    });
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stderr, /^relay: .*\n$/);
  });

  it('shows again what is typed at a terminal at which it was ended', async () => {
    const relay = await startRelay();
    const at = await relay.terminal('trap : INT; RELAY accounts add claude/typed; echo "code $?"; stty -a', async (child) => {
      await until(() => child.out.includes('API key: '), 'the question');
      child.stdin.write('sk-ant-half\x03');
      await until(() => child.out.includes('iexten'), 'the settings of the terminal');
    });
    assert.match(at.stdout, /code 130[\s\S]* echo /, at.stdout);
    assert.ok(!at.stdout.includes('sk-ant-half'));
    assert.deepEqual(await relay.list(), []);
  });

  it('keeps a setup token, which is never refreshed', async () => {
    const relay = await startRelay();
    const told = await login(relay, 'claude', pasteCode, ['--setup-token']);
    assert.equal(told.code, 0, told.stderr);
    assert.equal((await relay.ask('claude')).status, 200);
    const tested = await relay.command(['accounts', 'test', 'alice']);
    assert.equal(tested.code, 0, tested.stdout);
    assert.match(tested.stdout, /setup token/);
    assert.equal((await relay.list())[0].kind, 'oauth-token');
  });

  it('names Google\'s reason why somebody may not', async () => {
    await control('oauth', {onboarding: {ineligible: 'Not in your country.'}});
    const relay = await startRelay();
    const told = await login(relay, 'gemini');
    assert.equal(told.code, 1);
    assert.match(told.stderr, /Not in your country/);
    await control('oauth', {onboarding: {tier: 'standard-tier', project: 'my-own'}});
    const without = await login(relay, 'gemini');
    assert.match(without.stderr, /--project/);
    await control('oauth', {onboarding: {tier: 'standard-tier', project: 'my-own', polls: 1}});
    const named = await login(relay, 'gemini', pasteCode, ['--project', 'my-own']);
    assert.equal(named.code, 0, named.stderr);
  });

  it('keeps accounts and tokens in a store that is there only after the first start', async () => {
    const file = path.join(folder, 'data', 'relay.db');
    fs.mkdirSync(file, {recursive: true});
    let relay = await startRelay({accounts: seeded('claude')});
    const typed = async (child) => child.stdin.write('sk-ant-api03-typed-key\n');
    const early = await relay.command(['accounts', 'add', 'claude/typed'], typed);
    assert.equal(early.code, 1);
    assert.match(early.stderr, /has not been reached yet; try again later/);
    assert.equal((await relay.ask('claude')).status, 503, 'what the store has of the token is not known');
    fs.rmdirSync(file);
    await until(async () => (await relay.command(['accounts', 'add', 'claude/typed'], typed)).code === 0, 'an account is taken');
    await until(async () => (await relay.command(['accounts', 'test', 'claude/seeded'])).code === 0, 'a token is got');
    await relay.stop();
    relay = await startRelay({accounts: seeded('claude')});
    const accounts = await relay.list();
    assert.deepEqual(accounts.map(({name}) => name).sort(), ['seeded', 'typed']);
    assert.equal(accounts.find(({name}) => name === 'seeded').token.state, 'ready', 'it was kept');
  });

  it('shows what a subscription has used of its windows, and spares what is left of them', async () => {
    const accounts = {claude: '{name: sub, oauth-token: sk-ant-oat01-a-person, priority: 1, pause-at: {5h: 10%}}, \
{name: spare, api-key: sk-ant-api03-spare, priority: 2}'};
    let relay = await startRelay({accounts});
    const asked = async (session) => {
      assert.equal((await relay.ask('claude', {'x-claude-code-session-id': session})).status, 200);
      return (await mock.records({path: '/v1/messages'})).at(-1).credential.value;
    };
    assert.equal(await asked('first'), 'sk-ant-oat01-a-person');
    const shown = async () => (await relay.list()).find(({name}) => name === 'sub');
    const sub = await shown();
    assert.deepEqual(sub.windows.map(({name, used_percent}) => [name, used_percent]), [['5h', 12], ['week', 34]]);
    assert.equal(sub.state, 'spared');
    assert.equal(sub.until, sub.windows[0].until);
    assert.equal(await asked('second'), 'sk-ant-api03-spare');
    assert.equal(await asked('first'), 'sk-ant-oat01-a-person');
    await relay.stop();
    relay = await startRelay({accounts});
    assert.equal((await shown()).state, 'spared');
    const table = await relay.command(['accounts', 'list']);
    assert.match(table.stdout, /sub .*spared .*5h 12%, week 34%/);
  });

  it('adds, tests, pauses, resets and removes an API key, and keeps all of it over a restart', async () => {
    let relay = await startRelay();
    const typed = async (child) => child.stdin.write('sk-ant-api03-typed-key\n');
    const added = await relay.command(['accounts', 'add', 'claude/typed', '--priority', '7', '--weight', '3', '--tags', 'team,eu'], typed);
    assert.equal(added.code, 0, added.stderr);
    assert.equal((await relay.command(['accounts', 'add', 'claude/typed'], typed)).code, 1);
    assert.equal((await relay.ask('claude', {'user-agent': 'any'})).status, 200);
    const tested = await relay.command(['accounts', 'test', 'typed']);
    assert.equal(tested.code, 0, tested.stdout);
    assert.match(tested.stdout, /ok +models[\s\S]*ok +message +\d+ ms +claude-haiku/);
    assert.equal((await relay.command(['accounts', 'pause', 'typed'])).code, 0);
    assert.equal((await relay.ask('claude')).status, 503);
    await relay.stop();
    relay = await startRelay();
    const [account] = await relay.list();
    assert.deepEqual([account.name, account.state, account.source], ['typed', 'paused', 'store']);
    assert.deepEqual(account.terms, {priority: 7, weight: 3, tags: ['team', 'eu']});
    assert.equal((await relay.command(['accounts', 'resume', 'typed'])).code, 0);
    assert.equal((await relay.ask('claude')).status, 200);
    await control('revoke', {credential: 'sk-ant-api03-typed-key'});
    await relay.ask('claude');
    assert.equal((await relay.list())[0].state, 'refused');
    assert.equal((await relay.command(['accounts', 'test', 'typed'])).code, 1);
    assert.equal((await relay.command(['accounts', 'reset', 'typed'])).code, 0);
    assert.equal((await relay.list())[0].state, 'ready');
    assert.match((await relay.command(['accounts', 'list'])).stdout, /claude\/typed +api-key +store +ready/);
    assert.equal((await relay.command(['accounts', 'remove', 'typed'])).code, 0);
    assert.deepEqual(await relay.list(), []);
    assert.ok(!relay.log().includes('typed-key'));
  });

  it('changes how an account of the store is used, shows it, and takes it back', async () => {
    let relay = await startRelay({accounts: seeded('claude')});
    const add = (...more) => relay.command(['accounts', 'add', 'claude/typed', ...more], async (child) => child.stdin.write('sk-ant-api03-typed-key\n'));
    const set = (...more) => relay.command(['accounts', 'set', 'typed', ...more]);
    const served = async () => (await relay.ask('claude', {'user-agent': 'any'})).status;
    assert.equal((await add('--models', 'claude-haiku-*')).code, 0);
    assert.equal(await served(), 404, 'the model is another');
    const shown = await set('--models', 'none', '--pause-at', '5h=90%,week=95%', '--concurrency', '2', '--proxy', 'direct');
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /account +claude\/typed\n[\s\S]*concurrency +2\npause-at +5h=90% week=95%\nproxy +direct\n/);
    assert.equal(await served(), 200);
    assert.equal((await set('--pause-at', 'week=none')).code, 0);
    await relay.stop();
    relay = await startRelay({accounts: seeded('claude')});
    const terms = async () => (await relay.list()).find(({name}) => name === 'typed').terms;
    assert.deepEqual(await terms(), {priority: 50, concurrency: 2, 'pause-at': {'5h': '90%'}, proxy: 'direct'});
    assert.match((await relay.command(['accounts', 'list'])).stdout, /typed .*priority: 50; concurrency: 2; pause-at: 5h=90%; proxy: direct\n/);
    assert.equal((await set('--pause-at', 'none', '--concurrency', 'none', '--proxy', 'none')).code, 0);
    assert.deepEqual(await terms(), {priority: 50});
    for (const [args, code, what] of [
      [['--weight', '0'], 1, /'weight' must be 1\.\.1000, not 0/], [['--pause-at', '5h=90'], 1, /'5h' must be 1% to 100%/],
      [['--pause-at', 'ninety'], 1, /must be like name=value/], [['--tags', 'Team'], 1, /'tags' must be lower-case/],
      [['--proxy', 'http://a:b@127.0.0.1:1'], 1, /--proxy-env VARIABLE/], [['--proxy-env', 'NOT_SET'], 1, /NOT_SET is not set/],
      [['--endpoint', 'ftp://vendor.test'], 1, /'endpoint' must/], [[], 2, /needs something to set/], [['--wieght', '2'], 2, /did you mean '--weight'/],
    ]) {
      const wrong = await set(...args);
      assert.equal(wrong.code, code, `${args}: ${wrong.stderr}`);
      assert.match(wrong.stderr, what);
    }
    assert.deepEqual(await terms(), {priority: 50});
    const file = await relay.command(['accounts', 'set', 'seeded', '--weight', '2']);
    assert.deepEqual([file.code, file.stderr], [1, 'relay: claude/seeded stands in relay.yaml; change it there\n']);
    await control('revoke', {credential: 'sk-ant-api03-typed-key'});
    await relay.ask('claude', {'user-agent': 'any'});
    const details = await relay.command(['accounts', 'show', 'typed']);
    assert.match(details.stdout, /state +refused\n[\s\S]*\ntrouble of late +status +cause\n\d{4}-\d\d-\d\d \d\d:\d\d +401 +/);
    assert.equal((await relay.command(['accounts', 'show', 'nobody'])).code, 1);
  });

  it('pauses an account of relay.yaml, but does not remove it', async () => {
    const relay = await startRelay({accounts: seeded('claude')});
    assert.equal((await relay.command(['accounts', 'pause', 'seeded'])).code, 0);
    assert.equal((await relay.ask('claude')).status, 503);
    const removed = await relay.command(['accounts', 'remove', 'seeded']);
    assert.equal(removed.code, 1);
    assert.match(removed.stderr, /stands in relay\.yaml/);
    assert.equal((await relay.command(['accounts', 'resume', 'seeded'])).code, 0);
    assert.equal((await relay.ask('claude')).status, 200);
  });
});
