// SPDX-License-Identifier: MIT
//
// What a client of HTTP/1 may take of the relay's time and memory, and what it gets when that is used up;
// what an end of the relay looks like from outside; and bodies that are no JSON. HTTP/2 has its own tests.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {json, kDialects} from './lib/asking.mjs';
import {headers, Http2Raw} from './lib/http2_raw.mjs';
import {startRecorder} from './lib/recorder.mjs';
import {kRelayKey, startRelay} from './lib/relay.mjs';
import {sleep, until} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';
import {ask1, Http1, request1, within} from './lib/wire.mjs';

const kMiB = 1 << 20;
const kKey = {'x-api-key': kRelayKey};
const assertBetween = (ms, least, most, what) => assert.equal(ms >= least && ms <= most, true, `${what}: ${Math.round(ms)} ms`);
const memoryOf = (pid) => Number(/^Rss:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) * 1024;
/** Seconds of processor time that a process has used. */
const cpuOf = (pid) => {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

function suite(title, settings, tests) {
  describe(title, {skip: kStraightOnly}, () => {
    const box = {};
    before(async () => {
      box.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-limits-'));
      box.upstream = await startRecorder();
      box.relay = await startRelay({folder: box.folder, upstream: box.upstream.url, claude: ['key'], gemini: ['key'], passthrough: '/v1/files', ...settings});
      box.connect = () => Http1.connect(box.relay.port);
      /** Connections to the upstream that wait for an answer. */
      box.stalled = () => box.upstream.connections.filter(({stalled, ended}) => stalled && ended === null).length;
      box.upstream.answer = ({target}, connection) => {
        connection.stalled = target.endsWith('/stalled');
        return connection.stalled ? null : Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
      };
    });
    after(async () => {
      if (box.relay?.child.exitCode === null) {
        const ended = await box.relay.stop();
        assert.deepEqual(ended, {code: 0, signal: null}, box.relay.log().slice(-2000));
      }
      box.upstream?.stop();
      fs.rmSync(box.folder, {recursive: true, force: true});
    });
    tests(box);
  });
}

suite('time of a client of HTTP/1', {limits: 'header-timeout: 2s, body-timeout: 3s, body-idle: 1s, write-stall: 2s, idle-timeout: 2s'}, (box) => {
  /** Sends pieces until the connection ends: {ms, text}. */
  async function lifeOf(pieces, every) {
    const client = await box.connect();
    const begin = performance.now();
    const sending = (async () => {
      for (const piece of pieces) {
        if (client.ended !== null) break;
        await client.send(piece);
        await sleep(every);
      }
    })();
    await client.end('its end', 10_000);
    const ms = performance.now() - begin;
    await sending;
    client.destroy();
    return {ms, text: client.held.toString('latin1')};
  }
  const drip = (text) => [...text].map((letter) => Buffer.from(letter));

  it('R30: a head has its time in total, not by the byte, and then is 408', {timeout: 30_000}, async () => {
    const kHeads = {
      'a request line that drips': drip(`GET /${'x'.repeat(100)} HTTP/1.1\r\n`),
      'fields that drip': [Buffer.from('GET /health HTTP/1.1\r\nHost: a\r\n'), ...Array(50).fill(Buffer.from('X: y\r\n'))],
      'half a head': [Buffer.from('GET /health HTTP/1.1\r\nHo')],
      'the second of two requests': [request1('GET', '/health'), Buffer.from('GET /health HTTP/1.1\r\n')],
    };
    await Promise.all(Object.entries(kHeads).map(async ([what, pieces]) => {
      const {ms, text} = await lifeOf(pieces, 120);
      assertBetween(ms, 1800, 4000, what);
      const last = text.slice(text.lastIndexOf('HTTP/1.1 '));
      assert.match(last, /^HTTP\/1\.1 408 .*\r\nconnection: close\r\n/is, what);
      assert.match(last, /did not come in time/, what);
    }));
  });

  it('R30: who says nothing, or nothing more, is let go without a word', {timeout: 30_000}, async () => {
    await Promise.all([[], [Buffer.from('\r\n')], [request1('GET', '/health')]].map(async (pieces, i) => {
      const {ms, text} = await lifeOf(pieces, 10);
      assertBetween(ms, 1500, 4000, `${i}`);
      assert.equal(text.split('HTTP/1.1 ').length - 1, pieces.length && i === 2 ? 1 : 0, text);
    }));
  });

  for (const [service, {unstreamed, headers: fields, isErrorBody}] of Object.entries(kDialects)) {
    it(`R30: a body that stops, and one that drips, are 408 in ${service}'s dialect`, {timeout: 30_000}, async () => {
      await Promise.all([[1000, 800, 2500], [300, 2500, 4500]].map(async ([every, least, most]) => {
        const client = await box.connect();
        const begin = performance.now();
        client.send(request1('POST', unstreamed.target, {...fields, 'Content-Length': '100'}));
        const dripping = (async () => {
          for (let i = 0; i < 90 && client.ended === null && every < 1000; ++i) {
            await client.send('x');
            await sleep(every);
          }
        })();
        const answer = await client.response('POST');
        assertBetween(performance.now() - begin, least, most, `a byte each ${every} ms`);
        assert.deepEqual([answer.status, isErrorBody(json(answer))], [408, true], `${answer.body}`);
        client.destroy();
        await dripping;
      }));
      assert.equal(box.upstream.take().bytes.toString(), '');
    });
  }

  it('R30: a client that takes nothing of its answer is given up, and the upstream with it', {timeout: 30_000}, async () => {
    let upstreams = 0;
    box.upstream.answer = (request, {socket}) => {
      ++upstreams;
      socket.once('close', () => --upstreams);
      return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * kMiB}\r\n\r\n`), Buffer.alloc(64 * kMiB)]);
    };
    const client = await box.connect();
    client.send(request1('GET', '/api/v1/files/a', kKey));
    await client.until(() => client.held.length > 0, 'the head');
    client.socket.pause();
    assert.equal(upstreams, 1);
    await until(() => upstreams === 0, 'the upstream is still being read', 6000);
    client.destroy();
  });

  it('R6: a refused client that goes on sending sees the answer before the end', {timeout: 30_000}, async () => {
    for (let round = 0; round < 10; ++round) {
      const client = await box.connect();
      client.send(request1('POST', '/api/v1/messages', {'x-api-key': 'cr_nobody', 'Content-Length': String(30 * kMiB)}));
      for (let i = 0; i < 8; ++i) await client.send(Buffer.alloc(4096));
      const answer = await client.response('POST');
      assert.deepEqual([answer.status, answer.whole, answer.headers.connection], [401, true, 'close']);
      await client.end('the end', 3000);
      client.destroy();
    }
  });
});

describe('a handshake', {skip: kStraightOnly}, () => {
  it('R30: has its time', {timeout: 20_000}, async () => {
    const world = await openWorld({front: true, limits: 'handshake-timeout: 1s'});
    try {
      for (const first of [[], [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]]) {
        const client = await Http1.connect(world.relay.tlsPort);
        const begin = performance.now();
        if (first.length > 0) await client.send(Buffer.from(first));
        await client.end('the end', 5000);
        assertBetween(performance.now() - begin, 700, 3000, `after ${first.length} bytes`);
        client.destroy();
      }
    } finally {
      await world.close();
    }
  });
});

suite('an event', {}, (box) => {
  it('R33: passes within 20 ms of its arrival, unchanged', {timeout: 30_000}, async () => {
    const events = Array.from({length: 100}, (_, i) => `event: content_block_delta\ndata: {"n":${i},"text":"${'é'.repeat(i)}"}\n\n`);
    const sentAt = [];
    box.upstream.answer = (request, {socket}) => {
      (async () => {
        await sleep(1);  // the head goes first
        for (const event of events) {
          sentAt.push(performance.now());
          socket.write(event);
          await sleep(10);
        }
        socket.end('event: message_stop\ndata: {"type":"message_stop"}\n\n');
      })();
      return Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n');
    };
    const {target, headers: fields, body} = kDialects.claude;
    const client = await box.connect();
    client.send(request1('POST', target, fields, JSON.stringify(body)));
    const cameAt = [];
    await client.until(() => {
      const text = client.soFar('POST')?.body.toString() ?? '';
      while (cameAt.length < events.length && text.includes(`{"n":${cameAt.length},`)) cameAt.push(performance.now());
      return text.includes('message_stop"}\n\n');
    }, 'the whole stream');
    const answer = await client.response('POST');
    assert.equal(answer.body.toString(), `${events.join('')}event: message_stop\ndata: {"type":"message_stop"}\n\n`);
    const late = cameAt.map((at, i) => at - sentAt[i]).sort((a, b) => a - b);
    // The machine may be busy for a moment; Nagle's wait of 40 ms would show in most of them.
    assert.equal(late[Math.floor(late.length * 0.9)] < 20, true, `ms: ${late.map(Math.round)}`);
    client.destroy();
  });
});

suite('memory', {limits: 'connections: 20000, idle-timeout: 120s', workers: 1}, (box) => {
  it('R31: fifty clients that stop reading hold at most 320 KiB each', {timeout: 60_000}, async () => {
    const big = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${8 * kMiB}\r\n\r\n`), Buffer.alloc(8 * kMiB)]);
    box.upstream.answer = ({target}) => target.endsWith('/big') ? big : Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
    const stall = async (count) => {
      const clients = await Promise.all(Array.from({length: count}, async () => {
        const client = await box.connect();
        client.send(request1('GET', '/api/v1/files/big', kKey));
        await client.until(() => client.held.length > 0, 'the head');
        client.socket.pause();
        return client;
      }));
      await sleep(1500);
      return () => clients.forEach((client) => client.destroy());
    };
    (await stall(5))();
    await sleep(300);
    const base = memoryOf(box.relay.pid);
    const release = await stall(50);
    const each = (memoryOf(box.relay.pid) - base) / 50;
    release();
    assert.equal(each < 320 * 1024, true, `${Math.round(each / 1024)} KiB each`);
    assert.equal((await ask1(box.relay.port, 'GET', '/api/v1/files/a', {headers: kKey})).status, 200);
  });

  it('R34: ten thousand idle connections hold under 20 KiB each', {timeout: 120_000}, async () => {
    const kHealth = [[':method', 'GET'], [':scheme', 'http'], [':authority', 'a'], [':path', '/health']];
    const kKinds = {
      'HTTP/1.1': async () => {
        const client = await box.connect();
        client.send(request1('GET', '/health'));
        await client.response();
        return client;
      },
      'HTTP/2': async () => {
        const client = await Http2Raw.connect(box.relay.port);
        await client.send(headers(1, kHealth));
        await client.answer(1);
        return client;
      },
    };
    for (const [kind, open] of Object.entries(kKinds)) {
      const clients = [await open()];
      const base = memoryOf(box.relay.pid);
      while (clients.length < 5000) clients.push(...await Promise.all(Array.from({length: 250}, open)));
      const each = (memoryOf(box.relay.pid) - base) / clients.length;
      assert.equal(each < 20 * 1024, true, `${kind}: ${(each / 1024).toFixed(1)} KiB each`);
      assert.equal(clients.every(({ended}) => ended === null), true, `${kind}: all are open`);
      for (const client of clients) client.destroy();
    }
  });
});

describe('descriptors', {skip: kStraightOnly}, () => {
  it('R34: when there are none, accepting waits without spinning, and recovers', {timeout: 60_000}, async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-descriptors-'));
    const upstream = await startRecorder();
    const relay = await startRelay({folder, upstream: upstream.url, claude: ['key'], gemini: ['key'], workers: 1,
      by: ['/bin/sh', '-c', 'ulimit -n 64 && exec "$@"', 'relay']});
    const clients = [];
    try {
      const first = await Http1.connect(relay.port);
      for (let i = 0; i < 120; ++i) {
        const socket = net.connect({port: relay.port, host: '127.0.0.1'});
        socket.on('error', () => {});
        clients.push(socket);
      }
      await sleep(500);
      const before = cpuOf(relay.pid);
      await sleep(1000);
      assert.equal(cpuOf(relay.pid) - before < 0.2, true, `${cpuOf(relay.pid) - before} s of processor time in one second`);
      first.send(request1('GET', '/health'));
      assert.equal((await first.response()).status, 200, 'who is in is served');
      for (const socket of clients) socket.destroy();
      assert.equal((await within(2000, ask1(relay.port, 'GET', '/health'), 'a new client')).status, 200);
      first.destroy();
    } finally {
      for (const socket of clients) socket.destroy();
      assert.deepEqual(await relay.stop(), {code: 0, signal: null}, relay.log().slice(-2000));
      upstream.stop();
      fs.rmSync(folder, {recursive: true, force: true});
    }
  });
});

suite('a client that is gone', {keyLimits: 'concurrency: 1'}, (box) => {
  const kLeaves = {'with FIN': (client) => client.socket.end(), 'with RST': (client) => client.reset()};
  for (const [how, leave] of Object.entries(kLeaves)) {
    it(`R32: ${how} frees the upstream and its place within a second`, {timeout: 20_000}, async () => {
      const client = await box.connect();
      client.send(request1('GET', '/api/v1/files/stalled', kKey));
      await until(() => box.stalled() === 1, 'the upstream has it', 5000);
      leave(client);
      await until(() => box.stalled() === 0, 'the upstream still waits', 1000);
      const next = await ask1(box.relay.port, 'GET', '/api/v1/files/a', {headers: kKey});
      assert.equal(next.status, 200, 'the only place is free again');
    });
  }
});

suite('draining', {}, (box) => {
  it('R39: a request that crosses SIGTERM on an idle connection is answered as the last one', {timeout: 20_000}, async () => {
    const [idle, used] = [await box.connect(), await box.connect()];
    for (const client of [idle, used]) {
      client.send(request1('GET', '/health'));
      assert.equal((await client.response()).headers.connection, undefined);
    }
    box.relay.child.kill('SIGTERM');
    // The ports close first.
    for (let open = true; open;) {
      const another = await Http1.connect(box.relay.port).catch(() => null);
      another?.destroy();
      open = another !== null;
    }
    used.send(Buffer.concat([request1('GET', '/health'), request1('GET', '/health')]));
    const begin = performance.now();
    const answer = await used.response();
    assert.deepEqual([answer.status, json(answer).status, answer.headers.connection], [200, 'draining', 'close']);
    await used.end('the used one');
    assert.equal(used.held.length, 0, 'only one is answered');
    await idle.end('the idle one');
    assertBetween(performance.now() - begin, 0, 1500, 'the end of the idle one');
    assert.deepEqual(await within(5000, box.relay.child.ended, 'the end'), {code: 0, signal: null});
  });
});

suite('bodies that are no JSON', {}, (box) => {
  const kRest = '"max_tokens":1,"messages":[{"role":"user","content":"hi"}]';
  const deep = (depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  const kBad = {
    'nothing': '',
    'no object': '[]',
    'a field twice': `{"model":"claude-a","model":"claude-b",${kRest}}`,
    'a field twice, once in escapes': `{"model":"claude-a","\\u006dodel":"claude-b",${kRest}}`,
    'a field twice, far apart': `{"stream":false,${kRest},"stream":true}`,
    'bytes behind it': `{"model":"claude-a",${kRest}}x`,
    'another text behind it': `{"model":"claude-a",${kRest}}{"model":"claude-b"}`,
    'a byte order mark': `\xef\xbb\xbf{"model":"claude-a",${kRest}}`,
    'a NUL behind it': `{"model":"claude-a",${kRest}}\0`,
    'a cut text': `{"model":"claude-a",${kRest}`,
    'a depth of 65': `{"model":"claude-a",${kRest},"x":${deep(64)}}`,
    'a depth of 100,000': `{"model":"claude-a",${kRest},"x":${deep(100_000)}}`,
    'overlong UTF-8': `{"model":"claude-a\xc0\xaf",${kRest}}`,
    'a surrogate in UTF-8': `{"model":"claude-a\xed\xa0\x80",${kRest}}`,
    'UTF-8 beyond Unicode': `{"model":"claude-a\xf4\x90\x80\x80",${kRest}}`,
    'UTF-8 that is cut': `{"model":"claude-a\xe4",${kRest}}`,
    'a control byte in a string': `{"model":"claude-a\n",${kRest}}`,
    'a comment': `{"model":"claude-a",/* */${kRest}}`,
    'a comma too many': `{"model":"claude-a",${kRest},}`,
    'a number with a plus': `{"model":"claude-a",${kRest},"temperature":+1}`,
    'NaN': `{"model":"claude-a",${kRest},"temperature":NaN}`,
    'UTF-16': Buffer.from(`{"model":"claude-a",${kRest}}`, 'utf16le').toString('latin1'),
  };
  for (const [service, {unstreamed, headers: fields, isErrorBody}] of Object.entries(kDialects)) {
    it(`R41: are 400 in ${service}'s dialect, and nothing of them goes upstream`, async () => {
      for (const [what, body] of Object.entries(kBad)) {
        const answer = await ask1(box.relay.port, 'POST', unstreamed.target, {headers: fields, body: Buffer.from(body, 'latin1')});
        assert.deepEqual([answer.status, isErrorBody(json(answer))], [400, true], `${what}: ${answer.body}`);
      }
      assert.equal(box.upstream.take().bytes.toString(), '');
    });
  }

  it('R41: and what is odd but JSON passes as it came', async () => {
    const body = `\n {"model":"claude-\\u0061", "x":${deep(62)},${kRest},"n":[1.0e+5,-0,123456789012345678901234567890],"é":"\\ud83d\\ude00"}\r\n\t`;
    const answer = await ask1(box.relay.port, 'POST', '/api/v1/messages', {headers: kDialects.claude.headers, body: Buffer.from(body)});
    assert.equal(answer.status, 200, `${answer.body}`);
    assert.equal(box.upstream.take().bytes.toString().endsWith(`\r\n\r\n${body}`), true);
  });
});
