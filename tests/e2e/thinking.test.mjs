// SPDX-License-Identifier: MIT
//
// A session with thinking and a cached prefix moves to another account, which will not read what the first one
// signed: it works on, and says what was taken out. One that did not move is told of its own mistake.

import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import {kAccounts, kRelayKey} from './lib/relay.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

const kToken = 'metrics-token-of-the-tests';
const kCached = {type: 'ephemeral'};
const kBash = {name: 'Bash', description: 'Runs a command', cache_control: kCached,
  input_schema: {type: 'object', properties: {command: {type: 'string'}}}};
const kTurn = {model: 'claude-opus-5-5', max_tokens: 4096, tools: [kBash],
  system: [{type: 'text', text: 'Be brief.', cache_control: kCached}]};
const {key: kFirst, second: kSecond} = kAccounts.claude;

describe('a session with thinking whose account is at its limit', {skip: kStraightOnly}, () => {
  let world;
  before(async () => {
    world = await openWorld({claude: ['key', 'second'], metricsToken: kToken});
  });
  after(() => world?.close());

  let sessions = 0;
  /** A new session: `say(content, more)` adds a turn, with the whole history, and answers {message, response}. */
  function openSession({thinking = {type: 'adaptive'}} = {}) {
    sessions += 1;
    const api = new Anthropic({apiKey: kRelayKey, baseURL: `${world.relay.url}/api`, maxRetries: 0, defaultHeaders: {
      'x-claude-code-session-id': `7f3a2b1c-0000-4000-8000-00000000000${sessions}`, 'x-mock-thinking': 'by-account'}});
    const messages = [];
    const say = async (content, stream = true) => {
      messages.push({role: 'user', content});
      const body = {...kTurn, thinking, messages: structuredClone(messages)};
      const {data, response} = await api.messages.create({...body, stream}).withResponse();
      let message = data;
      if (stream) {
        const kinds = [];
        for await (const event of data) {
          if (event.type === 'content_block_start') kinds.push(event.content_block);
          const block = kinds[event.index];
          if (event.delta?.type === 'thinking_delta') block.thinking += event.delta.thinking;
          if (event.delta?.type === 'signature_delta') block.signature += event.delta.signature;
          if (event.delta?.type === 'text_delta') block.text += event.delta.text;
          if (event.delta?.type === 'input_json_delta') block.partial = (block.partial ?? '') + event.delta.partial_json;
        }
        for (const block of kinds) {
          if (block.partial !== undefined) block.input = JSON.parse(block.partial);
          delete block.partial;
        }
        message = {content: kinds};
      }
      messages.push({role: 'assistant', content: message.content});
      return {message, response};
    };
    return {say, messages};
  }
  const limitFirst = () => world.mock.script([{match: {credential: kFirst.value}, faults: ['status-429;retry-after=1;plain'], repeat: true}]);
  const served = async () => (await world.mock.records({path: '/v1/messages'})).map(({credential, status}) => [credential.value, status]);
  async function freshMock() {
    await world.mock.reset();
    await world.relay.command('accounts', 'reset', `claude/${kFirst.name}`);
  }

  for (const stream of [true, false]) {
    it(`works on, ${stream ? 'streamed' : 'at once'}, turn after turn`, async () => {
      await freshMock();
      const {say, messages} = openSession();
      const first = await say('mock:think please', stream);
      assert.deepEqual(first.message.content.map(({type}) => type), ['thinking', 'text']);
      assert.equal(first.response.headers.get('x-relay-thinking'), null);
      await limitFirst();
      const second = await say('mock:think again', stream);
      assert.equal(second.response.headers.get('x-relay-thinking'), 'taken-out');
      assert.deepEqual(second.message.content.map(({type}) => type), ['thinking', 'text']);
      // Thinking of both accounts is in the history now.
      const third = await say('and now?', stream);
      assert.equal(third.response.headers.get('x-relay-thinking'), 'taken-out');
      assert.equal(third.message.content[0].type, 'text');
      assert.equal(messages.length, 6);
      assert.deepEqual(await served(), [[kFirst.value, 200], [kFirst.value, 429], [kSecond.value, 400], [kSecond.value, 200],
        [kSecond.value, 400], [kSecond.value, 200]]);
    });
  }

  it('works on in the midst of tool calls, where thinking with a budget must be switched off', async () => {
    await freshMock();
    const {say} = openSession({thinking: {type: 'enabled', budget_tokens: 1024}});
    const first = await say('mock:think mock:tool(echo hi)');
    assert.deepEqual(first.message.content.map(({type}) => type), ['thinking', 'text', 'tool_use']);
    await limitFirst();
    const {message, response} = await say([{type: 'tool_result', tool_use_id: first.message.content[2].id, content: 'hi'}]);
    assert.equal(response.headers.get('x-relay-thinking'), 'taken-out');
    assert.match(message.content.at(-1).text, /The tool said: hi/);
  });

  it('is told of its own mistake where it did not move', async () => {
    await freshMock();
    const {say, messages} = openSession();
    await say('mock:think please');
    messages[1].content[0].signature = 'c29tZWJvZHkgZWxzZQ==';
    await assert.rejects(say('and now?'), ({status, message}) =>
      status === 400 && /messages\.1\.content\.0: Invalid `signature` in `thinking` block/.test(message));
    assert.deepEqual(await served(), [[kFirst.value, 200], [kFirst.value, 400]]);
  });

  it('shows in log and metrics', async () => {
    assert.match(world.relay.log(), /sent again without the thinking of another account/);
    const text = await (await fetch(`${world.relay.url}/metrics`, {headers: {authorization: `Bearer ${kToken}`}})).text();
    const [, count] = /relay_upstream_attempts_total\{account="claude\/spare-api",reason="thinking"\} (\d+)/.exec(text);
    assert.equal(Number(count), 5);
  });
});
