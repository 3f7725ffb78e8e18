// SPDX-License-Identifier: MIT
//
// State in a real Redis: what it costs, what its distance costs a client (nothing), and that nothing is lost or
// counted twice when it, the relay, or the wire between them fails.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor, json, kDialects} from './lib/asking.mjs';
import {startMock} from './lib/mock.mjs';
import {kRedisPassword, startRedis, startWire} from './lib/redis.mjs';
import {run} from './lib/process.mjs';
import {kRelayBinary, kRelayKey, startRelay} from './lib/relay.mjs';
import {sleep, until} from './lib/waiting.mjs';
import {assertNothingSecretIn, kStraightOnly} from './lib/ways.mjs';
import {ask1} from './lib/wire.mjs';

const kLong = Boolean(process.env.RELAY_LONG);
const kEncryptionKey = 'e2e-encryption-key-0123456789abcdef';

/** Mock, Redis, the wire to it, and a relay on it. `block`: more of the block of Redis. */
async function openWorld(block = '', more = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-redis-'));
  const mock = await startMock({folder});
  const redis = await startRedis({folder});
  const wire = await startWire(redis.port);
  const world = {folder, mock, redis, wire, logs: ''};
  world.start = async () => {
    world.relay = await startRelay({folder, upstream: mock.url, claude: ['key'], gemini: ['key'], workers: 2,
      more: `store: {redis: {address: "127.0.0.1:${wire.port}", password: "${kRedisPassword}"${block}}}\nsecrets: {encryption-key: ${kEncryptionKey}}`, ...more});
  };
  world.health = async () => json(await ask1(world.relay.port, 'GET', '/health'));
  world.stop = async () => {
    await world.relay?.stop();
    assertNothingSecretIn(world.relay?.log() ?? '');
    for (const secret of [kRedisPassword, kEncryptionKey]) assert.equal(world.relay?.log().includes(secret), false, secret);
    wire.stop();
    await redis.stop();
    await mock.stop();
    fs.rmSync(folder, {recursive: true, force: true});
  };
  await world.start();
  return world;
}

/** Clients that ask one request after the other until stop(), which gives how many were answered; all of them with 200. */
function load(world, {clients = 8, pause = 5} = {}) {
  let over = false;
  let answered = 0;
  const work = Array.from({length: clients}, async (_, i) => {
    for (let n = 0; !over; ++n) {
      const answer = await askFor(world, (i + n) % 2 === 0 ? 'claude' : 'gemini', {unstreamed: n % 3 !== 0});
      assert.equal(answer.status, 200, answer.body.toString());
      ++answered;
      await sleep(pause);
    }
  });
  return {
    async stop() {
      over = true;
      await Promise.all(work);
      return answered;
    },
  };
}

describe('state in Redis', {skip: kStraightOnly}, () => {
  let world;
  let answered = 0;
  before(async () => {
    world = await openWorld(', budget: {commands-per-month: 500000}');
  });
  after(() => world?.stop());
  const allArrived = () => until(async () => await world.redis.requests() === answered, `${answered} requests in the ledger`);

  it('costs less than a tenth of a command an exchange at 100 a second, and none while idle', async () => {
    await until(async () => (await world.health()).services.redis === 'connected', 'a connection');
    const watch = await world.redis.monitor();
    const asks = [];
    for (let i = 0; i < 200; ++i) {
      asks.push(askFor(world, 'claude', {unstreamed: true}));
      await sleep(10);
    }
    for (const answer of await Promise.all(asks)) assert.equal(answer.status, 200);
    answered += asks.length;
    await sleep(1500);
    const busy = watch.seen.length;
    assert.equal(busy > 0 && busy < asks.length / 10, true, `${busy} commands: ${watch.seen.join('\n')}`);
    watch.seen.length = 0;
    await sleep(kLong ? 60_000 : 1_500);
    assert.deepEqual(watch.seen, []);
    watch.stop();
    await allArrived();
    assert.equal(json(await ask1(world.relay.port, 'GET', '/ready')).store_commands.budget, 500_000);
    const told = (await ask1(world.relay.port, 'GET', '/metrics')).body.toString().match(/^relay_state_commands_total (\d+)$/m);
    assert.equal(Number(told[1]) >= busy, true);
  });

  it('is so far away that a round trip takes 200 ms, and no exchange takes longer than with the embedded store', async (t) => {
    const kRequests = 300;
    const home = path.join(world.folder, 'embedded');
    fs.mkdirSync(home);
    const embedded = await startRelay({folder: home, upstream: world.mock.url, claude: ['key'], gemini: ['key'], workers: 2});
    try {
      world.wire.delay = 100;
      const times = {embedded: [], redis: []};
      // One after the other in turns, so that both see the same machine.
      for (let i = 0; i < kRequests; ++i) {
        for (const [store, relay] of [['embedded', embedded], ['redis', world.relay]]) {
          const begin = performance.now();
          assert.equal((await askFor({relay}, 'claude', {unstreamed: true})).status, 200);
          times[store].push(performance.now() - begin);
        }
      }
      answered += kRequests;
      const [near, far] = [times.embedded, times.redis].map((list) => list.toSorted((x, y) => x - y));
      const at = (list, share) => list[Math.floor(list.length * share)];
      const told = [['median', 0.5], ['p99', 0.99]].map(([name, share]) =>
        `${name} ${at(far, share).toFixed(2)} ms with Redis, ${at(near, share).toFixed(2)} ms with the embedded store`).join('; ');
      t.diagnostic(`added latency, ${kRequests} exchanges each: ${told}`);
      assert.equal(at(far, 0.5) - at(near, 0.5) < 20, true, told);
      // One exchange of a hundred that waited for a round trip would show.
      assert.equal(at(far, 0.99) - at(near, 0.99) < 100, true, told);
      assert.equal((await world.health()).services.redis, 'connected');
      await allArrived();
    } finally {
      world.wire.delay = 0;
      await embedded.stop();
    }
  });

  it(`R37: is stopped for ${kLong ? 30 : 2} s under load: no request fails, /health tells, all usage arrives once`, async () => {
    const clients = load(world);
    await sleep(500);
    await world.redis.kill();
    await until(async () => (await world.health()).services.redis === 'disconnected', 'disconnected', 5_000);
    const health = await ask1(world.relay.port, 'GET', '/health');
    assert.deepEqual([health.status, json(health).status], [200, 'degraded']);
    await sleep(kLong ? 30_000 : 2_000);
    await world.redis.start();
    await until(async () => (await world.health()).status === 'ok', 'ok', 5_000);
    assert.equal((await world.health()).services.redis, 'connected');
    answered += await clients.stop();
    await allArrived();
  });

  it('R37: the wire to it is cut, stalled, or trickles: no request fails, all usage arrives once', async () => {
    for (const mode of ['cut', 'stall', 'trickle']) {
      const clients = load(world);
      for (let i = 0; i < 2; ++i) {
        if (mode === 'cut') world.wire.cut();
        else world.wire.mode = mode;
        await sleep(mode === 'stall' ? 1500 : 400);
      }
      world.wire.mode = 'pass';
      answered += await clients.stop();
      await allArrived();
    }
  });

  it('is opened again, lazily, when the server has closed an idle connection', async () => {
    await world.redis.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200);
    ++answered;
    await allArrived();
    assert.equal((await world.health()).status, 'ok');
  });

  it('has the ledger after a restart on a machine that has forgotten everything', async () => {
    await world.relay.stop();
    fs.rmSync(path.join(world.folder, 'data'), {recursive: true});
    await world.start();
    const told = await world.relay.command('usage', '--by', 'key', '--json');
    assert.equal(JSON.parse(told.stdout).total.requests, answered);
    await allArrived();
  });

  it('is away when the relay starts: it serves all the same, says so, and brings what was used later', async () => {
    await world.relay.stop();
    await world.redis.kill();
    await world.start();
    assert.equal((await askFor(world, 'gemini', {unstreamed: true})).status, 200);
    ++answered;
    const health = await world.health();
    assert.deepEqual([health.status, health.services.redis], ['degraded', 'disconnected']);
    await world.redis.start();
    await allArrived();
    await until(async () => (await world.health()).status === 'ok', 'ok');
  });
});

describe('a relay and a Redis that are killed', {skip: kStraightOnly}, () => {
  const rounds = kLong ? 50 : 5;
  it(`R38: lose nothing and count nothing twice (${rounds} rounds)`, async () => {
    const world = await openWorld();
    try {
      const all = [];
      for (let round = 0; round < rounds; ++round) {
        const random = Math.random();
        let over = false;
        const clients = Array.from({length: 20}, async (_, client) => {
          for (let n = 0; !over && n < 6; ++n) {
            const one = {model: `claude-r${round}c${client}n${n}`, ended: false};
            all.push(one);
            const body = JSON.stringify({...kDialects.claude.unstreamed.body, model: one.model});
            const headers = {'x-mock-fault': `latency-${20 + (client * 7 + n * 13) % 90}`};
            const answer = await askFor(world, 'claude', {unstreamed: true, body, headers}).catch(() => null);
            one.ended = answer?.status === 200 && answer.whole;
          }
        });
        await sleep(50 + 300 * random);
        const victim = ['relay', 'redis', 'both'][round % 3];
        if (victim !== 'redis') world.relay.child.kill('SIGKILL');
        if (victim !== 'relay') await world.redis.kill();
        await sleep(200);
        over = true;
        await Promise.all(clients);
        if (victim !== 'relay') await world.redis.start();
        if (victim !== 'redis') {
          await world.relay.child.ended;
          assertNothingSecretIn(world.relay.log());
          await world.start();
        }
        await until(async () => (await world.health()).status === 'ok', `ok after round ${round}`);
      }
      await world.relay.stop();
      fs.rmSync(path.join(world.folder, 'data'), {recursive: true});
      await world.start();
      const told = JSON.parse((await world.relay.command('usage', '--by', 'model', '--json')).stdout);
      const rows = new Map(told.rows.map((row) => [row.name, row]));
      const known = new Set(all.map(({model}) => model));
      for (const {model, ended} of all) {
        const requests = rows.get(model)?.requests ?? 0;
        assert.equal(ended ? requests === 1 : requests <= 1, true, `${model}: ${requests}, ended: ${ended}`);
      }
      assert.deepEqual(told.rows.filter(({name}) => !known.has(name)), [], 'nobody asked for these');
      assert.equal(await world.redis.requests(), told.total.requests);
      assert.equal(all.some(({ended}) => ended) && all.some(({ended}) => !ended), true, 'the test shows nothing');
    } finally {
      await world.stop();
    }
  });
});

describe('relay state import', {skip: kStraightOnly}, () => {
  it('refuses a Redis on which a relay may run elsewhere', async () => {
    const world = await openWorld();
    try {
      assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200);
      await until(async () => await world.redis.requests() === 1, 'the request in the ledger');
      const [words, file] = ['words', 'relay.state'].map((name) => path.join(world.folder, name));
      fs.writeFileSync(words, 'correct horse battery staple');
      assert.equal((await world.relay.command('state', 'export', file, '--passphrase-file', words)).code, 0);
      // Another machine: the same file, and a data folder of its own.
      const elsewhere = fs.mkdtempSync(path.join(world.folder, 'elsewhere-'));
      const env = {PATH: process.env.PATH, HOME: elsewhere, TZ: 'UTC', RELAY_KEY: kRelayKey, RELAY_DATA: elsewhere};
      const imports = (...args) => run(kRelayBinary, ['state', 'import', file, '--passphrase-file', words, '--config',
        path.join(world.folder, 'relay.yaml'), ...args], {env, cwd: elsewhere, timeoutMs: 20_000});
      const refused = await imports('--replace');
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /a relay may be running on this store elsewhere \(run \S+\): stop it first/);
      await world.relay.stop();
      const taken = await imports('--replace');
      assert.equal(taken.code, 0, taken.stderr);
    } finally {
      await world.stop();
    }
  });
});

describe('relay state import over a relay that was killed', {skip: kStraightOnly}, () => {
  it('puts the file in the place of what its journal has, too', async () => {
    const world = await openWorld();
    try {
      assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200);
      world.relay.child.kill('SIGKILL');
      await world.relay.child.ended;
      const [words, file] = ['words', 'relay.state'].map((name) => path.join(world.folder, name));
      fs.writeFileSync(words, 'correct horse battery staple');
      // It brings what the journal has into the store, and so into the file.
      for (const [action, ...rest] of [['export'], ['import', '--replace', '--force']]) {
        const done = await world.relay.command('state', action, file, '--passphrase-file', words, ...rest);
        assert.equal(done.code, 0, done.stderr);
      }
      await world.start();
      const told = JSON.parse((await world.relay.command('usage', '--json')).stdout);
      assert.equal(told.total.requests, 1, 'counted once');
    } finally {
      await world.stop();
    }
  });
});

describe('on-outage: fail-closed', {skip: kStraightOnly}, () => {
  it('refuses new requests in their dialect while Redis is away, and serves again when it is back', async () => {
    const world = await openWorld(', on-outage: fail-closed');
    try {
      assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200);
      await world.redis.kill();
      for (const service of ['claude', 'gemini']) {
        const refused = await until(async () => {
          const answer = await askFor(world, service, {unstreamed: true});
          return answer.status !== 200 && answer;
        }, 'a refusal', 5_000);
        assert.equal(refused.status, 503);
        assert.equal(kDialects[service].isErrorBody(json(refused)), true, refused.body.toString());
        assert.match(refused.body.toString(), /cannot reach its store/);
      }
      assert.equal((await ask1(world.relay.port, 'GET', '/health')).status, 200);
      await world.redis.start();
      await until(async () => (await askFor(world, 'claude', {unstreamed: true})).status === 200, 'an answer', 8_000);
    } finally {
      await world.stop();
    }
  });
});
