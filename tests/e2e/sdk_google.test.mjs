// SPDX-License-Identifier: MIT
//
// @google/genai, straight and through the relay, over plain HTTP and over TLS upstream.

import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import {GoogleGenAI} from '@google/genai';

import {assertSame, byBothWays, byOneWay, kStraightOnly, openWorld} from './lib/ways.mjs';

const kModel = 'gemini-2.5-pro';
const kAsk = {model: kModel, contents: 'Grüß Gott, 你好 🎉'};
const kGreeting = /^Hello from the mock upstream\. Grüße, 你好/;

for (const [name, tls] of [['plain upstream', false], ['TLS upstream', true]]) {
  describe(`@google/genai, ${name}`, () => {
    let world;
    before(async () => {
      world = await openWorld({tls});
    });
    after(() => world?.close());

    const client = (way, apiKey = way.credential('gemini', 'key'), headers = {}) =>
      new GoogleGenAI({apiKey, httpOptions: {baseUrl: way.base('gemini'), headers}});
    const same = async (work, headers) => {
      const both = await byBothWays(world, (way) => work(client(way, undefined, headers).models));
      // Some answers hold the transport's headers, which a hop makes anew.
      for (const {outcome} of [both.straight, both.relayed ?? both.straight]) delete outcome.sdkHttpResponse?.headers;
      assertSame(world, both);
      return both.straight.outcome;
    };

    it('generates', async () => {
      const answer = await same(async (models) => {
        const {text, usageMetadata, responseId, modelVersion} = await models.generateContent(kAsk);
        return {text, usageMetadata, responseId, modelVersion};
      });
      assert.match(answer.text, kGreeting);
      assert.equal(answer.usageMetadata.promptTokenCount, 29);
    });

    it('streams', async () => {
      const chunks = await same(async (models) => {
        const seen = [];
        for await (const {text, usageMetadata, candidates} of await models.generateContentStream(kAsk)) {
          seen.push({text, usageMetadata, finish: candidates[0].finishReason});
        }
        return seen;
      });
      assert.match(chunks.map(({text}) => text).join(''), kGreeting);
      assert.equal(chunks.at(-1).finish, 'STOP');
      assert.equal(chunks.at(-1).usageMetadata.candidatesTokenCount, 8);
    });

    it('gets a long generated stream byte for byte', async () => {
      const text = await same(async (models) => {
        let all = '';
        for await (const chunk of await models.generateContentStream(kAsk)) all += chunk.text;
        return all;
      }, {'x-mock-stream': 'seed=5,events=300,bytes=300'});
      assert.equal(Buffer.byteLength(text) >= 300 * 300, true);
    });

    it('counts tokens', async () => {
      assert.equal((await same((models) => models.countTokens(kAsk))).totalTokens > 0, true);
    });

    it('embeds', async () => {
      const answer = await same((models) => models.embedContent({model: 'gemini-embedding-001', contents: 'text'}));
      assert.equal(answer.embeddings[0].values.length, 4);
    });

    it('lists models and gets one', async () => {
      const {names, one} = await same(async (models) => {
        const listed = [];
        for await (const model of await models.list({config: {pageSize: 2}})) listed.push(model.name);
        return {names: listed, one: await models.get({model: kModel})};
      });
      assert.equal(names.includes(`models/${kModel}`), true);
      assert.equal(one.name, `models/${kModel}`);
    });

    it('sees the vendor\'s refusals as they are', async () => {
      const failure = await same((models) => models.get({model: 'none'}).catch(({status, message}) => ({status, message})));
      assert.equal(failure.status, 404);
    });

    it('learns at once that its key is wrong', {skip: kStraightOnly}, async () => {
      const refused = await byOneWay(world, true, (way) => client(way, 'cr_wrong-key-wrong-key').models.generateContent(kAsk)
        .catch(({status, message}) => ({status, error: JSON.parse(message).error})));
      assert.equal(refused.outcome.status, 401);
      assert.deepEqual([refused.outcome.error.code, refused.outcome.error.status], [401, 'UNAUTHENTICATED']);
      assert.equal(refused.requests.length, 0);
    });

    it('may put its key into the query, and the upstream sees another', {skip: kStraightOnly}, async () => {
      const relayed = await byOneWay(world, true, async (way) => {
        const target = `${way.base('gemini')}/v1beta/models/${kModel}:generateContent`;
        const body = JSON.stringify({contents: [{parts: [{text: 'hi'}]}]});
        const answers = [];
        for (const query of [`?key=${way.credential('gemini', 'key')}`, `?a=1&key=${way.credential('gemini', 'key')}&b=2`]) {
          answers.push((await fetch(target + query, {method: 'POST', headers: {'content-type': 'application/json'}, body})).status);
        }
        return answers;
      });
      assert.deepEqual(relayed.outcome, [200, 200]);
      assert.deepEqual(relayed.requests.map(({path}) => path.split('?')[1] ?? ''), ['', 'a=1&b=2']);
    });
  });
}
