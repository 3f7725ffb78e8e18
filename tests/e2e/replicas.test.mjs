// SPDX-License-Identifier: MIT
//
// Several relays on one Redis hold limits together: as one would, while they live, when one is killed, and while Redis
// is away. Counted by the mock behind them, and in commands.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, afterEach, before, describe, it} from 'node:test';

import {json, kClaudeHeaders, kTurn} from './lib/asking.mjs';
import {startMock} from './lib/mock.mjs';
import {kRedisPassword, startRedis, startWire} from './lib/redis.mjs';
import {startRelay} from './lib/relay.mjs';
import {sleep, until} from './lib/waiting.mjs';
import {kStraightOnly} from './lib/ways.mjs';
import {ask1, Http1, request1} from './lib/wire.mjs';

const kLong = Boolean(process.env.RELAY_LONG);
const kRounds = kLong ? 20 : 3;
const kAtOnce = 200;
const kLimit = 50;
const kMessages = '/api/v1/messages';
const kEncryptionKey = 'e2e-encryption-key-0123456789abcdef';

/** A million tokens cost a dollar in and five out. */
const kOutput = 200;
const kPrice = kOutput * 5e-6;

const keyOf = (name) => `cr_of_${name.replaceAll('-', '_')}_0123456789`;
const keyNamed = (name, limits) => ({name, key: keyOf(name), limits});
const headersOf = (name, more = {}) => ({...kClaudeHeaders, 'x-api-key': keyOf(name), ...more});
const countBy = (answers, what) => answers.reduce((counts, answer) => ({...counts, [what(answer)]: (counts[what(answer)] ?? 0) + 1}), {});

/** Mock, Redis, and two relays on it, each by a wire of its own. `block`: more of the block of Redis. */
async function openWorld({keys, block = '', rateLimit}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-replicas-'));
  const mock = await startMock({folder});
  const redis = await startRedis({folder});
  const world = {folder, mock, redis, relays: [], wires: []};
  world.start = async (i) => {
    const home = path.join(folder, `relay-${i}`);
    fs.mkdirSync(home, {recursive: true});
    world.wires[i] ??= await startWire(redis.port);
    world.relays[i] = await startRelay({folder: home, upstream: mock.url, claude: ['key'], gemini: ['key'], workers: 2, keys, rateLimit,
      more: `store: {redis: {address: "127.0.0.1:${world.wires[i].port}", password: "${kRedisPassword}", replicas: 2${block}}}\n` +
        `secrets: {encryption-key: ${kEncryptionKey}}`});
  };
  world.ask = (i, name, {more = {}, body = kTurn} = {}) =>
    ask1(world.relays[i % 2].port, 'POST', kMessages, {headers: headersOf(name, more), body: JSON.stringify(body)});
  world.close = async () => {
    for (const relay of world.relays) await relay.stop();
    for (const wire of world.wires) wire.stop();
    await redis.stop();
    await mock.stop();
    fs.rmSync(folder, {recursive: true, force: true});
  };
  for (const i of [0, 1]) await world.start(i);
  return world;
}

/** Requests that the mock holds back until their clients leave. */
async function hold(world, name, count, where = (i) => i % 2) {
  const connections = await Promise.all(Array.from({length: count}, (_, i) => Http1.connect(world.relays[where(i)].port)));
  const answers = [];
  const settled = connections.map(async (connection) => {
    connection.send(request1('POST', kMessages, headersOf(name, {'x-mock-fault': 'stall-before-head'}), JSON.stringify(kTurn)));
    const answer = await connection.response('POST').catch(() => null);
    if (answer !== null) answers.push(answer);
  });
  return {
    answers,
    async release() {
      for (const connection of connections) connection.destroy();
      await Promise.all(settled);
    },
  };
}

describe('two relays on one Redis', {skip: kStraightOnly}, () => {
  let world;
  before(async () => {
    world = await openWorld({keys: [
      ...Array.from({length: kRounds}, (_, i) => keyNamed(`minute-${i}`, `requests-per-minute: ${kLimit}`)),
      keyNamed('at-once', `concurrency: ${kLimit}`), keyNamed('counted', 'requests-per-minute: 100000, concurrency: 1000'),
      keyNamed('killed', 'concurrency: 4'), keyNamed('budget', `cost-per-day: ${(6 * kPrice).toFixed(4)}`),
      keyNamed('away', 'concurrency: 2'),
    ]});
  });
  after(() => world?.close());
  afterEach(() => world.mock.reset());

  it(`pass exactly ${kLimit} of ${kAtOnce} requests at once against ${kLimit} a minute, ${kRounds} rounds`, async () => {
    for (let round = 0; round < kRounds; ++round) {
      const answers = await Promise.all(Array.from({length: kAtOnce}, (_, i) => world.ask(i, `minute-${round}`)));
      assert.deepEqual(countBy(answers, ({status}) => status), {200: kLimit, 429: kAtOnce - kLimit}, `round ${round}`);
      const refused = answers.find(({status}) => status === 429);
      assert.match(json(refused).error.message, new RegExp(`key 'minute-${round}' is at its limit of ${kLimit} requests a minute`));
      const wait = Number(refused.headers['retry-after']);
      assert.equal(wait > 50 && wait <= 61, true, `retry-after: ${wait}`);
    }
    assert.equal((await world.mock.records({count: kRounds * kLimit})).length, kRounds * kLimit);
  });

  it(`have exactly ${kLimit} of ${kAtOnce} requests in flight, ${kRounds} rounds, and give their places back`, async () => {
    for (let round = 0; round < kRounds; ++round) {
      const held = await hold(world, 'at-once', kAtOnce);
      await until(() => held.answers.length >= kAtOnce - kLimit, `refusals of round ${round}`);
      await world.mock.records({count: kLimit});
      assert.deepEqual(countBy(held.answers, ({status}) => status), {429: kAtOnce - kLimit}, `round ${round}`);
      assert.match(json(held.answers[0]).error.message, /50 requests at once/);
      await held.release();
      await until(async () => (await world.redis.ask('KEYS', 'relay:lease:*')).length === 0, 'no lease is left', 3_000);
      await world.mock.reset();
    }
  });

  it('cost at most two commands a request, and none while idle', async () => {
    const watch = await world.redis.monitor();
    const kRequests = 60;
    for (let i = 0; i < kRequests; ++i) {
      assert.equal((await world.ask(i, 'counted')).status, 200);
      await sleep(10);
    }
    // The last ones are settled, and the ledger is told.
    await until(async () => (await world.redis.ask('KEYS', 'relay:lease:*')).length === 0, 'no lease is left', 3_000);
    await sleep(1_500);
    const limits = watch.seen.length;
    assert.equal(limits >= kRequests && limits <= 2 * kRequests, true, `${limits} commands for ${kRequests} requests`);
    watch.seen.length = 0;
    await sleep(kLong ? 60_000 : 6_000);
    // What keeps a subscription alive is no matter of requests.
    assert.deepEqual(watch.seen.filter((line) => !line.startsWith('"PING"')), []);
    watch.stop();
  });

  it('cost at most two commands a request also where requests are rare', async (t) => {
    const [requests, pause] = kLong ? [10, 3_000] : [4, 1_200];
    const settled = async () => {
      await until(async () => (await world.redis.ask('KEYS', 'relay:lease:*')).length === 0, 'no lease is left', 3_000);
      await sleep(1_500);
    };
    // What is said for the first time costs one more.
    for (const i of [0, 1]) assert.equal((await world.ask(i, 'counted')).status, 200);
    await settled();
    const watch = await world.redis.monitor();
    for (let i = 0; i < requests; ++i) {
      assert.equal((await world.ask(i, 'counted')).status, 200);
      await sleep(pause);
    }
    await settled();
    // Without those of this test, and what keeps a subscription alive.
    const seen = watch.seen.filter((line) => !/^"(AUTH|KEYS|PING)"/.test(line));
    watch.stop();
    t.diagnostic(`${seen.length} commands for ${requests} requests, one each ${pause} ms`);
    assert.equal(seen.length >= requests && seen.length <= 2 * requests, true, `${seen.length} for ${requests}: ${seen.join('\n')}`);
  });

  it('overrun the budget of a day by no more than one request where reserves are enough', async () => {
    const usage = {'x-mock-usage': `input=1,output=${kOutput},cache-read=0,cache-write=0`};
    const body = {...kTurn, model: 'claude-haiku-4-5', max_tokens: kOutput};
    let served = 0;
    for (let burst = 0; ; ++burst) {
      assert.equal(burst < 40, true, 'it is spent in the end');
      const answers = await Promise.all(Array.from({length: 40}, (_, i) => world.ask(i, 'budget', {more: usage, body})));
      const told = countBy(answers, (answer) => answer.status === 200 ? 'served' : json(answer).error.type);
      served += told.served ?? 0;
      assert.equal((told.served ?? 0) + (told.rate_limit_error ?? 0) + (told.billing_error ?? 0), 40, JSON.stringify(told));
      if (told.billing_error === 40) break;
    }
    // A request costs a token more than what comes out of it.
    assert.equal(served, 6, `${served} of what costs ${kPrice} for ${6 * kPrice}`);
  });

  it('go by their own limits while Redis is stalled, tell it, and share again', async () => {
    for (const wire of world.wires) wire.mode = 'stall';
    const held = await hold(world, 'away', 8);
    await until(() => held.answers.length === 4, 'four refusals');
    assert.equal((await world.mock.records({count: 4})).length, 4);
    for (const relay of world.relays) {
      const metrics = (await ask1(relay.port, 'GET', '/metrics')).body.toString();
      assert.match(metrics, /^relay_limits_shared 0$/m);
      assert.match(metrics, /^relay_limits_alone_total [1-9]/m);
      assert.equal(json(await ask1(relay.port, 'GET', '/health')).status, 'degraded');
      assert.equal(relay.log().match(/limits are not shared/g)?.length, 1);
    }
    for (const wire of world.wires) wire.mode = 'pass';
    // Both tell what they have in flight: together too many for anybody else.
    await until(async () => (await world.redis.ask('KEYS', 'relay:lease:*')).length === 2, 'two leases');
    await held.release();
    await until(async () => (await world.redis.ask('KEYS', 'relay:lease:*')).length === 0, 'no lease is left');
    const again = await hold(world, 'away', 8);
    await until(() => again.answers.length === 6, 'six refusals');
    assert.equal((await world.mock.records({count: 6})).length, 6);
    await again.release();
  });

  it('free what one of them held within 15 s of its being killed', async () => {
    const held = await hold(world, 'killed', 4, () => 0);
    await world.mock.records({count: 4});
    assert.equal((await world.ask(1, 'killed')).status, 429);
    world.relays[0].child.kill('SIGKILL');
    const killed = Date.now();
    await until(async () => (await world.ask(1, 'killed')).status === 200, 'a place', 16_000);
    assert.equal(Date.now() - killed < 15_500, true);
    await held.release();
    await world.start(0);
  });
});

describe('on-outage: fail-closed', {skip: kStraightOnly}, () => {
  it('refuses what has a limit with 503 in the dialect of the client, and serves it again', async () => {
    const world = await openWorld({keys: [keyNamed('k', 'concurrency: 2')], block: ', on-outage: fail-closed'});
    try {
      await until(async () => (await world.ask(0, 'k')).status === 200, 'an answer');
      world.wires[0].mode = 'stall';
      const refused = await world.ask(0, 'k');
      assert.deepEqual([refused.status, json(refused).error.type, refused.headers['retry-after']], [503, 'overloaded_error', '1']);
      world.wires[0].mode = 'pass';
      await until(async () => (await world.ask(0, 'k')).status === 200, 'an answer again');
    } finally {
      await world.close();
    }
  });
});
