// SPDX-License-Identifier: MIT
//
// Limits are exact: over many connections, both protocols and several workers no request passes that should
// not, and none is kept out that need not be; what is refused is told in the client's own dialect.

import assert from 'node:assert/strict';
import {describe, it} from 'node:test';

import {askFor, json, kAsk, kClaudeHeaders, kDialects, kTurn} from './lib/asking.mjs';
import {startRelay} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';
import {ask1, ask2, connect2, Http1, request1} from './lib/wire.mjs';

const kWorkers = 4;
const kRounds = 50;
const kAtOnce = 40;
const kLimit = 5;
const kMessages = '/api/v1/messages';

const keyOf = (name) => `cr_of_${name.replaceAll('-', '_')}_0123456789`;
const keyNamed = (name, limits) => ({name, key: keyOf(name), limits});
const headersOf = (name, more = {}) => ({...kClaudeHeaders, 'x-api-key': keyOf(name), ...more});

async function inWorld(settings, work) {
  const world = await openWorld({workers: kWorkers, ...settings});
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

/** kAtOnce ways to ask at once: half of them connections of HTTP/1.1, the others streams of four sessions of HTTP/2. */
async function openLines(port) {
  const connections = await Promise.all(Array.from({length: kAtOnce / 2}, () => Http1.connect(port)));
  const sessions = await Promise.all(Array.from({length: 4}, () => connect2(port)));
  const by1 = connections.map((connection) => async (headers, body) => {
    connection.send(request1('POST', kMessages, headers, body));
    return connection.response('POST');
  });
  const by2 = Array.from({length: kAtOnce / 2}, (_, i) => (headers, body) => ask2(sessions[i % 4], 'POST', kMessages, {headers, body}));
  return {
    lines: [...by1, ...by2],
    close() {
      connections.forEach((connection) => connection.destroy());
      sessions.forEach((session) => session.destroy());
    },
  };
}

/** How many requests the mock has, once it has `count` of them: refusals come sooner than what still dials. */
async function arrivals(mock, count, criteria = {}) {
  for (let i = 0; ; ++i) {
    const {length} = await mock.records({...criteria, count, wait: 1});
    if (length >= count || i === 500) return length;
    await sleep(10);
  }
}

/** That several workers have the open connections; their gauges are set once a second. */
async function assertSpread(port) {
  for (let i = 0; ; ++i) {
    const metrics = (await ask1(port, 'GET', '/metrics')).body.toString();
    const open = [...metrics.matchAll(/^relay_client_connections\{worker="\d+"\} (\d+)/gm)].map(([, count]) => Number(count));
    if (open.filter((count) => count > 1).length > 1) return;
    assert.equal(i < 30, true, `connections of several workers: ${open}`);
    await sleep(100);
  }
}

const countBy = (answers, what) => answers.reduce((counts, answer) => ({...counts, [what(answer)]: (counts[what(answer)] ?? 0) + 1}), {});

describe('40 requests at once against a limit of 5', {skip: kStraightOnly}, () => {
  it(`pass exactly 5 starts a minute, ${kRounds} rounds`, () => inWorld(
    {keys: Array.from({length: kRounds}, (_, i) => keyNamed(`r${i}`, `requests-per-minute: ${kLimit}`))}, async (world) => {
      const {lines, close} = await openLines(world.relay.port);
      await assertSpread(world.relay.port);
      for (let round = 0; round < kRounds; ++round) {
        const answers = await Promise.all(lines.map((ask) => ask(headersOf(`r${round}`), JSON.stringify(kTurn))));
        assert.deepEqual(countBy(answers, ({status}) => status), {200: kLimit, 429: kAtOnce - kLimit}, `round ${round}`);
      }
      assert.equal((await world.mock.records({count: kRounds * kLimit})).length, kRounds * kLimit);
      close();
    }));

  it(`have exactly 5 in flight, ${kRounds} rounds, and give their places back`, () => inWorld(
    {keys: [keyNamed('c', `concurrency: ${kLimit}`)]}, async (world) => {
      for (let round = 0; round < kRounds; ++round) {
        const {lines, close} = await openLines(world.relay.port);
        const answers = [];
        // The mock holds back whatever reaches it, so a place is free only once a client has left.
        const held = headersOf('c', {'x-mock-fault': 'stall-before-head'});
        const refused = new Promise((resolve) => {
          for (const ask of lines) {
            ask(held, JSON.stringify(kTurn)).then((answer) => {
              answers.push(answer);
              if (answers.length === kAtOnce - kLimit) resolve();
            }, () => {});
          }
        });
        await refused;
        assert.equal(await arrivals(world.mock, kLimit), kLimit, `round ${round}: in flight`);
        assert.deepEqual(countBy(answers, ({status}) => status), {429: kAtOnce - kLimit}, `round ${round}`);
        close();
        const ended = await world.mock.records({count: kLimit});
        assert.equal(ended.filter(({cancelled}) => cancelled).length, kLimit, `round ${round}: upstream requests end with their clients`);
        await world.mock.reset();
      }
    }));
});

describe('waiting in turn', {skip: kStraightOnly}, () => {
  it('serves all 40 over several workers, never more than 2 at once', () => inWorld(
    {keys: [keyNamed('w', 'concurrency: 2')], rateLimit: 'wait: 30s'}, async (world) => {
      const {lines, close} = await openLines(world.relay.port);
      await assertSpread(world.relay.port);
      const answers = await Promise.all(lines.map((ask) => ask(headersOf('w', {'x-mock-fault': 'latency-5'}), JSON.stringify(kTurn))));
      assert.deepEqual(countBy(answers, ({status}) => status), {200: kAtOnce});
      const records = await world.mock.records({count: kAtOnce});
      const moments = records.flatMap(({startedAt, endedAt}) => [[startedAt, 1], [endedAt, -1]]).sort(([a, up], [b, down]) => a - b || up - down);
      let running = 0;
      for (const [, step] of moments) {
        running += step;
        assert.equal(running <= 2, true, `${running} at once`);
      }
      close();
    }));

  it('is refused when the queue is full, and when its time is over', () => inWorld(
    {keys: [keyNamed('w', 'concurrency: 1')], rateLimit: 'wait: 1s, queue: 3'}, async (world) => {
      const holder = await Http1.connect(world.relay.port);
      holder.send(request1('POST', kMessages, headersOf('w', {'x-mock-fault': 'stall-before-head'}), JSON.stringify(kTurn)));
      await arrivals(world.mock, 1);
      const started = Date.now();
      const ages = [];
      const answers = await Promise.all(Array.from({length: 10}, async () => {
        const answer = await ask1(world.relay.port, 'POST', kMessages, {headers: headersOf('w'), body: JSON.stringify(kTurn)});
        ages.push(Date.now() - started);
        return answer;
      }));
      assert.deepEqual(countBy(answers, ({status}) => status), {429: 10});
      assert.equal(ages.filter((age) => age >= 1000).length, 3, `${ages}`);
      holder.destroy();
    }));

  it('ends with the relay', () => inWorld(
    {keys: [keyNamed('w', 'concurrency: 1')], rateLimit: 'wait: 60s', drain: '1s'}, async (world) => {
      const [holder, waits] = await Promise.all([Http1.connect(world.relay.port), Http1.connect(world.relay.port)]);
      holder.send(request1('POST', kMessages, headersOf('w', {'x-mock-fault': 'stall-before-head'}), JSON.stringify(kTurn)));
      await arrivals(world.mock, 1);
      waits.send(request1('POST', kMessages, headersOf('w'), JSON.stringify(kTurn)));
      await sleep(200);
      assert.equal(waits.soFar('POST'), null);
      const [answer] = await Promise.all([waits.response('POST'), world.relay.stop()]);
      assert.deepEqual([answer.status, json(answer).error.type], [503, 'overloaded_error']);
    }));
});

describe('a budget', {skip: kStraightOnly}, () => {
  // A million tokens cost a dollar in and five out, so 200 of them out are a tenth of a cent.
  const kOutput = 200;
  const kPrice = kOutput * 5e-6;
  const body = JSON.stringify({...kTurn, model: 'claude-haiku-4-5', max_tokens: kOutput});

  /** Asks until nothing is left, kAtOnce at a time; answers what was spent, in dollars. */
  async function spendAll(world, name, usage) {
    const {lines, close} = await openLines(world.relay.port);
    const headers = headersOf(name, {'x-mock-usage': usage});
    for (let burst = 0; ; ++burst) {
      assert.equal(burst < 40, true, 'it is spent in the end');
      const answers = await Promise.all(lines.map((ask) => ask(headers, body)));
      const told = countBy(answers, (answer) => answer.status === 200 ? 'served' : json(answer).error.type);
      for (const what of Object.keys(told)) assert.equal(['served', 'rate_limit_error', 'billing_error'].includes(what), true, what);
      if (told.billing_error === kAtOnce) break;
    }
    close();
    const {stdout} = await world.relay.command('usage', '--by', 'key', '--json');
    return JSON.parse(stdout).rows.find((row) => row.name === name).cost_usd;
  }

  it('is overrun by no more than one request where reserves are enough', () => inWorld(
    {keys: Array.from({length: 5}, (_, i) => keyNamed(`b${i}`, `cost-per-day: ${(kPrice * (6 + i)).toFixed(4)}`))}, async (world) => {
      for (let i = 0; i < 5; ++i) {
        const spent = await spendAll(world, `b${i}`, `input=1,output=${kOutput},cache-read=0,cache-write=0`);
        const cap = kPrice * (6 + i);
        assert.equal(spent >= cap && spent < cap + kPrice * 1.1, true, `${spent} of ${cap}`);
      }
    }));

  it('is overrun by no more than running requests exceed their reserves by', () => inWorld(
    {keys: Array.from({length: 5}, (_, i) => keyNamed(`o${i}`, `cost-total: ${(kPrice * 6).toFixed(4)}`))}, async (world) => {
      for (let i = 0; i < 5; ++i) {
        // Each uses three times what it may: the vendor's answer is longer than max_tokens.
        const spent = await spendAll(world, `o${i}`, `input=1,output=${3 * kOutput},cache-read=0,cache-write=0`);
        const most = kPrice * 6 + 6 * 2 * kPrice + 3 * kPrice;
        assert.equal(spent >= kPrice * 6 && spent <= most, true, `${spent} of ${kPrice * 6}`);
      }
    }));
});

describe('a budget over a restart', {skip: kStraightOnly}, () => {
  it('goes on where it stood, also after kill -9', async () => {
    const keys = [keyNamed('k', 'cost-per-month: 0.000001')];
    const world = await openWorld({keys});
    try {
      const ask = (relay) => ask1(relay.port, 'POST', kMessages, {headers: headersOf('k'), body: JSON.stringify(kTurn)});
      assert.equal((await ask(world.relay)).status, 200);
      world.relay.child.kill('SIGKILL');
      await new Promise((resolve) => world.relay.child.once('exit', resolve));
      const next = await startRelay({folder: world.folder, upstream: world.upstream.url, claude: ['key'], gemini: ['key'], keys});
      const answer = await ask(next);
      assert.deepEqual([answer.status, json(answer).error.type], [429, 'billing_error']);
      assert.deepEqual(await next.stop(), {code: 0, signal: null});
    } finally {
      await world.close();
    }
  });
});

describe('what is over a limit', {skip: kStraightOnly}, () => {
  const kLimits = {
    'requests': {limits: 'requests-per-minute: 1', says: '1 requests a minute'},
    'tokens': {limits: 'tokens-per-minute: 1', says: '1 tokens a minute'},
    'concurrency': {limits: 'concurrency: 1', says: '1 requests at once', held: true},
    'day': {limits: 'cost-per-day: 0.000001', says: '$0.000001 a day', spent: true},
    'week': {limits: 'cost-per-week: 0.000001', says: '$0.000001 a week', spent: true},
    'month': {limits: 'cost-per-month: 0.000001', says: '$0.000001 a month', spent: true},
    'total': {limits: 'cost-total: 0.000001', says: '$0.000001 in all', spent: true, forever: true},
  };
  const keys = Object.entries(kLimits).flatMap(([name, {limits}]) =>
    Object.keys(kDialects).map((service) => keyNamed(`${name}-${service}`, limits)));

  it('is refused in the client\'s dialect, with a time that is true where there is one', () => inWorld({keys}, async (world) => {
    for (const [name, {says, held, spent, forever}] of Object.entries(kLimits)) {
      for (const service of Object.keys(kDialects)) {
        const what = `${name}-${service}`;
        const key = {[service === 'claude' ? 'x-api-key' : 'x-goog-api-key']: keyOf(what)};
        const holder = held ? await Http1.connect(world.relay.port) : null;
        if (held) {
          const {unstreamed, headers} = kDialects[service];
          holder.send(request1('POST', unstreamed.target, {...headers, ...key, 'x-mock-fault': 'stall-before-head', 'x-mock-tag': what},
            JSON.stringify(unstreamed.body)));
          await arrivals(world.mock, 1, {tag: what});
        } else {
          assert.equal((await askFor(world, service, {headers: key})).status, 200, what);
        }
        const answer = await askFor(world, service, {headers: key});
        holder?.destroy();
        assert.equal(answer.status, 429, what);
        const {error} = json(answer);
        assert.equal(error.message.includes(says), true, `${what}: ${error.message}`);
        assert.equal(answer.headers['x-should-retry'], spent ? 'false' : undefined, what);
        const wait = Number(answer.headers['retry-after'] ?? NaN);
        assert.equal(forever ? Number.isNaN(wait) : wait >= 1 && wait <= 31 * 86_400, true, `${what}: retry-after ${wait}`);
        if (service === 'claude') {
          assert.equal(error.type, spent ? 'billing_error' : 'rate_limit_error', what);
        } else {
          assert.equal(error.status, 'RESOURCE_EXHAUSTED', what);
          const details = JSON.stringify(error.details);
          assert.match(details, spent ? /QUOTA_EXHAUSTED/ : /RATE_LIMIT_EXCEEDED/, what);
          assert.equal(/"retryDelay":"(\d+)s"/.exec(details)?.[1], forever ? undefined : String(wait), what);
        }
        // What costs nothing is not kept out by any of them.
        const free = service === 'claude' ? ['GET', '/api/v1/models', null]
          : ['POST', '/gemini/v1beta/models/gemini-2.5-pro:countTokens', JSON.stringify(kAsk)];
        assert.equal((await ask1(world.relay.port, free[0], free[1], {headers: {...kDialects[service].headers, ...key}, body: free[2]})).status, 200, what);
      }
    }
  }));

  it('passes in the shadow', () => inWorld({keys, rateLimit: 'shadow: true'}, async (world) => {
    for (const name of Object.keys(kLimits)) {
      for (let i = 0; i < 3; ++i) {
        assert.equal((await askFor(world, 'claude', {headers: {'x-api-key': keyOf(`${name}-claude`)}})).status, 200, name);
      }
    }
    const metrics = (await ask1(world.relay.port, 'GET', '/metrics')).body.toString();
    for (const limit of ['requests-per-minute', 'tokens-per-minute', 'cost-per-day', 'cost-total']) {
      assert.match(metrics, new RegExp(`^relay_rate_limited_total\\{action="shadowed",limit="${limit}",route="claude"\\} 2$`, 'm'));
    }
  }));
});

describe('memory for bodies', {skip: kStraightOnly}, () => {
  const kMiB = 1 << 20;

  it('is waited for: a body is read once another has gone, or told 503 after ten seconds', () => inWorld({bufferedBytes: '1MiB'}, async (world) => {
    const begin = async () => {
      const client = await Http1.connect(world.relay.port);
      // All but its last bytes: what is only announced takes no memory.
      client.send(request1('POST', kMessages, {...kDialects.claude.headers, 'content-length': kMiB - 500}, null));
      client.send(Buffer.alloc(kMiB - 1500, 'x'));
      return client;
    };
    const holds = await begin();
    await sleep(200);
    const text = JSON.stringify({...kTurn, system: 'x'.repeat(2000)});
    let served = false;
    const waits = askFor(world, 'claude', {body: text, unstreamed: true}).then((answer) => {
      served = true;
      return answer;
    });
    await sleep(500);
    assert.equal(served, false);
    holds.destroy();
    assert.equal((await waits).status, 200);

    const holdsOn = await begin();
    await sleep(200);
    const started = Date.now();
    const late = await askFor(world, 'claude', {body: text, unstreamed: true});
    const age = Date.now() - started;
    assert.deepEqual([late.status, json(late).error.type, late.headers['retry-after']], [503, 'overloaded_error', '1']);
    assert.equal(age >= 9900 && age < 20_000, true, `after ${age} ms`);
    holdsOn.destroy();
  }));
});
