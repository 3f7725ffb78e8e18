// SPDX-License-Identifier: MIT
//
// The relay as a process: how it drains, what it tells of itself and of what was used, and its commands.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {describe, it} from 'node:test';

import {askFor, json, kDialects} from './lib/asking.mjs';
import {run} from './lib/process.mjs';
import {kRelayBinary, kRelayKey} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';
import {ask1, ask2, connect2, eventsOf, Http1, request1, within} from './lib/wire.mjs';

async function inWorld(settings, work) {
  const world = await openWorld(settings);
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

/** A stream that has begun: {connection, service}. */
async function openStream(world, service, fault) {
  const {target, headers, body} = kDialects[service];
  const connection = await Http1.connect(world.relay.port);
  connection.send(request1('POST', target, {...headers, 'x-mock-fault': fault}, JSON.stringify(body)));
  await connection.until(() => eventsOf(connection.soFar('POST')?.body ?? '').length > 0);
  return connection;
}

const terminate = ({relay}) => relay.child.kill('SIGTERM');
const end = async ({relay}, ms = 10_000) => within(ms, relay.child.ended, 'the end of the relay');
const refused = async (port) => {
  const connection = await Http1.connect(port).catch((error) => error);
  if (connection instanceof Error) return connection.code === 'ECONNREFUSED';
  connection.destroy();
  return false;
};

describe('draining on SIGTERM', {skip: kStraightOnly}, () => {
  it('R39: lets streams end by themselves, says so, takes no new connection, and exits 0', () => inWorld({drain: '20s'}, async (world) => {
    const streams = await Promise.all(['claude', 'gemini'].map((service) => openStream(world, service, 'slow-150')));
    const watcher = await Http1.connect(world.relay.port);
    watcher.send(request1('GET', '/ready'));
    assert.equal((await watcher.response()).status, 200);
    const idle = await Http1.connect(world.relay.port);
    idle.send(request1('GET', '/health'));
    assert.equal((await idle.response()).status, 200);
    const session = await connect2(world.relay.port);
    const slow = ask2(session, 'POST', kDialects.claude.target, {headers: {...kDialects.claude.headers, 'x-mock-fault': 'slow-150'}, body: JSON.stringify(kDialects.claude.body)});
    await world.upstream.records({count: 3, wait: 300});
    const goneAway = new Promise((resolve) => session.once('goaway', resolve));
    terminate(world);
    await within(5000, goneAway, 'GOAWAY');
    await idle.end('an idle connection', 5000);
    for (let i = 0; i < 100 && !(await refused(world.relay.port)); ++i) await sleep(20);
    assert.equal(await refused(world.relay.port), true, 'a new connection');
    for (const [i, service] of ['claude', 'gemini'].entries()) {
      const answer = await streams[i].response('POST');
      assert.deepEqual([answer.whole, kDialects[service].isWhole(answer.body)], [true, true]);
    }
    const answer = await slow;
    assert.deepEqual([answer.whole, kDialects.claude.isWhole(answer.body)], [true, true]);
    assert.deepEqual(await end(world), {code: 0, signal: null});
  }));

  it('R39: tells on a connection in use that it is draining', () => inWorld({drain: '20s'}, async (world) => {
    const session = await connect2(world.relay.port);
    const held = ask2(session, 'POST', kDialects.claude.target, {headers: {...kDialects.claude.headers, 'x-mock-fault': 'slow-200'}, body: JSON.stringify(kDialects.claude.body)});
    const pipelined = await Http1.connect(world.relay.port);
    const {target, headers, body} = kDialects.claude;
    pipelined.send(request1('POST', target, {...headers, 'x-mock-fault': 'slow-100'}, JSON.stringify(body)));
    await pipelined.until(() => pipelined.soFar('POST') !== null);
    terminate(world);
    const answer = await pipelined.response('POST');
    assert.equal(kDialects.claude.isWhole(answer.body), true);
    await pipelined.end();
    await held;
    assert.deepEqual(await end(world), {code: 0, signal: null});
  }));

  for (const service of ['claude', 'gemini']) {
    it(`R39: ends what is left after drain-timeout with ${service}'s error event, and exits 0`, () => inWorld({drain: '1s'}, async (world) => {
      const stream = await openStream(world, service, 'stall-mid-stream;after=2');
      await stream.until(() => eventsOf(stream.soFar('POST').body).length === 2);
      terminate(world);
      await stream.end();
      const answer = await stream.response('POST');
      assert.equal(kDialects[service].isErrorEvent(eventsOf(answer.body).at(-1)), true, `${answer.body}`);
      assert.deepEqual(await end(world), {code: 0, signal: null});
      assert.equal((await world.mock.records())[0].cancelled, true);
    }));
  }

  it('R39: answers a request that no upstream has answered yet with 503', () => inWorld({drain: '1s'}, async (world) => {
    const connection = await Http1.connect(world.relay.port);
    const {target, headers} = kDialects.claude.unstreamed;
    connection.send(request1('POST', target, {...kDialects.claude.headers, ...headers, 'x-mock-fault': 'stall-before-head'}, JSON.stringify(kDialects.claude.unstreamed.body)));
    await world.mock.records({count: 1, wait: 500});
    terminate(world);
    const answer = await connection.response('POST');
    assert.deepEqual([answer.status, kDialects.claude.isErrorBody(json(answer))], [503, true]);
    assert.deepEqual(await end(world), {code: 0, signal: null});
  }));

  it('R39: stops at once at a second SIGTERM', () => inWorld({drain: '60s'}, async (world) => {
    await openStream(world, 'claude', 'stall-mid-stream');
    terminate(world);
    await sleep(300);
    assert.equal(world.relay.child.exitCode, null, 'it waits for the stream');
    terminate(world);
    await end(world, 5000);
  }));
});

describe('what the relay tells', {skip: kStraightOnly}, () => {
  it('adds up: usage by key, model, account and day, and the metrics', () => inWorld({}, async (world) => {
    const kUsage = [
      ['claude', 'input=100,output=20,cache-read=30,cache-write=40', false], ['claude', 'input=7,output=5,cache-read=0,cache-write=0', true],
      ['gemini', 'input=50,output=60,cached=10,thoughts=4', false], ['gemini', 'input=3,output=2,cached=0,thoughts=0', true]];
    for (const [service, usage, unstreamed] of kUsage) {
      assert.equal((await askFor(world, service, {headers: {'x-mock-usage': usage}, unstreamed})).status, 200);
    }
    // What was refused costs nothing, and a count neither.
    assert.equal((await askFor(world, 'claude', {headers: {'x-api-key': 'cr_nobody_nobody_nobody'}})).status, 401);
    const counted = await ask1(world.relay.port, 'POST', '/api/v1/messages/count_tokens', {headers: kDialects.claude.headers, body: JSON.stringify(kDialects.claude.unstreamed.body)});
    assert.equal(counted.status, 200);
    const usage = async (by) => {
      const told = await world.relay.command('usage', '--by', by, '--json');
      assert.deepEqual([told.code, told.stderr], [0, '']);
      return JSON.parse(told.stdout);
    };
    const byKey = await usage('key');
    assert.deepEqual(byKey.rows.map(({name}) => name), ['alice']);
    const {input_tokens: input, output_tokens: output, cache_read_tokens: cacheRead, cache_write_5m_tokens: cacheWrite, reasoning_tokens: reasoning} = byKey.total;
    // Google's prompt holds what it read from its cache, and its thoughts are output.
    assert.deepEqual({input, output, cacheRead, cacheWrite, reasoning},
      {input: 100 + 7 + (50 - 10) + 3, output: 20 + 5 + (60 + 4) + 2, cacheRead: 30 + 10, cacheWrite: 40, reasoning: 4});
    assert.equal(byKey.total.cost_usd > 0, true);
    assert.deepEqual((await usage('model')).rows.map(({name}) => name).sort(), ['claude-opus-5-5', 'gemini-2.5-pro']);
    assert.deepEqual((await usage('account')).rows.map(({name}) => name.replace(/^.*\//, '')).sort(), ['studio', 'team-api']);
    assert.deepEqual((await usage('day')).rows.map(({name}) => name), [new Date().toISOString().slice(0, 10)]);
    const table = await world.relay.command('usage');
    assert.equal(table.code, 0);
    assert.match(table.stdout, /alice/);

    const text = (await ask1(world.relay.port, 'GET', '/metrics')).body.toString();
    const sum = (name, part) => text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(part)).reduce((all, line) => all + Number(line.split(' ').at(-1)), 0);
    assert.equal(sum('relay_requests_total', 'route="claude"'), 4);
    assert.equal(sum('relay_requests_total', 'route="gemini"'), 2);
    assert.equal(/alice|team-api|studio/.test(text), false, 'names in open metrics');
    assert.equal(text.includes(kRelayKey), false);
  }));

  it('counts a client that left for what it got', () => inWorld({}, async (world) => {
    const stream = await openStream(world, 'claude', 'stall-mid-stream;after=4');
    stream.destroy();
    await world.upstream.records({count: 1});
    let row;
    for (let i = 0; i < 50 && !(row?.requests > 0); ++i) {
      const told = await world.relay.command('usage', '--json');
      row = JSON.parse(told.stdout).total;
      if (!(row.requests > 0)) await sleep(20);
    }
    assert.deepEqual([row.requests, row.input_tokens, row.estimated], [1, 29, 1]);
  }));

  it('is health, readiness and metrics, without a key', () => inWorld({}, async (world) => {
    const health = await ask1(world.relay.port, 'GET', '/health');
    assert.deepEqual([health.status, health.headers['content-type'].split(';')[0], json(health).status], [200, 'application/json', 'ok']);
    assert.deepEqual(Object.keys(json(health)), ['status', 'timestamp', 'uptime', 'version', 'services']);
    assert.equal((await ask1(world.relay.port, 'GET', '/ready')).status, 200);
    assert.match((await ask1(world.relay.port, 'GET', '/metrics')).headers['content-type'], /^text\/plain/);
    assert.equal((await world.relay.command('health')).code, 0);
    assert.equal((await ask1(world.relay.port, 'POST', '/health', {body: '{}'})).status, 405);
  }));

  it('is one JSON line an exchange in the log, with its id and nothing secret', () => inWorld({}, async (world) => {
    const answer = await ask1(world.relay.port, 'POST', `/gemini/v1beta/models/gemini-2.5-pro:generateContent?key=${kRelayKey}`,
      {headers: {'content-type': 'application/json'}, body: JSON.stringify({contents: [{role: 'user', parts: [{text: 'Grüß Gott'}]}]})});
    assert.equal(answer.status, 200);
    const id = answer.headers['x-relay-request-id'];
    for (let i = 0; i < 50 && !world.relay.log().includes(id); ++i) await sleep(20);
    const lines = world.relay.log().split('\n').filter((line) => line.trim() !== '').map((line) => JSON.parse(line));
    assert.equal(lines.filter((line) => JSON.stringify(line).includes(id)).length >= 1, true, `no line has ${id}:\n${world.relay.log()}`);
  }));
});

describe('start', {skip: kStraightOnly}, () => {
  it('fails with exit code 2 and a place for a wrong file, 1 for a port that is taken', () => inWorld({}, async (world) => {
    const file = path.join(world.folder, 'wrong.yaml');
    const env = {PATH: process.env.PATH, HOME: world.folder, RELAY_DATA: path.join(world.folder, 'other')};
    fs.writeFileSync(file, 'listeners:\n  - adress: 127.0.0.1:0\n');
    const wrong = await run(kRelayBinary, ['serve', '--config', file], {env, cwd: world.folder, timeoutMs: 10_000});
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /wrong\.yaml:2:5: .*adress.*address/);
    const taken = fs.readFileSync(path.join(world.folder, 'relay.yaml'), 'utf8').replace('127.0.0.1:0', `127.0.0.1:${world.relay.port}`);
    fs.writeFileSync(file, taken);
    const second = await run(kRelayBinary, ['serve', '--config', file], {env: {...env, RELAY_KEY: kRelayKey}, cwd: world.folder, timeoutMs: 10_000});
    assert.equal(second.code, 1, second.stderr);
    assert.equal(second.stderr.includes(String(world.relay.port)), true, second.stderr);
    assert.equal((await run(kRelayBinary, ['no-such-command'], {env, cwd: world.folder})).code, 2);
    assert.match((await run(kRelayBinary, ['--version'], {env, cwd: world.folder})).stdout, /^relay \d/);
  }));
});
