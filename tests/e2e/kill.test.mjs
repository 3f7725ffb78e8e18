// SPDX-License-Identifier: MIT
//
// What was used is recorded once (R38): when the relay is killed at any moment, when its disk is full, when a client
// leaves.

import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor, json, kDialects} from './lib/asking.mjs';
import {startMock} from './lib/mock.mjs';
import {run} from './lib/process.mjs';
import {kRelayBinary, kRelayKey, startRelay} from './lib/relay.mjs';
import {sleep, until} from './lib/waiting.mjs';
import {assertNothingSecretIn, kStraightOnly} from './lib/ways.mjs';
import {ask1, eventsOf, Http1, request1, within} from './lib/wire.mjs';

const kRounds = process.env.RELAY_LONG ? 50 : 5;
const kStreams = 50;
const kMost = 230;  // exchanges a round: the ledger names 256 models a run, and each exchange has one of its own

const claudeRequest = (model, stream) => ['/api/v1/messages', kDialects.claude.headers, {...kDialects.claude.body, model, stream}];
const geminiRequest = (model, stream) => [`/gemini/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
  kDialects.gemini.headers, kDialects.gemini.body];

/** The usage that events of an answer tell, as far as they came; null: none. */
function usageSeen(service, events) {
  const told = events.map(({data}) => service === 'claude' ? data?.usage ?? data?.message?.usage : data?.usageMetadata).filter(Boolean);
  return told.at(-1) ?? null;
}

/** One exchange of a kind that `number` chooses, with a model of its own. Its end is what the client saw. */
async function exchange(port, name, number) {
  const service = number % 3 === 2 ? 'gemini' : 'claude';
  const streamed = number % 7 !== 6;
  const model = `${service}-${name}`;
  const [target, headers, body] = (service === 'claude' ? claudeRequest : geminiRequest)(model, streamed);
  const mock = streamed ? {'x-mock-stream': `seed=${number + 1},events=${5 + number % 20},bytes=40,delay=${2 + number % 9}`}
    : {'x-mock-fault': `latency-${number % 90}`};
  const seen = {model, service, output: streamed ? 5 + number % 20 : 8, ended: false, began: false};
  const client = await Http1.connect(port).catch(() => null);
  if (client === null) return seen;
  client.send(request1('POST', target, {...headers, ...mock}, JSON.stringify(body)));
  const answer = await client.response('POST', 60_000).catch(() => null);
  client.destroy();
  if (answer === null) return seen;
  assert.equal(answer.status, 200, `${model}: ${answer.body}`);
  if (streamed) {
    const text = answer.body.toString();
    // Only what has an empty line behind it has come whole.
    const events = eventsOf(text.slice(0, Math.max(text.lastIndexOf('\n\n'), text.lastIndexOf('\r\n\r\n'), 0)));
    const last = events.at(-1);
    seen.ended = last !== undefined && (service === 'claude' ? last.event === 'message_stop' : last.data?.candidates?.[0]?.finishReason === 'STOP');
    seen.began = usageSeen(service, events) !== null;
  } else {
    seen.ended = seen.began = answer.whole;
  }
  return seen;
}

async function usageOf(relay, by = 'model', ...args) {
  const told = await relay.command('usage', '--by', by, '--json', ...args);
  assert.deepEqual([told.code, told.stderr], [0, '']);
  return JSON.parse(told.stdout);
}

describe('a relay that is killed', {skip: kStraightOnly}, () => {
  let folder;
  let mock;
  let relay;
  const all = [];
  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-kill-'));
    mock = await startMock({folder});
    relay = await startRelay({folder, upstream: mock.url, claude: ['key'], gemini: ['key'], workers: 2});
  });
  after(async () => {
    await relay?.stop();
    await mock?.stop();
    fs.rmSync(folder, {recursive: true, force: true});
  });
  const restart = async () => {
    relay = await startRelay({folder, upstream: mock.url, claude: ['key'], gemini: ['key'], workers: 2});
  };

  /** 50 clients, each with one exchange after the other until the relay is killed after `ms`. */
  async function killAmidst(round, ms) {
    let begun = 0;
    let killed = false;
    const seen = [];
    const clients = Array.from({length: kStreams}, async () => {
      while (!killed && begun < kMost) {
        const number = begun++;
        seen.push(await exchange(relay.port, `r${round}n${number}`, number));
      }
    });
    await sleep(ms);
    killed = true;
    relay.child.kill('SIGKILL');
    await within(10_000, relay.child.ended, 'the end of the relay');
    await within(30_000, Promise.all(clients), 'the clients');
    return seen;
  }

  it(`R38: records each exchange whose end was seen once, and each that began once, estimated (${kRounds} rounds)`, async () => {
    let cut = 0;
    for (let round = 0; round < kRounds; ++round) {
      const seen = await killAmidst(round, 40 + Math.floor(Math.random() * 600));
      assertNothingSecretIn(relay.log());
      all.push(...seen);
      await restart();
      const {rows, total} = await usageOf(relay);
      const row = new Map(rows.map((one) => [one.name, one]));
      for (const {model, output, ended, began} of all) {
        const told = row.get(model);
        const what = `${model} in round ${round}: ${JSON.stringify(told)}`;
        if (ended) assert.deepEqual([told?.requests, told?.estimated, told?.output_tokens], [1, 0, output], what);
        else if (began) assert.equal(told?.requests, 1, what);
        assert.equal((told?.requests ?? 0) <= 1, true, what);
        // What was not told to its end is a guess; else it had ended, though the client does not know.
        if (told?.estimated === 0) assert.equal(told.output_tokens, output, what);
        if (began && !ended) ++cut;
      }
      const known = new Set(all.map(({model}) => model));
      assert.deepEqual(rows.filter(({name}) => !known.has(name)), [], 'nobody asked for these');
      assert.equal(total.requests, rows.length);
    }
    assert.equal(all.filter(({ended}) => ended).length > 0, true, 'no exchange ended: the test shows nothing');
    assert.equal(cut > 0, true, 'no stream was cut: the test shows nothing');
  });

  it('R38: has all of it still after an orderly end, when nothing is left in the journal', async () => {
    const before = await usageOf(relay);
    assert.equal(before.total.requests > 0, true);
    assert.deepEqual(await relay.stop(), {code: 0, signal: null});
    assert.deepEqual(fs.readdirSync(path.join(folder, 'data', 'journal')), []);
    await restart();
    assert.deepEqual(await usageOf(relay), before);
    for (const by of ['key', 'account', 'day']) assert.deepEqual((await usageOf(relay, by)).total, before.total);
  });

  it('lets no second relay into its data folder', async () => {
    const env = {PATH: process.env.PATH, HOME: folder, RELAY_KEY: kRelayKey, RELAY_DATA: path.join(folder, 'data')};
    const second = await run(kRelayBinary, ['serve', '--config', path.join(folder, 'relay.yaml')], {env, cwd: folder, timeoutMs: 10_000});
    assert.equal(second.code, 1, second.stderr);
    assert.match(second.stderr, new RegExp(`another relay \\(process ${relay.pid}\\) uses the data folder`));
  });

  it('counts a client that left mid-stream for what was produced', async () => {
    const [target, headers, body] = claudeRequest('claude-left', true);
    const client = await Http1.connect(relay.port);
    client.send(request1('POST', target, {...headers, 'x-mock-stream': 'seed=1,events=200,bytes=200,delay=5'}, JSON.stringify(body)));
    await client.until(() => eventsOf(client.soFar('POST')?.body ?? '').length > 8);
    client.destroy();
    let row;
    for (let i = 0; i < 100 && row === undefined; ++i) {
      row = (await usageOf(relay)).rows.find(({name}) => name === 'claude-left');
      if (row === undefined) await sleep(20);
    }
    assert.deepEqual([row.requests, row.estimated, row.input_tokens], [1, 1, 29]);
    assert.equal(row.output_tokens > 1, true, `more than the first event told: ${row.output_tokens}`);
    relay.child.kill('SIGKILL');
    await relay.child.ended;
    await restart();
    assert.deepEqual((await usageOf(relay)).rows.find(({name}) => name === 'claude-left'), row);
  });
});

/** Whether this process may mount a file system of its own. */
function canMount() {
  try {
    execFileSync('unshare', ['-m', 'true'], {stdio: 'ignore'});
    return true;
  } catch {
    return false;
  }
}

describe('a full disk', {skip: kStraightOnly || (!canMount() && 'no mount namespace is to be had')}, () => {
  it('R38: stops nothing, is told in log, metrics and health, and is over when there is room', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-full-'));
    const data = path.join(folder, 'data');
    const mock = await startMock({folder});
    // A disk of 2 MiB in place of the data folder, which the relay alone sees.
    const by = ['unshare', '-m', 'sh', '-c', `mount -t tmpfs -o size=2m none '${data}' && exec "$@"`, 'mounted'];
    const relay = await startRelay({folder, upstream: mock.url, claude: ['key'], gemini: ['key'], workers: 2, by});
    const world = {relay};
    try {
      const inside = `/proc/${relay.pid}/root${data}`;
      const usage = async () => (await usageOf(relay, 'key', '--data', inside)).total.requests;
      const health = async () => json(await ask1(relay.port, 'GET', '/health')).status;
      const metric = async (name) => Number((await ask1(relay.port, 'GET', '/metrics')).body.toString().split('\n')
        .find((line) => line.startsWith(`${name} `))?.split(' ').at(-1));
      const comes = (test, what) => until(test, () => `${what}\n${relay.log()}`);
      const events = (name) => relay.log().split('\n').filter((line) => line.includes(`"${name}"`)).length;
      let asked = 0;
      const ask = async (count) => {
        for (let i = 0; i < count; ++i, ++asked) {
          const service = asked % 2 === 0 ? 'claude' : 'gemini';
          const answer = await askFor(world, service, {unstreamed: asked % 3 === 0});
          assert.equal(answer.status, 200);
        }
      };
      await ask(4);
      assert.deepEqual([await health(), await metric('relay_state_degraded')], ['ok', 0]);

      const filler = path.join(inside, 'filler');
      const fill = fs.openSync(filler, 'w');
      assert.throws(() => {
        for (let i = 0; i < 10_000; ++i) fs.writeSync(fill, Buffer.alloc(512));
      }, {code: 'ENOSPC'});
      fs.closeSync(fill);
      await comes(async () => {
        await ask(4);
        return await health() === 'degraded' && events('journal fails') > 0 && events('store fails') > 0;
      }, 'degraded');
      assert.equal((await ask1(relay.port, 'GET', '/health')).status, 200);
      assert.equal((await ask1(relay.port, 'GET', '/ready')).status, 200);
      assert.equal(await metric('relay_state_degraded'), 1);
      assert.equal(await metric('relay_state_errors_total{op="journal"}') > 0, true);
      assert.equal(await metric('relay_state_errors_total{op="flush"}') > 0, true);
      await ask(10);
      assert.equal(await usage(), asked);
      assert.deepEqual([events('journal fails'), events('store fails')], [1, 1], 'told once');

      fs.rmSync(filler);
      await comes(async () => await health() === 'ok', 'ok');
      assert.equal(await metric('relay_state_degraded'), 0);
      await comes(async () => events('journal recovered') === 1 && events('store recovered') === 1, 'the recovery in the log');
      await ask(2);
      // What would be left of it by a crash: in another place, since this disk is gone with its process.
      const copy = path.join(folder, 'copy');
      fs.cpSync(path.join(inside, 'journal'), path.join(copy, 'journal'), {recursive: true});
      assert.deepEqual(await relay.stop(), {code: 0, signal: null});
      fs.cpSync(copy, data, {recursive: true});
      const next = await startRelay({folder, upstream: mock.url, claude: ['key'], gemini: ['key']});
      const found = (await usageOf(next, 'key')).total;
      await next.stop();
      assert.deepEqual([found.requests, found.estimated], [asked, 0]);
    } finally {
      relay.child.kill('SIGKILL');
      await mock.stop();
      fs.rmSync(folder, {recursive: true, force: true});
    }
  });
});
