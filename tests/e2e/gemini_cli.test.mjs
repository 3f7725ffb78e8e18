// SPDX-License-Identifier: MIT
//
// Gemini CLI, headless, in Code Assist mode and in API-key mode, straight and through the relay; and each
// mode on accounts of the other kind, where the relay has to translate.

import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import {runGemini} from './lib/clients.mjs';
import {kAccounts} from './lib/relay.mjs';
import {assertSame, byBothWays, byOneWay, hideRunDetails, kStraightOnly, openWorld} from './lib/ways.mjs';

const kPrompt = ['-m', 'gemini-2.5-pro', '--output-format', 'json', '-p', 'hello'];
const kToolPrompt = ['-m', 'gemini-2.5-pro', '--output-format', 'json', '--approval-mode', 'yolo', '-p', 'mock:tool(echo relayed by the tool)'];

/** What of a run must be the same by both ways: latencies and durations are not in it. */
function outcomeOf({code, signal, json, home}) {
  const models = {};
  for (const [name, {tokens, api}] of Object.entries(json?.stats?.models ?? {})) {
    models[name] = {tokens, requests: api.totalRequests, errors: api.totalErrors};
  }
  const {totalCalls, totalSuccess} = json?.stats?.tools ?? {};
  return {code, signal, response: json?.response, error: json?.error, models, tools: {totalCalls, totalSuccess}, home};
}

const normalise = ({straight, relayed}) => (text) =>
  sortSkills(hideRunDetails(text, [straight.outcome.home, relayed?.outcome.home].filter(Boolean)));

/** The CLI lists its skills as the file system gives them: in another order each time. */
function sortSkills(text) {
  return text.replaceAll(/<available_skills>.*?<\/available_skills>/gs, (list) =>
    '<available_skills>' + (list.match(/<skill>.*?<\/skill>/gs) ?? []).sort().join('') + '</available_skills>');
}

const runWith = (mode, way, args, credential = way.credential('gemini', mode === 'api-key' ? 'key' : 'oauth')) =>
  runGemini({mode, base: way.base('gemini'), credential, args});

const kOwnMode = [['code-assist', 'oauth'], ['api-key', 'key']];
for (const [mode, kind] of kOwnMode) {
  describe(`Gemini CLI, ${mode} mode`, () => {
    let world;
    before(async () => {
      world = await openWorld({gemini: [kind]});
    });
    after(() => world?.close());

    const runBoth = async (args) => {
      const both = await byBothWays(world, async (way) => outcomeOf(await runWith(mode, way, args)));
      assertSame(world, both, {normalise: normalise(both)});
      return {...both, outcome: both.straight.outcome};
    };

    it('answers a prompt', async () => {
      const {outcome, relayed} = await runBoth(kPrompt);
      assert.equal(outcome.code, 0);
      assert.match(outcome.response, /^Hello from the mock upstream\. Grüße, 你好/);
      assert.equal(outcome.models['gemini-2.5-pro'].tokens.prompt, 29);
      if (relayed === null) return;
      assert.equal(relayed.requests.every(({credential}) => credential.value === kAccounts.gemini[kind].value), true);
    });

    it('runs the shell tool and goes on', async () => {
      const {outcome, straight} = await runBoth(kToolPrompt);
      assert.match(outcome.response, /The tool said: .*relayed by the tool/s);
      assert.deepEqual(outcome.tools, {totalCalls: 1, totalSuccess: 1});
      assert.equal(straight.requests.filter(({path}) => path.includes('streamGenerateContent')).length, 2);
    });

    it('chooses a model itself', async () => {
      const {outcome} = await runBoth(['--output-format', 'json', '-p', 'hello']);
      assert.equal(outcome.code, 0);
      assert.match(outcome.response, /^Hello from the mock/);
    });

    it('ends at once when its key is wrong', {skip: kStraightOnly}, async () => {
      const refused = await byOneWay(world, true, (way) => runWith(mode, way, kPrompt, `cr_${'00'.repeat(32)}`));
      assert.notEqual(refused.outcome.code, 0);
      assert.equal(refused.outcome.ms < 10_000, true, `took ${refused.outcome.ms} ms`);
      assert.equal(refused.requests.length, 0);
    });
  });
}

describe('Gemini CLI on an account of another project', {skip: kStraightOnly}, () => {
  let world;
  before(async () => {
    world = await openWorld({gemini: ['oauth']});
  });
  after(() => world?.close());

  it('has its project replaced in every body, and nothing else', async () => {
    const relayed = await byOneWay(world, true, async (way) => {
      const target = `${way.base('gemini')}/v1internal:streamGenerateContent?alt=sse`;
      const body = '{"model" : "gemini-2.5-pro", "project":"someone-elses", "request":{"contents":[{"role":"user","parts":[{"text":"hi \\u00fc"}]}]}}';
      const response = await fetch(target, {method: 'POST', body, headers: {'content-type': 'application/json',
        'user-agent': 'GeminiCLI-tui/0.61.0/gemini-2.5-pro', authorization: `Bearer ${way.credential('gemini', 'oauth')}`}});
      return {status: response.status, text: await response.text(), body};
    });
    assert.equal(relayed.outcome.status, 200);
    assert.equal(relayed.requests[0].body, relayed.outcome.body.replace('someone-elses', 'mock-project-1234'));
  });
});

const kOtherMode = [['code-assist', 'key'], ['api-key', 'oauth']];
for (const [mode, kind] of kOtherMode) {
  describe(`Gemini CLI, ${mode} mode on ${kind} accounts`, {skip: kStraightOnly}, () => {
    let world;
    before(async () => {
      world = await openWorld({gemini: [kind]});
    });
    after(() => world?.close());

    const runOther = async (args) => {
      const both = await byBothWays(world, async (way) => outcomeOf(await runWith(mode, way, args)));
      const hide = normalise(both);
      assert.deepEqual(JSON.parse(hide(JSON.stringify(both.relayed.outcome))), JSON.parse(hide(JSON.stringify(both.straight.outcome))));
      const inner = kind === 'key' ? /^\/v1beta\// : /^\/v1internal:/;
      assert.equal(both.relayed.requests.every(({path, status}) => inner.test(path) && status === 200), true);
      assert.equal(both.relayed.requests.every(({credential}) => credential.value === kAccounts.gemini[kind].value), true);
      return both;
    };

    it('answers a prompt', () => runOther(kPrompt));
    it('runs the shell tool and goes on', () => runOther(kToolPrompt));
  });
}

describe('Gemini CLI, when its start-up calls fail', {skip: kStraightOnly}, () => {
  let world;
  before(async () => {
    world = await openWorld({gemini: ['oauth']});
  });
  after(() => world?.close());

  // It repeats none of them; two failures of loadCodeAssist end it.
  for (const faults of [['status-503'], ['status-500', 'status-503'], ['reset-before-head'], ['reset-before-head', 'status-503']]) {
    it(`is answered all the same after ${faults.join(' and ')}`, async () => {
      const done = await byOneWay(world, true, async (way) => {
        await way.upstream.script({match: {path: ':loadCodeAssist'}, faults});
        return runWith('code-assist', way, kPrompt);
      });
      assert.equal(done.outcome.code, 0, done.outcome.stdout + done.outcome.stderr);
      assert.match(done.outcome.json.response, /^Hello from the mock upstream/);
      const starts = done.exchanges.filter(({request}) => request.path.endsWith(':loadCodeAssist'));
      assert.deepEqual(starts.map(({response}) => response.status), [200], 'the relay repeated it, not the CLI');
    });
  }

  it('takes a base URL that ends in a slash', async () => {
    const done = await byOneWay(world, true, (way) => runGemini({mode: 'code-assist', base: `${way.base('gemini')}/`,
      credential: way.credential('gemini', 'oauth'), args: kPrompt}));
    assert.equal(done.outcome.code, 0, done.outcome.stdout + done.outcome.stderr);
    assert.equal(done.requests.every(({path}) => path.startsWith('/v1internal:')), true);
  });
});
