// SPDX-License-Identifier: MIT
//
// @anthropic-ai/sdk, both majors, straight and through the relay, over plain HTTP and over TLS upstream.

import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import Anthropic1 from '@anthropic-ai/sdk';
import Anthropic0 from '@anthropic-ai/sdk-0';

import {assertFaithful, assertSame, byBothWays, byOneWay, kStraightOnly, openWorld} from './lib/ways.mjs';

const kTurn = {model: 'claude-opus-5-5', max_tokens: 64, messages: [{role: 'user', content: 'Grüß Gott, 你好 🎉'}]};
const kGreeting = /^Hello from the mock upstream\. Grüße, 你好/;

const kWays = [['1.x', Anthropic1, false], ['0.x', Anthropic0, false], ['1.x, TLS upstream', Anthropic1, true]];
for (const [name, Anthropic, tls] of kWays) {
  describe(`@anthropic-ai/sdk ${name}`, () => {
    let world;
    before(async () => {
      world = await openWorld({tls});
    });
    after(() => world?.close());

    const client = (way, options = {}) =>
      new Anthropic({apiKey: way.credential('claude', 'key'), baseURL: way.base('claude'), ...options});
    /** Does `work(client, way)` by both ways and compares; answers the straight outcome. */
    const same = async (work, options) => {
      const both = await byBothWays(world, (way) => work(client(way), way));
      assertSame(world, both, options);
      return both.straight.outcome;
    };

    it('creates a message', async () => {
      const message = await same((api) => api.messages.create(kTurn));
      assert.match(message.content[0].text, kGreeting);
      assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [29, 8]);
    });

    it('streams a message, event by event', async () => {
      const {events, message} = await same(async (api) => {
        const stream = api.messages.stream(kTurn);
        const seen = [];
        for await (const event of stream) seen.push(event);
        return {events: seen, message: await stream.finalMessage()};
      });
      assert.equal(events.at(-1).type, 'message_stop');
      assert.match(message.content[0].text, kGreeting);
      assert.equal(message.usage.output_tokens, 8);
    });

    it('calls a tool and thinks', async () => {
      const tools = [{name: 'Bash', description: 'Runs a command', input_schema: {type: 'object', properties: {command: {type: 'string'}}}}];
      const message = await same((api) => api.messages.stream({...kTurn, tools,
        messages: [{role: 'user', content: 'mock:think mock:tool(echo "ü")'}]}).finalMessage());
      assert.deepEqual(message.content.map(({type}) => type), ['thinking', 'text', 'tool_use']);
      assert.equal(message.content[2].input.command, 'echo "ü"');
    });

    it('uses the beta messages', async () => {
      const message = await same((api) => api.beta.messages.create({...kTurn, betas: ['context-management-2025-06-27']}));
      assert.equal(message.stop_reason, 'end_turn');
    });

    it('counts tokens', async () => {
      const {max_tokens: _, ...counted} = kTurn;
      assert.equal((await same((api) => api.messages.countTokens(counted))).input_tokens > 0, true);
    });

    it('lists models and retrieves one', async () => {
      const {listed, one} = await same(async (api) => {
        const models = [];
        for await (const model of api.models.list()) models.push(model);
        return {listed: models, one: await api.models.retrieve('claude-opus-5-5')};
      });
      assert.equal(listed.length > 3, true);
      assert.equal(one.id, 'claude-opus-5-5');
    });

    it('sees the vendor\'s refusals as they are', async () => {
      const errors = await same(async (api) => {
        const failures = [];
        for (const change of [{model: 'claude-nonexistent'}, {messages: []}]) {
          await api.messages.create({...kTurn, ...change}).catch(({status, message}) => failures.push({status, message}));
        }
        return failures;
      });
      assert.deepEqual(errors.map(({status}) => status), [404, 400]);
    });

    it('gets unknown headers and fields through', async () => {
      await same((api) => api.messages.create({...kTurn, something_new: {deep: [1, 2.50, 'x']}},
        {headers: {'x-something-new': 'a, b', 'X-Mixed-Case': 'yes'}}));
    });

    it('has 40 streams at once', async () => {
      const texts = await same((api) => Promise.all(Array.from({length: 40}, (_, i) =>
        api.messages.stream({...kTurn, messages: [{role: 'user', content: `mock:say(number ${i})`}]}).finalText())));
      assert.deepEqual(texts, Array.from({length: 40}, (_, i) => `number ${i}`));
    });

    it('gets a long generated stream byte for byte', async () => {
      const text = await same((api) => api.messages.stream(kTurn,
        {headers: {'x-mock-stream': 'seed=11,events=400,bytes=300'}}).finalText());
      assert.equal(Buffer.byteLength(text) >= 400 * 300, true);
    });

    it('leaves in mid-stream, and the upstream knows within 100 ms', async () => {
      const work = async (api, way) => {
        const stream = api.messages.stream(kTurn, {headers: {'x-mock-fault': 'stall-mid-stream', 'x-mock-tag': 'left'}});
        stream.done().catch(() => {});  // it ends by our abort
        await new Promise((resolve) => stream.once('text', resolve));
        const left = performance.timeOrigin + performance.now();
        stream.abort();
        const [record] = await way.upstream.requests({tag: 'left', count: 1});
        return {cancelled: record.cancelled, inTime: record.endedAt - left < 100};
      };
      const expected = {cancelled: true, inTime: true};
      assert.deepEqual((await byOneWay(world, false, (way) => work(client(way), way))).outcome, expected);
      if (!kStraightOnly) {
        assert.deepEqual((await byOneWay(world, true, (way) => work(client(way), way))).outcome, expected);
      }
    });

    it('learns at once that its key is wrong', {skip: kStraightOnly}, async () => {
      const refused = await byOneWay(world, true, (way) => client(way, {apiKey: 'cr_wrong-key-wrong-key'}).messages.create(kTurn)
        .catch(({status, error, headers}) => ({status, error, retry: headers.get('x-should-retry')})));
      assert.equal(refused.outcome.status, 401);
      assert.equal(refused.outcome.error.type, 'error');
      assert.equal(refused.outcome.error.error.type, 'authentication_error');
      assert.equal(refused.outcome.retry, 'false');
      assert.deepEqual([refused.requests.length, refused.exchanges.length], [0, 1]);
    });

    it('finds the alias without a version', {skip: kStraightOnly}, async () => {
      const relayed = await byOneWay(world, true, async (way) => {
        const answers = [];
        for (const prefix of ['/api/messages', '/claude/messages', '/claude/v1/messages', '/api//v1/messages']) {
          const response = await fetch(new URL(prefix, way.base('claude')), {method: 'POST', body: JSON.stringify(kTurn), headers: {
            'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': way.credential('claude', 'key')}});
          answers.push([response.status, (await response.json()).type]);
        }
        return answers;
      });
      assert.deepEqual(relayed.outcome, Array(4).fill([200, 'message']));
      assert.deepEqual(relayed.requests.map(({path}) => path), Array(4).fill('/v1/messages'));
    });

    it('is never asked for what the relay was not', {skip: kStraightOnly}, async () => {
      const relayed = await byOneWay(world, true, (way) => client(way, {maxRetries: 0, defaultHeaders: {
        cookie: 'session=1', 'x-forwarded-for': '10.0.0.1', 'proxy-authorization': 'Basic YTpi', via: '1.1 front'}}).messages.create(kTurn));
      assert.match(relayed.outcome.content[0].text, kGreeting);
      assertFaithful(world, relayed, {editHeaders: (headers) => headers.filter(([header]) =>
        !['cookie', 'x-forwarded-for', 'proxy-authorization', 'via'].includes(header))});
    });
  });
}
