// SPDX-License-Identifier: MIT
//
// Claude Code, headless, straight and through the relay: on an API-key account and on a subscription.

import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import {runClaude} from './lib/clients.mjs';
import {kAccounts} from './lib/relay.mjs';
import {assertSame, byBothWays, byOneWay, hideRunDetails, kStraightOnly, openWorld} from './lib/ways.mjs';

const kJson = ['--output-format', 'json'];
const kStream = ['--output-format', 'stream-json', '--verbose', '--include-partial-messages'];
const kBeta = 'oauth-2025-04-20';

/** What of a run must be the same by both ways; times, ids and costs of the run itself are not in it. */
function outcomeOf({code, signal, events, home}) {
  const {result, is_error: isError, api_error_status: apiError, usage, modelUsage, num_turns: turns, stop_reason: stop} = events.at(-1) ?? {};
  const partial = events.filter(({type}) => type === 'stream_event').map(({event}) => event);
  return {code, signal, result, isError, apiError, usage, modelUsage, turns, stop, partial, home};
}

const normalise = ({straight, relayed}) => (text) =>
  hideRunDetails(text, [straight.outcome.home, relayed?.outcome.home].filter(Boolean));

/** Straight the client has an API key; the relay adds the beta for a subscription. */
const kKinds = {
  key: {},
  oauth: {editHeaders: (headers) => headers.map(([name, value]) =>
    [name, name === 'anthropic-beta' ? [...value.split(',').map((beta) => beta.trim()), kBeta].join(',') : value])},
};

for (const [kind, expected] of Object.entries(kKinds)) {
  describe(`Claude Code, ${kind} account`, () => {
    let world;
    before(async () => {
      world = await openWorld({claude: [kind]});
    });
    after(() => world?.close());

    const runBoth = async (args, {env = {}, more = {}} = {}) => {
      const both = await byBothWays(world, async (way) => {
        const key = way.credential('claude', 'key');
        const credential = way.relayed ? {ANTHROPIC_AUTH_TOKEN: key} : {ANTHROPIC_API_KEY: key};
        return outcomeOf(await runClaude({base: way.base('claude'), args, env: {...credential, ...env}}));
      });
      assertSame(world, both, {normalise: normalise(both), ...expected, ...more});
      return {...both, outcome: both.straight.outcome};
    };

    it('answers a prompt', async () => {
      const {outcome, relayed} = await runBoth(['-p', 'hello', ...kJson]);
      assert.equal(outcome.code, 0);
      assert.match(outcome.result, /^Hello from the mock upstream\. Grüße, 你好/);
      assert.deepEqual([outcome.usage.input_tokens, outcome.usage.output_tokens], [29, 8]);
      if (relayed === null) return;
      assert.equal(relayed.requests[0].credential.value, kAccounts.claude[kind].value);
    });

    it('probes with HEAD and uses the same connection for its turn', {skip: kStraightOnly}, async () => {
      const {relayed} = await runBoth(['-p', 'hello', ...kJson]);
      const [probe, turn] = relayed.exchanges;
      assert.deepEqual([probe.request.method, probe.request.path], ['HEAD', '/api/api/hello']);
      assert.equal(turn.request.method, 'POST');
      assert.equal(turn.connection, probe.connection);
      assert.equal(probe.response.body.length, 0);
    });

    it('streams partial messages', async () => {
      const {outcome} = await runBoth(['-p', 'hello', ...kStream]);
      assert.equal(outcome.partial[0].type, 'message_start');
      assert.equal(outcome.partial.at(-1).type, 'message_stop');
    });

    it('runs a tool and goes on', async () => {
      const {outcome, straight} = await runBoth(['-p', 'mock:tool(echo relayed by the tool)', '--allowedTools', 'Bash', ...kJson]);
      assert.equal(outcome.result, 'The tool said: relayed by the tool');
      assert.equal(outcome.turns, 2);
      assert.equal(straight.requests.filter(({method}) => method === 'POST').length, 2);
    });

    it('takes both variables of a key, and says nothing else without its extras', async () => {
      const both = await byBothWays(world, async (way) => {
        const key = way.credential('claude', 'key');
        return outcomeOf(await runClaude({base: `${way.base('claude')}/`, args: ['-p', 'hello', ...kJson], env: {
          ANTHROPIC_API_KEY: key, ...(way.relayed && {ANTHROPIC_AUTH_TOKEN: key}),
          ANTHROPIC_CUSTOM_HEADERS: 'X-Team: blue', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'}}));
      });
      assertSame(world, both, {normalise: normalise(both), ...expected});
      assert.equal(both.straight.outcome.code, 0);
    });

    it('counts its context in many parallel requests', async () => {
      const {outcome, straight} = await runBoth(['-p', '/context', ...kJson]);
      assert.equal(outcome.code, 0);
      assert.equal(straight.requests.filter(({path}) => path.includes('count_tokens')).length > 10, true);
    });

    it('ends at once when its key is wrong', {skip: kStraightOnly}, async () => {
      const refused = await byOneWay(world, true, (way) => runClaude({base: way.base('claude'), args: ['-p', 'hello', ...kJson],
        env: {ANTHROPIC_AUTH_TOKEN: `cr_${'00'.repeat(32)}`}, timeoutMs: 30_000}));
      const {ms, code, events} = refused.outcome;
      assert.equal(ms < 10_000, true, `took ${ms} ms`);
      assert.equal(code, 1);
      assert.equal(events.at(-1).is_error, true);
      assert.match(events.at(-1).result, /401/);
      assert.equal(refused.requests.length, 0);
      const answer = refused.exchanges.find(({request}) => request.method === 'POST').response;
      assert.equal(answer.headers['x-should-retry'], 'false');
    });
  });
}

describe('Claude Code, when an account fails', {skip: kStraightOnly}, () => {
  let world;
  before(async () => {
    world = await openWorld({claude: ['key', 'second']});
  });
  after(() => world?.close());

  const runOnce = (script) => byOneWay(world, true, async (way) => {
    await way.upstream.script(script);
    return runClaude({base: way.base('claude'), args: ['-p', 'hello', ...kJson], env: {
      ANTHROPIC_AUTH_TOKEN: way.credential('claude', 'key'), CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'}});
  });
  const assertGood = ({outcome}) => {
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
    assert.match(outcome.events.at(-1).result, /^Hello from the mock upstream\. Grüße, 你好/);
  };

  // Straight, it would wait or give up: an hour's retry-after ends it.
  for (const fault of ['status-429;retry-after=3600', 'status-401', 'status-529', 'reset-before-head', 'error-event-first']) {
    it(`does not learn of ${fault}, since another account serves`, async () => {
      const done = await runOnce({match: {credential: kAccounts.claude.key.value}, faults: [fault], repeat: true});
      assertGood(done);
      const posts = done.exchanges.filter(({request}) => request.method === 'POST');
      assert.deepEqual(posts.map(({response}) => response.status), [200], 'it asked once');
      assert.equal(posts[0].response.headers['retry-after'], undefined);
    });
  }

  for (const fault of ['reset-mid-stream', 'truncated;after=4', 'cut-mid-event']) {
    it(`repeats what ${fault} has broken off, and is answered`, async () => {
      const done = await runOnce({faults: [fault]});
      assertGood(done);
      assert.equal(done.exchanges.filter(({request}) => request.method === 'POST').length, 2);
    });
  }
});
