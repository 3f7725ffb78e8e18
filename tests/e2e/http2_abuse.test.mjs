// SPDX-License-Identifier: MIT
//
// HTTP/2 as an attacker speaks it, frame by frame against the relay's binary. Each time the attacker's
// connection ends as it should, a bystander is served within a second throughout, and the relay's memory
// stays in bounds.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {startBystander} from './lib/bystander.mjs';
import {block, continuation, data, frame, headers, Http2Raw, kCode, kept, kFlag, kNewestKept, kSetting, kType, openWindow, ping, priority, reset,
  settings, u32} from './lib/http2_raw.mjs';
import {startRecorder} from './lib/recorder.mjs';
import {kRelayKey, startRelay} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {kStraightOnly} from './lib/ways.mjs';

const kMiB = 1 << 20;
const kBig = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${2 * kMiB}\r\n\r\n`), Buffer.alloc(2 * kMiB, 'x')]);
const fieldsOf = (method, target) => [[':method', method], [':scheme', 'http'], [':authority', 'relay.test'], [':path', target], ['x-api-key', kRelayKey]];
const kGet = fieldsOf('GET', '/api/v1/files/a');
const kStalled = fieldsOf('GET', '/api/v1/files/stalled');
const kPost = fieldsOf('POST', '/api/v1/files');
const idOf = (i) => 2 * i + 1;

/** The most that the process has held since forget() (Linux: the high-water mark can be set back). */
function memoryOf(pid) {
  const read = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
  return {now: () => read('VmRSS'), most: () => read('VmHWM'), forget: () => fs.writeFileSync(`/proc/${pid}/clear_refs`, '5')};
}

function suite(title, limits, tests) {
  describe(title, {skip: kStraightOnly}, () => {
    const box = {};
    before(async () => {
      box.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-abuse-'));
      box.upstream = await startRecorder();
      box.bystander = await startBystander();
      box.upstream.answer = ({target}, connection) => {
        connection.stalled = target.endsWith('/stalled');
        if (connection.stalled) return null;
        return target.endsWith('/big') ? kBig : Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
      };
      box.relay = await startRelay({folder: box.folder, upstream: box.upstream.url, claude: ['key'],
        gemini: [{kind: 'key', endpoint: box.bystander.url}], passthrough: '/v1/files', limits});
      box.memory = memoryOf(box.relay.pid);
    });
    after(async () => {
      const ended = await box.relay?.stop();
      box.upstream?.stop();
      await box.bystander?.stop();
      fs.rmSync(box.folder, {recursive: true, force: true});
      assert.deepEqual(ended, {code: 0, signal: null}, box.relay.log().slice(-2000));
    });
    tests(box);
  });
}

/** Does `abuse()` beside a bystander; the relay may take so many MiB more meanwhile. */
async function besideOthers({relay, memory, bystander}, mostMiB, abuse) {
  memory.forget();
  const base = memory.now();
  bystander.begin({port: relay.port, target: '/gemini/v1/files/bystander', headers: {'x-goog-api-key': kRelayKey}});
  let seen;
  try {
    await abuse();
  } finally {
    seen = await bystander.end();
  }
  assert.deepEqual(seen.failures, [], 'the bystander');
  assert.equal(seen.slowest < 1000, true, `the bystander waited ${Math.round(seen.slowest)} ms, of ${seen.requests} requests`);
  const grown = (memory.most() - base) / kMiB;
  assert.equal(grown < mostMiB, true, `the relay grew by ${grown.toFixed(1)} MiB`);
}

/** Sends what `make(i)` makes, for i of 0 … most-1, until the relay has enough. */
async function flood(client, most, make) {
  for (let i = 0, round = 0; i < most && client.ended === null && client.goaway === null; ++round) {
    const frames = [];
    for (let size = 0; size < 16_384 && i < most; ++i) {
      frames.push(...[make(i)].flat());
      size += frames.at(-1).length;
    }
    await client.send(...frames);
    // Time to read what the relay says: Node forgets it once a write has failed.
    await sleep(Math.min(1 + 5 * round, 25));
  }
}

/** GOAWAY with that code, and the end within a second (R21). */
async function assertEnded(client, code, what) {
  await client.until(() => client.ended !== null, `the end of ${what}`);
  assert.equal(client.goaway?.code, code, `the code of ${what}; it ended by ${client.ended}`);
  assert.equal(client.endedAt - client.goaway.at < 1000, true, `${what}: the end came ${client.endedAt - client.goaway.at} ms after GOAWAY`);
  client.destroy();
}

suite('HTTP/2 floods', 'streams: 100', (box) => {
  const connect = (...list) => Http2Raw.connect(box.relay.port, list);
  const kFloods = [
    ['R22: rapid reset of whole requests', 20_000, (i) => [headers(idOf(i), kGet), reset(idOf(i))]],
    ['R22: rapid reset of requests that the upstream has', 20_000, (i) => [headers(idOf(i), kStalled), reset(idOf(i))]],
    ['R22: rapid reset of requests without an end', 20_000, (i) => [headers(idOf(i), kPost, {end: false}), reset(idOf(i))]],
    ['R22: MadeYouReset by a window that overflows', 20_000, (i) => [headers(idOf(i), kStalled), openWindow(idOf(i), 0x7fffffff)]],
    ['R22: MadeYouReset by a head that is none', 20_000, (i) => headers(idOf(i), [...kGet, ['Connection', 'close']])],
    ['R22: MadeYouReset by a body of another length', 20_000, (i) => [headers(idOf(i), [...kPost, ['content-length', '1']], {end: false}), data(idOf(i), 'xx', true)]],
    ['R22: MadeYouReset by trailers in the midst', 20_000, (i) => [headers(idOf(i), kPost, {end: false}), headers(idOf(i), [['x-a', 'b']], {end: false})]],
    ['R20: streams over the limit', 20_000, (i) => headers(idOf(i), kPost, {end: false})],
    ['R23: CONTINUATION without end', 100_000, (i) => i === 0 ? headers(1, kGet, {endHeaders: false}) : continuation(1, block([['x-a', 'b'.repeat(1000)]]))],
    ['R23: empty CONTINUATION without end', 100_000, (i) => i === 0 ? headers(1, kGet, {endHeaders: false}) : continuation(1, Buffer.alloc(0))],
    ['R23: CONTINUATION of 16 KiB each', 1000, (i) => i === 0 ? headers(1, kGet, {endHeaders: false}) : continuation(1, Buffer.alloc(16_384))],
    ['R24: SETTINGS', 100_000, () => settings([[kSetting.streams, 100]])],
    ['R24: empty SETTINGS', 100_000, () => settings()],
    ['R24: SETTINGS that move the windows of many streams', 100_000, (i) => i < 90 ? headers(idOf(i), kStalled) : settings([[kSetting.window, i % 2 ? 1 : 65_535]])],
    ['R24: acknowledgements of nothing', 100_000, () => frame(kType.ping, kFlag.ack, 0, Buffer.alloc(8))],
    ['R24: PING', 100_000, () => ping()],
    ['R24: empty DATA', 100_000, (i) => i === 0 ? headers(1, kPost, {end: false}) : data(1, '')],
    ['R24: DATA of padding alone', 100_000, (i) => i === 0 ? headers(1, kPost, {end: false}) : frame(kType.data, kFlag.padded, 1, Buffer.from([1, 0]))],
    ['R24: PRIORITY', 100_000, (i) => priority(idOf(i % 1000))],
    ['R24: PRIORITY of a stream in a ring', 100_000, (i) => priority(idOf(i % 50), idOf((i + 1) % 50))],
    ['R24: tiny WINDOW_UPDATE', 100_000, (i) => i === 0 ? headers(1, kStalled) : openWindow(i % 2, 1)],
    ['R24: frames that nobody knows', 100_000, () => frame(0x42, 0, 0, Buffer.from('?'))],
    ['R24: HEADERS of a stream that is over', 100_000, (i) => i === 0 ? headers(1, [...kGet, ['X-A', 'b']]) : headers(1, [['x-a', 'b']])],
    ['R24: RST_STREAM of a stream that is over', 100_000, (i) => i === 0 ? [headers(1, kGet), reset(1)] : reset(1)],
  ];
  for (const [what, most, make] of kFloods) {
    it(`${what} ends in ENHANCE_YOUR_CALM`, {timeout: 30_000}, () => besideOthers(box, 24, async () => {
      const client = await connect();
      await flood(client, most, make);
      await assertEnded(client, kCode.calm, what);
    }));
  }

  it('R22: from twenty connections at once', {timeout: 30_000}, () => besideOthers(box, 48, async () => {
    await Promise.all(Array.from({length: 20}, async (_, n) => {
      const client = await connect();
      await flood(client, 5000, (i) => [headers(idOf(i), n % 2 ? kGet : kStalled), reset(idOf(i))]);
      await client.until(() => client.ended !== null, `the end of connection ${n}`);
      // With so many at once some write on before they have read it.
      assert.equal(client.goaway?.code ?? kCode.calm, kCode.calm, `connection ${n}`);
      client.destroy();
    }));
  }));

  it('R22: leaves no work behind at the upstream', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const before = box.upstream.connections.length;
    const client = await connect();
    await flood(client, 90, (i) => headers(idOf(i), kStalled));
    const fresh = () => box.upstream.connections.slice(before).filter(({ended}) => ended === null);
    for (let i = 0; i < 200 && fresh().length < 90; ++i) await sleep(10);
    assert.equal(fresh().length >= 90, true, `${fresh().length} requests are with the upstream`);
    await flood(client, 90, (i) => reset(idOf(i)));
    for (let i = 0; i < 100 && fresh().length > 8; ++i) await sleep(10);
    assert.equal(fresh().length <= 8, true, `${fresh().length} connections to the upstream a second later`);
    client.destroy();
  }));

  it('R22: what a flood began reaches the upstream at most as often as resets are allowed', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    box.upstream.take();
    const client = await connect();
    await flood(client, 20_000, (i) => [headers(idOf(i), kStalled), reset(idOf(i))]);
    await assertEnded(client, kCode.calm, 'the flood');
    const requests = box.upstream.take().bytes.toString('latin1').split('/v1/files/stalled').length - 1;
    assert.equal(requests <= 130, true, `${requests} requests`);
  }));

  it('R20: streams up to the limit are served, those over it refused', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const client = await connect();
    await client.send(...Array.from({length: 130}, (_, i) => headers(idOf(i), kPost, {end: false})));
    await client.until(() => client.stream(idOf(129)).reset !== null, 'the last');
    for (let i = 0; i < 130; ++i) assert.equal(client.stream(idOf(i)).reset, i < 100 ? null : kCode.refused, `stream ${i}`);
    await client.send(...Array.from({length: 100}, (_, i) => data(idOf(i), 'hello', true)));
    for (let i = 0; i < 100; ++i) assert.equal((await client.answer(idOf(i))).status, 200, `stream ${i}`);
    client.destroy();
  }));

  it('R20: a header list that is too large is 431, also when it is small as it comes', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const client = await connect();
    const entry = kept('x-a', 'b'.repeat(3000));
    await client.send(headers(1, [...kGet, ['x-a', 'b'.repeat(10_000)]]));
    assert.equal((await client.answer(1)).status, 200);
    await client.send(headers(3, Buffer.concat([block(kGet), entry, ...Array(11).fill(kNewestKept)])));
    assert.equal((await client.answer(3)).status, 431);
    client.destroy();
  }));

  it('R20: HPACK bombs are not unfolded, and end the connection', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const client = await connect();
    const bomb = Buffer.concat([block(kGet), kept('x-a', 'b'.repeat(3900)), Buffer.alloc(12_000, kNewestKept)]);
    await client.send(headers(1, bomb));
    assert.equal((await client.answer(1)).reset, kCode.calm);
    await flood(client, 200, (i) => headers(idOf(i + 1), bomb));
    await assertEnded(client, kCode.calm, 'two hundred bombs');
  }));

  it('R23: eight CONTINUATION frames make a head, the ninth ends the connection', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const parts = (count) => [headers(1, kGet, {endHeaders: false}),
      ...Array.from({length: count}, (_, i) => continuation(1, block([[`x-${i}`, 'y']]), i === count - 1))];
    const good = await connect();
    await good.send(...parts(8));
    assert.equal((await good.answer(1)).status, 200);
    good.destroy();
    const bad = await connect();
    await bad.send(...parts(9));
    await assertEnded(bad, kCode.calm, 'nine frames');
  }));

  it('R24: PINGs whose answers nobody reads take no memory', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const client = await connect();
    client.pause();
    await client.send(...Array(1500).fill(ping()));
    await sleep(300);
    client.pause(false);
    await assertEnded(client, kCode.calm, 'the flood');
  }));

  it('R24: a client as it should be is left in peace', {timeout: 30_000}, () => besideOthers(box, 24, async () => {
    const client = await connect();
    for (let i = 0; i < 300; ++i) {
      await client.send(headers(idOf(i), kGet));
      if (i % 50 === 0) await client.send(ping(), settings([[kSetting.streams, 100]]));
      assert.equal((await client.answer(idOf(i))).status, 200, `stream ${i}`);
    }
    assert.deepEqual([client.goaway, client.ended], [null, null]);
    client.destroy();
  }));

  it('R26: each stream of a connection shows its own key', async () => {
    const client = await connect();
    const without = kGet.filter(([name]) => name !== 'x-api-key');
    await client.send(headers(1, kGet), headers(3, without), headers(5, [...without, ['x-api-key', `${kRelayKey}0`]]), headers(7, kGet));
    const statuses = [];
    for (const id of [1, 3, 5, 7]) statuses.push((await client.answer(id)).status);
    assert.deepEqual(statuses, [200, 401, 401, 200]);
    client.destroy();
  });
});

suite('HTTP/2 connection errors', '', (box) => {
  const bytes = (...list) => Buffer.from(list);
  const kErrors = [
    ['no SETTINGS first', kCode.protocol, [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), ping()], null],
    ['a frame over 16 KiB', kCode.frameSize, [headers(1, kPost, {end: false}), frame(kType.data, 0, 1, Buffer.alloc(20_000))]],
    ['a PING of seven bytes', kCode.frameSize, [frame(kType.ping, 0, 0, Buffer.alloc(7))]],
    ['a PING on a stream', kCode.protocol, [frame(kType.ping, 0, 1, Buffer.alloc(8))]],
    ['SETTINGS of five bytes', kCode.frameSize, [frame(kType.settings, 0, 0, Buffer.alloc(5))]],
    ['SETTINGS on a stream', kCode.protocol, [frame(kType.settings, 0, 1, Buffer.alloc(6))]],
    ['an acknowledgement with a payload', kCode.frameSize, [frame(kType.settings, kFlag.ack, 0, Buffer.alloc(6))]],
    ['ENABLE_PUSH of 2', kCode.protocol, [settings([[kSetting.push, 2]])]],
    ['a window of 2^31', kCode.flowControl, [settings([[kSetting.window, 0x80000000]])]],
    ['MAX_FRAME_SIZE under 16 KiB', kCode.protocol, [settings([[kSetting.frameSize, 16_383]])]],
    ['MAX_FRAME_SIZE over 16 MiB', kCode.protocol, [settings([[kSetting.frameSize, 0x1000000]])]],
    ['HEADERS on stream 0', kCode.protocol, [headers(0, kGet)]],
    ['HEADERS on an even stream', kCode.protocol, [headers(2, kGet)]],
    ['HEADERS of a stream before the last', kCode.protocol, [headers(5, kStalled), headers(3, kGet)]],
    ['HEADERS with padding longer than the frame', kCode.protocol, [frame(kType.headers, kFlag.endHeaders | kFlag.padded, 1, bytes(200, 0))]],
    ['HPACK that names no entry', kCode.compression, [headers(1, bytes(0x80 | 100))]],
    ['HPACK that is cut', kCode.compression, [headers(1, bytes(0, 5, 0x61))]],
    ['HPACK with a table over its bound', kCode.compression, [headers(1, bytes(0x3f, 0xff, 0xff, 0x03))]],
    ['HPACK whose number overflows', kCode.compression, [headers(1, bytes(0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f))]],
    ['DATA on stream 0', kCode.protocol, [data(0, 'x')]],
    ['DATA on a stream that never was', kCode.protocol, [data(1, 'x')]],
    ['DATA after the end of its stream', kCode.streamClosed, [headers(1, kStalled), data(1, 'x')]],
    ['HEADERS after the end of their stream', kCode.streamClosed, [headers(1, kStalled), headers(1, kGet)]],
    ['HEADERS of a stream that depends on itself', kCode.protocol,
      [frame(kType.headers, kFlag.endStream | kFlag.endHeaders | kFlag.priority, 1, Buffer.concat([u32(1), bytes(16), block(kGet)]))]],
    ['RST_STREAM on a stream that never was', kCode.protocol, [reset(1)]],
    ['RST_STREAM of three bytes', kCode.frameSize, [headers(1, kStalled), frame(kType.reset, 0, 1, Buffer.alloc(3))]],
    ['WINDOW_UPDATE of three bytes', kCode.frameSize, [frame(kType.window, 0, 0, Buffer.alloc(3))]],
    ['WINDOW_UPDATE by nothing', kCode.protocol, [openWindow(0, 0)]],
    ['WINDOW_UPDATE over 2^31-1', kCode.flowControl, [openWindow(0, 0x7fffffff)]],
    ['WINDOW_UPDATE on a stream that never was', kCode.protocol, [openWindow(1, 100)]],
    ['CONTINUATION after nothing', kCode.protocol, [continuation(1, block(kGet), true)]],
    ['another frame in the midst of a head', kCode.protocol, [headers(1, kGet, {endHeaders: false}), ping()]],
    ['CONTINUATION of another stream', kCode.protocol, [headers(1, kGet, {endHeaders: false}), continuation(3, block([]), true)]],
    ['PUSH_PROMISE', kCode.protocol, [headers(1, kStalled), frame(kType.push, kFlag.endHeaders, 1, Buffer.concat([u32(2), block(kGet)]))]],
    ['PRIORITY of four bytes', kCode.frameSize, [frame(kType.priority, 0, 1, Buffer.alloc(4))]],
  ];
  it('R21: each ends in its code, and the connection within a second', {timeout: 60_000}, () => besideOthers(box, 16, async () => {
    const failures = [];
    for (const [what, code, frames, list = []] of kErrors) {
      const client = await Http2Raw.connect(box.relay.port, list);
      await client.send(...frames);
      await assertEnded(client, code, what).catch((error) => failures.push(error.message));
      client.destroy();
    }
    assert.equal(failures.join('\n\n'), '');
  }));

  it('R21: what is wrong with one stream ends that stream', {timeout: 60_000}, () => besideOthers(box, 16, async () => {
    const kErrors = [
      ['DATA over its window', kCode.flowControl, (id) => [headers(id, kPost, {end: false}), ...Array(5).fill(data(id, Buffer.alloc(16_384)))]],
      ['a window over 2^31-1', kCode.flowControl, (id) => [headers(id, kStalled), openWindow(id, 0x7fffffff)]],
      ['a head that is none', kCode.protocol, (id) => headers(id, [...kGet, ['X-A', 'b']])],
      ['a body of another length', kCode.protocol, (id) => [headers(id, [...kPost, ['content-length', '9']], {end: false}), data(id, 'x', true)]],
    ];
    const client = await Http2Raw.connect(box.relay.port);
    for (const [i, [what, code, make]] of kErrors.entries()) {
      const [bad, good] = [idOf(2 * i), idOf(2 * i + 1)];
      await client.send(...[make(bad)].flat());
      assert.equal((await client.answer(bad, what)).reset, code, what);
      await client.send(headers(good, kGet));
      assert.equal((await client.answer(good)).status, 200, `after ${what}`);
    }
    assert.deepEqual([client.goaway, client.ended], [null, null]);
    client.destroy();
  }));
});

suite('HTTP/2 clients that are slow', 'header-timeout: 2s, write-stall: 2s, idle-timeout: 3s, body-idle: 1s, body-timeout: 3s', (box) => {
  const kBigGet = fieldsOf('GET', '/api/v1/files/big');

  /** How long until the connection ends, in ms. */
  async function lifeOf(client, what) {
    const begin = performance.now();
    await client.until(() => client.ended !== null, `the end of ${what}`, 8000);
    client.destroy();
    return client.endedAt - begin;
  }
  const assertBetween = (ms, least, most, what) => assert.equal(ms >= least && ms <= most, true, `${what}: ${Math.round(ms)} ms`);

  it('R30: half a header block has its time in total, though it drips and other streams run', {timeout: 30_000}, () => besideOthers(box, 16, async () => {
    const half = headers(3, kGet, {endHeaders: false});
    const kSlow = {
      'a block whose last frame is missing': [[headers(1, kStalled), half]],
      'a block that drips byte by byte': [...half].map((byte) => [Buffer.from([byte])]),
      'empty frames that go on and on': [[half], ...Array(7).fill([continuation(3, Buffer.alloc(0))])],
    };
    await Promise.all(Object.entries(kSlow).map(async ([what, pieces]) => {
      const client = await Http2Raw.connect(box.relay.port);
      const life = lifeOf(client, what);
      for (const piece of pieces) {
        if (client.ended !== null) break;
        await client.send(...piece);
        await sleep(150);
      }
      assertBetween(await life, 1800, 3500, what);
      assert.equal(client.goaway?.code, kCode.none, `${what}: the code`);
    }));
  }));

  it('R30: who says nothing at all is let go', {timeout: 30_000}, () => besideOthers(box, 16, async () => {
    const silent = await Http2Raw.connect(box.relay.port, null);
    assertBetween(await lifeOf(silent, 'a client without a word'), 1500, 3500, 'no word');
    const half = await Http2Raw.connect(box.relay.port, null);
    await half.send(Buffer.from('PRI * HTTP/2.0\r\n\r'));
    assertBetween(await lifeOf(half, 'half a preface'), 1500, 3500, 'half a preface');
    const idle = await Http2Raw.connect(box.relay.port);
    await idle.send(headers(1, kGet));
    await idle.answer(1);
    assertBetween(await lifeOf(idle, 'an idle client'), 2500, 4500, 'idle');
    assert.equal(idle.goaway.code, kCode.none);
  }));

  it('R30: a body that stops is 408, and the connection goes on', {timeout: 30_000}, () => besideOthers(box, 16, async () => {
    const client = await Http2Raw.connect(box.relay.port);
    await client.send(headers(1, kPost, {end: false}), data(1, 'hel'));
    const begin = performance.now();
    assert.equal((await client.answer(1)).status, 408);
    assertBetween(performance.now() - begin, 800, 2500, 'the answer');
    await client.send(headers(3, kGet));
    assert.equal((await client.answer(3)).status, 200);
    client.destroy();
  }));

  it('R30: a body that drips has its time in total', {timeout: 30_000}, () => besideOthers(box, 16, async () => {
    const client = await Http2Raw.connect(box.relay.port);
    await client.send(headers(1, kPost, {end: false}));
    const begin = performance.now();
    const answered = client.answer(1);
    for (let i = 0; i < 20 && client.stream(1).status === null; ++i) {
      await client.send(data(1, 'x'));
      await sleep(250);
    }
    assert.equal((await answered).status, 408);
    assertBetween(performance.now() - begin, 2500, 4500, 'the answer');
    client.destroy();
  }));

  it('R31: a hundred answers whose windows stay closed take no memory, and are given up', {timeout: 30_000}, () => besideOthers(box, 100 * 0.35, async () => {
    const client = await Http2Raw.connect(box.relay.port, [[kSetting.window, 0]]);
    await client.send(...Array.from({length: 100}, (_, i) => headers(idOf(i), kBigGet)));
    await client.until(() => Array.from({length: 100}, (_, i) => client.stream(idOf(i))).every(({reset: code}) => code !== null), 'all are reset');
    await client.send(headers(idOf(100), kGet), openWindow(idOf(100), 100));
    assert.equal((await client.answer(idOf(100))).status, 200, 'the connection goes on');
    client.destroy();
  }));

  it('R31: a window that opens by one byte a time brings no more than it lets through', {timeout: 30_000}, () => besideOthers(box, 16, async () => {
    const client = await Http2Raw.connect(box.relay.port, [[kSetting.window, 1]]);
    await client.send(headers(1, kBigGet));
    for (let i = 0; i < 500 && client.ended === null; ++i) {
      await client.send(openWindow(1, 1));
      await sleep(1);
    }
    assert.equal(client.stream(1).bytes <= 501, true, `${client.stream(1).bytes} bytes`);
    client.destroy();
  }));

  it('R31: output that nobody reads takes no memory, and ends the connection', {timeout: 30_000}, () => besideOthers(box, 100 * 0.35, async () => {
    const client = await Http2Raw.connect(box.relay.port, [[kSetting.window, 0x7fffffff]]);
    await client.send(openWindow(0, 0x7fff0000 - 65_535), ...Array.from({length: 100}, (_, i) => headers(idOf(i), kBigGet)));
    client.pause();
    const before = box.upstream.connections.filter(({ended}) => ended === null).length;
    await sleep(4000);
    const left = box.upstream.connections.filter(({ended}) => ended === null).length;
    assert.equal(left < Math.max(before / 2, 10), true, `${left} of ${before} requests are still with the upstream`);
    client.pause(false);
    await client.until(() => client.ended !== null, 'the end');
    client.destroy();
  }));

  it('R32: a stream that its client resets is cancelled at the upstream within a second', {timeout: 30_000}, () => besideOthers(box, 16, async () => {
    const client = await Http2Raw.connect(box.relay.port);
    const asked = () => box.upstream.connections.filter(({stalled, ended}) => stalled && ended === null).length;
    const before = asked();
    await client.send(headers(1, kStalled));
    for (let i = 0; i < 100 && asked() === before; ++i) await sleep(10);
    assert.equal(asked(), before + 1);
    await client.send(reset(1));
    for (let i = 0; i < 100 && asked() > before; ++i) await sleep(10);
    assert.equal(asked(), before, 'the upstream still waits');
    client.destroy();
  }));
});
