// SPDX-License-Identifier: MIT
//
// What is changed on one of two relays on one Redis is in force on the other within a second: keys, pauses, accounts;
// also what changed while that one could not hear it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {json, kClaudeHeaders, kTurn} from './lib/asking.mjs';
import {startMock} from './lib/mock.mjs';
import {kRedisPassword, startRedis, startWire} from './lib/redis.mjs';
import {startRelay} from './lib/relay.mjs';
import {sleep, until as waitUntil} from './lib/waiting.mjs';
import {kStraightOnly} from './lib/ways.mjs';
import {ask1} from './lib/wire.mjs';

const kRounds = process.env.RELAY_LONG ? 50 : 10;
const kAtOnce = 200;
const kKnownMs = 1000;
const kDeclared = 'cr_declared_by_the_file_0123';


const until = (test, what, ms = kKnownMs) => waitUntil(test, what, ms, 5);

describe('the directory of two relays on one Redis', {skip: kStraightOnly}, () => {
  const relays = [];
  const wires = [];
  let folder;
  let mock;
  let redis;
  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-directory-'));
    mock = await startMock({folder});
    redis = await startRedis({folder});
    for (const i of [0, 1]) {
      const home = path.join(folder, `relay-${i}`);
      fs.mkdirSync(home);
      wires[i] = await startWire(redis.port);
      relays[i] = await startRelay({folder: home, upstream: mock.url, claude: ['key'], gemini: ['key'], workers: 2,
        keys: [{name: 'declared', key: kDeclared}],
        more: `store: {redis: {address: "127.0.0.1:${wires[i].port}", password: "${kRedisPassword}", replicas: 2}}\n` +
          'secrets: {encryption-key: e2e-encryption-key-0123456789abcdef}'});
    }
    await until(async () => (await redis.ask('PUBSUB', 'NUMSUB', 'relay:changed'))[1] === 2, 'both listen', 10_000);
  });
  after(async () => {
    for (const relay of relays) await relay.stop();
    for (const wire of wires) wire.stop();
    await redis?.stop();
    await mock?.stop();
    fs.rmSync(folder, {recursive: true, force: true});
  });

  async function command(i, ...args) {
    const told = await relays[i].command(...args);
    assert.equal(told.code, 0, told.stderr);
    return told.stdout.trim();
  }
  const ask = (i, key) => ask1(relays[i].port, 'POST', '/api/v1/messages',
    {headers: {...kClaudeHeaders, 'x-api-key': key}, body: JSON.stringify(kTurn)});
  const statusOf = async (i, key) => (await ask(i, key)).status;

  it(`a key that is disabled on one is refused by both, ${kRounds} of ${kRounds} times during ${kAtOnce} requests`, async () => {
    for (let round = 0; round < kRounds; ++round) {
      const [here, there] = [round % 2, 1 - round % 2];
      const requests = Array.from({length: kAtOnce}, (_, i) => statusOf(i % 2, kDeclared));
      await command(here, 'keys', 'disable', 'declared');
      assert.equal(await statusOf(here, kDeclared), 403);
      await until(async () => await statusOf(there, kDeclared) === 403, `round ${round}: refused by the other`);
      for (const status of await Promise.all(requests)) assert.equal(status === 200 || status === 403, true, `${status}`);
      for (const i of [0, 1]) assert.equal(await statusOf(i, kDeclared), 403, 'it stays so');
      await command(there, 'keys', 'enable', 'declared');
      await until(async () => await statusOf(here, kDeclared) === 200, `round ${round}: served again`);
    }
  });

  it('a key that is made, rotated and deleted on one is so on the other', async () => {
    const key = await command(0, 'keys', 'make', 'bob');
    await until(async () => await statusOf(1, key) === 200, 'it serves');
    const second = await command(1, 'keys', 'rotate', 'bob');
    await until(async () => await statusOf(0, key) === 401, 'the old one is over');
    assert.equal(await statusOf(0, second), 200);
    await command(0, 'keys', 'delete', 'bob');
    await until(async () => await statusOf(1, second) === 401, 'it is gone');
  });

  it('an account that is paused on one has no requests of the other', async () => {
    await command(0, 'accounts', 'pause', 'claude/team-api');
    await until(async () => await statusOf(1, kDeclared) === 503, 'it is paused');
    await command(1, 'accounts', 'resume', 'claude/team-api');
    await until(async () => await statusOf(0, kDeclared) === 200, 'it serves');
  });

  it('what changed while one was cut off is known when it is back', async () => {
    wires[1].mode = 'stall';
    wires[1].cut();
    await command(0, 'keys', 'disable', 'declared');
    await sleep(300);
    assert.equal(await statusOf(1, kDeclared), 200, 'it cannot know');
    wires[1].mode = 'pass';
    await until(async () => await statusOf(1, kDeclared) === 403, 'it knows', 3 * kKnownMs);
    await command(0, 'keys', 'enable', 'declared');
    await until(async () => await statusOf(1, kDeclared) === 200, 'and hears again');
  });

  it('says what listening costs, and costs nothing else while idle', async () => {
    await sleep(1500);
    const watch = await redis.monitor();
    await sleep(1500);
    assert.deepEqual(watch.seen.filter((line) => !line.startsWith('"PING"')), []);
    watch.stop();
    const metrics = (await ask1(relays[0].port, 'GET', '/metrics')).body.toString();
    assert.match(metrics, /^relay_state_commands_month_idle 86400$/m);
    assert.equal(json(await ask1(relays[0].port, 'GET', '/health')).status, 'ok');
  });
});
