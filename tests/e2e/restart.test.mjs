// SPDX-License-Identifier: MIT
//
// What a relay has learnt outlives it: what a route has spent, the last minute of a key, which account rests, and
// which session sticks to which; whether it is stopped or killed.

import assert from 'node:assert/strict';
import {describe, it} from 'node:test';

import {askFor, json, kClaudeHeaders} from './lib/asking.mjs';
import {kAccounts, startRelay} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

const kMinuteKey = 'cr_of_minute_0123456789';
/** A flush is due every second: more than one. */
const kFlushMs = 1600;
const kEnds = {
  SIGTERM: async (relay) => assert.deepEqual(await relay.stop(), {code: 0, signal: null}),
  SIGKILL: async (relay) => {
    await sleep(kFlushMs);
    relay.child.kill('SIGKILL');
    await relay.child.ended;
  },
};
const credentialOf = (kind) => kAccounts.claude[kind].value;

async function askInSession(world, session) {
  const answer = await askFor(world, 'claude', {unstreamed: true, headers: {'x-claude-code-session-id': session}});
  assert.equal(answer.status, 200, answer.body.toString());
  return (await world.mock.records()).at(-1).credential.value;
}

const askAsMinute = (world) => askFor(world, 'claude', {unstreamed: true, headers: {...kClaudeHeaders, 'x-api-key': kMinuteKey}});

describe('what a relay has learnt', {skip: kStraightOnly}, () => {
  for (const [signal, end] of Object.entries(kEnds)) {
    it(`outlives ${signal}`, async () => {
      const settings = {
        claude: ['key', 'second', 'third'], rateLimit: 'cost-per-month: 1.0, budget: route',
        keys: [{name: 'minute', key: kMinuteKey, limits: 'requests-per-minute: 2'}]};
      const world = await openWorld(settings);
      try {
        // The first account is limited for long; the second fails just once, so that a session goes to the third.
        await world.mock.script([
          {match: {credential: credentialOf('key')}, faults: ['status-429;retry-after=600;delay=600s']},
          {match: {credential: credentialOf('second')}, faults: ['status-500']}]);
        assert.equal(await askInSession(world, 'stays'), credentialOf('third'));
        assert.equal(await askInSession(world, 'another'), credentialOf('second'));
        for (let i = 0; i < 2; ++i) assert.equal((await askAsMinute(world)).status, 200);
        const dear = await askFor(world, 'gemini', {unstreamed: true, headers: {'x-mock-usage': 'input=1,output=2000000,cache-read=0,cache-write=0'}});
        assert.equal(dear.status, 200);

        await end(world.relay);
        await world.mock.reset();
        world.relay = await startRelay({folder: world.folder, upstream: world.upstream.url, gemini: ['key'], ...settings});
        assert.equal(await askInSession(world, 'stays'), credentialOf('third'));
        assert.equal(await askInSession(world, 'a third'), credentialOf('second'), 'the first account rests');
        const over = await askAsMinute(world);
        assert.deepEqual([over.status, json(over).error.type], [429, 'rate_limit_error'], over.body.toString());
        assert.match(json(over).error.message, /2 requests a minute/);
        assert.equal(Number(over.headers['retry-after']) <= 61, true);
        const spent = await askFor(world, 'gemini', {unstreamed: true});
        assert.deepEqual([spent.status, json(spent).error.status], [429, 'RESOURCE_EXHAUSTED'], spent.body.toString());
        assert.match(json(spent).error.message, /route 'gemini' has spent its budget of \$1\.00 a month/);
        const asked = (await world.mock.records()).map(({credential}) => credential.value);
        assert.equal(asked.includes(credentialOf('key')), false, 'nobody asked the account that rests');
      } finally {
        await world.close();
      }
    });
  }
});
