// SPDX-License-Identifier: MIT
//
// Accounts that go out by a proxy, HTTP's CONNECT and SOCKS5, through programs that others wrote: a stream with TLS to
// the upstream in it, and each way in which a proxy fails: what the client is told, what the log says, and in which
// state the account is then.

import assert from 'node:assert/strict';
import {describe, it} from 'node:test';

import {askFor, kDialects} from './lib/asking.mjs';
import {freePort, startProxy} from './lib/proxies.mjs';
import {kAccounts} from './lib/relay.mjs';
import {until} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

const kUser = 'alice';
const kPasswords = {http: 'pr0xy-p4ss', socks5: 'pr0xy:p@ss/w%rd'};  // tinyproxy's file takes plain words only
const kToken = 'metrics-token-of-the-tests';
const kBrokenInARow = 5;
const kTimeouts = 'connect: 500ms';

/** A world whose first account is behind `proxy` (a URL); `spare`: a second one goes straight. */
function openBehind(proxy, {spare = false, ...settings} = {}) {
  const first = {kind: 'key', proxy, ...settings.account};
  return openWorld({claude: spare ? [first, 'second'] : [first], timeouts: kTimeouts, workers: 1, metricsToken: kToken, ...settings});
}

/** The i-th of several requests, each of a session of its own: none sticks to where another was served. */
const askAgain = (world, i) => askFor(world, 'claude', {headers: {'x-claude-code-session-id': `session-${i}`}});

async function metricsOf(world) {
  const text = await (await fetch(`${world.relay.url}/metrics`, {headers: {authorization: `Bearer ${kToken}`}})).text();
  const {name} = kAccounts.claude.key;
  return {
    state: new RegExp(`^relay_account_state\\{account="claude/${name}",state="([a-z]+)"\\} 1$`, 'm').exec(text)?.[1],
    attempts: (reason) => Number(new RegExp(`^relay_upstream_attempts_total\\{account="claude/${name}",reason="${reason}"\\} (\\d+)$`, 'm').exec(text)?.[1]),
  };
}

/** That the log names the cause, soon (it is written beside the loop), and no password. */
async function assertLogged(world, cause) {
  await until(() => cause.test(world.relay.log()), () => `${cause}\n${world.relay.log()}`, 5000);
  const log = world.relay.log();
  assert.match(log, cause);
  for (const password of Object.values(kPasswords)) {
    for (const text of [password, encodeURIComponent(password)]) assert.equal(log.includes(text), false, 'the log has a password');
  }
}

const isServed = (answer) => answer.status === 200 && answer.whole && kDialects.claude.isWhole(answer.body);

describe('accounts behind an outbound proxy', {skip: kStraightOnly}, () => {
  for (const kind of ['http', 'socks5']) {
    const login = {user: kUser, password: kPasswords[kind]};

    it(`${kind}: streams go through it with TLS in it, the proxy resolves the name, and one tunnel serves many`, async () => {
      const proxy = await startProxy(kind, login);
      const world = await openBehind(proxy.url(), {tls: true, named: true});
      try {
        for (let i = 0; i < 5; ++i) assert.equal(isServed(await askAgain(world, i)), true);
        const records = await world.upstream.records();
        assert.equal(records.length, 5);
        assert.deepEqual([...new Set(records.map(({credential}) => credential.value))], [kAccounts.claude.key.value]);
        assert.deepEqual(proxy.connects(), [`localhost:${world.upstream.port}`]);
        assert.deepEqual((await world.upstream.stats()).leaks, []);
      } finally {
        await world.close();
        await proxy.stop();
      }
    });

    it(`${kind}: wrong credentials need a person; the next account takes over, and the proxy is left alone`, async () => {
      const proxy = await startProxy(kind, login);
      const world = await openBehind(proxy.url(`${kUser}:wr0ng`), {spare: true});
      try {
        for (let i = 0; i < 3; ++i) assert.equal(isServed(await askAgain(world, i)), true);
        const {state, attempts} = await metricsOf(world);
        assert.deepEqual([state, attempts('proxy')], ['refused', 1]);
        await assertLogged(world, /the proxy \w+:\/\/127\.0\.0\.1:\d+ does not accept user and password/);
        assert.equal(world.relay.log().includes('wr0ng'), false);
      } finally {
        await world.close();
        await proxy.stop();
      }
    });

    it(`${kind}: a missing user alone is 503, not to be tried again`, async () => {
      const proxy = await startProxy(kind, login);
      const world = await openBehind(proxy.url(''));
      try {
        const answer = await askFor(world, 'claude');
        assert.deepEqual([answer.status, answer.headers['x-should-retry']], [503, 'false']);
        assert.equal(answer.body.toString().includes(`${proxy.port}`), false, 'the client is told of the proxy');
        await assertLogged(world, /wants a user and a password/);
      } finally {
        await world.close();
        await proxy.stop();
      }
    });

    it(`${kind}: a dead proxy breaks its account after ${kBrokenInARow}, and no request fails`, async () => {
      const port = await freePort();
      const world = await openBehind(`${kind}://u:pass@127.0.0.1:${port}`, {spare: true});
      try {
        for (let i = 0; i < kBrokenInARow + 2; ++i) assert.equal(isServed(await askAgain(world, i)), true);
        const {state, attempts} = await metricsOf(world);
        assert.deepEqual([state, attempts('proxy')], ['broken', kBrokenInARow]);
        await assertLogged(world, /the proxy \w+:\/\/127\.0\.0\.1:\d+ fails: cannot connect to 127\.0\.0\.1:\d+ \(127\.0\.0\.1\): connection refused/);
      } finally {
        await world.close();
      }
    });

    it(`${kind}: a proxy that stops in mid-word costs the connect timeout, and serves again when it goes on`, async () => {
      const proxy = await startProxy(kind, login);
      const world = await openBehind(proxy.url(), {named: true});
      try {
        proxy.child.kill('SIGSTOP');
        const began = Date.now();
        const answer = await askFor(world, 'claude');
        const took = Date.now() - began;
        assert.equal(answer.status, 502);
        assert.match(answer.body.toString(), /the upstream of cluster 'claude' cannot be reached/);
        assert.equal(took >= 450 && took < 3000, true, `it took ${took} ms`);
        await assertLogged(world, /fails: it does not answer in time/);
        assert.equal((await metricsOf(world)).attempts('proxy'), 1);
        proxy.child.kill('SIGCONT');
        assert.equal(isServed(await askFor(world, 'claude')), true);
        assert.equal((await metricsOf(world)).state, 'ready');
        // To plain ports by a tunnel too.
        assert.equal(proxy.connects().at(-1), `localhost:${world.upstream.port}`);
      } finally {
        await world.close();
        await proxy.stop();
      }
    });

    it(`${kind}: an upstream that the proxy cannot reach is the upstream's trouble`, async () => {
      const proxy = await startProxy(kind, login);
      const world = await openBehind(proxy.url(), {account: {endpoint: `https://127.0.0.1:${await freePort()}`}});
      try {
        assert.equal((await askFor(world, 'claude')).status, 502);
        const {attempts} = await metricsOf(world);
        assert.deepEqual([attempts('connect'), attempts('proxy')], [1, 0]);
        await assertLogged(world, /the proxy \w+:\/\/127\.0\.0\.1:\d+ could not reach the upstream \((connection refused|50\d)\)/);
      } finally {
        await world.close();
        await proxy.stop();
      }
    });
  }

  it('http: a proxy whose rules do not let the upstream through says so', async () => {
    const proxy = await startProxy('http', {only: 9});
    const world = await openBehind(proxy.url());
    try {
      assert.equal((await askFor(world, 'claude')).status, 502);
      assert.equal((await metricsOf(world)).attempts('proxy'), 1);
      await assertLogged(world, /refuses to connect to the upstream \(403\)/);
    } finally {
      await world.close();
      await proxy.stop();
    }
  });
});
