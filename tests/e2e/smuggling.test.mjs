// SPDX-License-Identifier: MIT
//
// One request in is never two out, and one answer never two: messages that two readers could read in two
// ways, sent raw to the relay and judged by every byte that reached an upstream, and by what came back.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {bytesOf, readCorpus} from './lib/corpus.mjs';
import {startRecorder} from './lib/recorder.mjs';
import {kAccounts, kRelayKey, startRelay} from './lib/relay.mjs';
import {assertNothingSecretIn, kStraightOnly} from './lib/ways.mjs';
import {block, data, headers, Http2Raw} from './lib/http2_raw.mjs';
import {sleep} from './lib/waiting.mjs';
import {Http1, request1} from './lib/wire.mjs';

const kRest = `Host: relay.test\\r\\nx-api-key: ${kRelayKey}\\r\\n`;
const kNext = `GET /api/v1/files/next HTTP/1.1\\r\\n${kRest}\\r\\n`;
const kNextSize = bytesOf(kNext, {}).length;

/** The words of the corpus, for an upstream of that port. */
const wordsFor = (port) => ({
  key: kRelayKey,
  rest: kRest,
  post: 'POST /api/v1/files HTTP/1.1\\r\\n{rest}',
  get: 'GET /api/v1/files/a HTTP/1.1\\r\\n{rest}',
  next: kNext,
  'next-size': String(kNextSize),
  'next-hex': kNextSize.toString(16),
  up: ` HTTP/1.1\\r\\nHost: 127.0.0.1:${port}\\r\\n`,
  own: `accept-encoding: identity\\r\\nx-api-key: ${kAccounts.claude.key.value}\\r\\n`,
  'sent-hello': 'POST /v1/files{up}{own}Content-Length: 5\\r\\n\\r\\nhello',
  'sent-get': 'GET /v1/files/a{up}{own}\\r\\n',
  'sent-next': 'GET /v1/files/next{up}{own}\\r\\n',
});

/** How the bytes of a message come: the pieces that are written one after another. */
const kCuts = {
  'in one piece': (bytes) => [bytes],
  'line by line': (bytes) => bytes.toString('latin1').split(/(?<=\n)/).map((line) => Buffer.from(line, 'latin1')),
  // Of long ones the middle is of one kind: only their ends are taken apart.
  'byte by byte': (bytes) => (bytes.length < 2000 ? [...bytes].map((byte) => Buffer.from([byte]))
    : [bytes.subarray(0, 400), bytes.subarray(400, -400), ...[...bytes.subarray(-400)].map((byte) => Buffer.from([byte]))]),
};

function suite(title, settings, tests) {
  describe(title, {skip: kStraightOnly}, () => {
    const box = {};
    before(async () => {
      box.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-smuggling-'));
      box.upstream = await startRecorder();
      box.relay = await startRelay({folder: box.folder, upstream: box.upstream.url, claude: ['key'], gemini: ['key'], workers: 1,
        passthrough: '/v1/files', limits: 'body-bytes: 80KiB', ...settings});
      box.barrier = await Http1.connect(box.relay.port);
    });
    after(async () => {
      box.barrier?.destroy();
      const ended = await box.relay?.stop();
      box.upstream?.stop();
      fs.rmSync(box.folder, {recursive: true, force: true});
      assert.deepEqual(ended, {code: 0, signal: null}, box.relay.log());
      assertNothingSecretIn(box.relay.log());
    });
    tests(box);
  });
}

/** What reached the upstream until now: the relay's one worker has done all that came before an answer of it. */
async function reached({relay, upstream, barrier}) {
  barrier.send(request1('GET', '/api/v1/files/barrier', {'x-api-key': kRelayKey}));
  assert.equal((await barrier.response()).status, 200, 'the relay goes on');
  const {bytes, nonsense} = upstream.take();
  assert.deepEqual(nonsense, [], 'the upstream could not read it');
  const last = bytesOf('GET /v1/files/barrier{up}{own}\\r\\n', wordsFor(upstream.port));
  assert.equal(bytes.subarray(-last.length).equals(last), true, `the barrier is not the last: ${bytes.toString('latin1')}`);
  assert.equal(relay.child.exitCode, null);
  return bytes.subarray(0, -last.length).toString('latin1');
}

suite('smuggling: requests by HTTP/1.1', {}, (box) => {
  const kCorpus = readCorpus(new URL('smuggling.txt', import.meta.url));

  async function judge({requirement, name, verdict, lines}, cut) {
    const words = wordsFor(box.upstream.port);
    const text = (mark) => lines.filter((line) => line.mark === mark).map((line) => line.text).join('');
    const what = `${requirement} ${name}`;
    const [statuses, end] = verdict.split('/');
    const client = await Http1.connect(box.relay.port);
    for (const piece of cut(bytesOf(text(''), words))) {
      if (client.ended !== null) break;
      await client.send(piece);
    }
    const got = [];
    while (got.length < statuses.split(',').length) got.push((await client.response('GET')).status);
    assert.equal(got.join(), statuses, what);
    if (end === 'close') await client.end(what, 3000);
    const sent = await reached(box);
    assert.equal(client.ended !== null, end === 'close', `${what}: ${client.ended}`);
    assert.equal(client.held.toString('latin1'), '', `${what}: more came than the answers`);
    client.destroy();
    assert.equal(sent, bytesOf(text('>'), words).toString('latin1'), what);
  }

  it('are at least 150', () => {
    assert.equal(kCorpus.length >= 150, true, `${kCorpus.length}`);
    assert.equal(new Set(kCorpus.map(({name}) => name)).size, kCorpus.length, 'a name is there twice');
  });

  for (const [how, cut] of Object.entries(kCuts)) {
    for (const requirement of new Set(kCorpus.map((one) => one.requirement))) {
      it(`${requirement} is kept when they come ${how}`, {timeout: 60_000}, async () => {
        const failures = [];
        for (const one of kCorpus.filter((each) => each.requirement === requirement)) {
          box.upstream.take();
          await judge(one, cut).catch((error) => failures.push(error.message));
        }
        assert.equal(failures.join('\n\n'), '');
      });
    }
  }
});

suite('smuggling: bodies that come after their answers', {}, (box) => {
  const kNobody = 'POST /api/v1/files HTTP/1.1\r\nHost: a\r\nx-api-key: cr_nobody\r\n';
  const kSmuggled = bytesOf(kNext, {});

  it('R6: a pause before the body makes no request of it', async () => {
    const client = await Http1.connect(box.relay.port);
    client.send(`${kNobody}Content-Length: ${kSmuggled.length}\r\n\r\n`);
    assert.equal((await client.response('POST')).status, 401);
    for (const half of [kSmuggled.subarray(0, 30), kSmuggled.subarray(30)]) {
      await client.send(half);
      assert.equal(await reached(box), '');
    }
    client.send(request1('GET', '/health'));
    assert.equal((await client.response()).headers['content-type'], 'application/json', 'what follows is answered by itself');
    client.destroy();
  });

  it('R10: a body that was expected to wait, and is sent all the same, is no request', async () => {
    const client = await Http1.connect(box.relay.port);
    client.send(`${kNobody}Expect: 100-continue\r\nContent-Length: ${kSmuggled.length}\r\n\r\n`);
    const answer = await client.response('POST');
    assert.deepEqual([answer.status, answer.interim, answer.headers.connection], [401, [], 'close']);
    await client.send(kSmuggled);
    await client.end();
    assert.equal(client.held.length, 0);
    assert.equal(await reached(box), '');
  });

  it('R7: what follows a refused head later is no request', async () => {
    const client = await Http1.connect(box.relay.port);
    client.send('GET /api/v1/files/a HTTP/1.1\r\nHost : a\r\n\r\n');
    assert.equal((await client.response()).status, 400);
    await client.send(kSmuggled);
    await client.end();
    assert.equal(client.held.length, 0);
    assert.equal(await reached(box), '');
  });
});

suite('smuggling: requests by HTTP/2', {}, (box) => {
  const kCorpus = readCorpus(new URL('smuggling_http2.txt', import.meta.url));
  const fieldOf = (line) => {
    const [, name, value] = /^(:[a-z]+|.*?):(?: (.*))?$/s.exec(line);
    return [name, value ?? ''].map((text) => bytesOf(text, {}).toString('latin1'));
  };

  async function judge({requirement, name, verdict, lines}) {
    const pseudo = (method, target) => `:method: ${method}\n:scheme: http\n:authority: relay.test\n:path: ${target}\nx-api-key: ${kRelayKey}`;
    const words = wordsFor(box.upstream.port);
    const fields = (mark) => lines.filter((line) => line.mark === mark)
      .flatMap(({text}) => ({'{get}': pseudo('GET', '/api/v1/files/a'), '{post}': pseudo('POST', '/api/v1/files')})[text]?.split('\n') ?? [text])
      .map((line) => fieldOf(line.replaceAll('{key}', kRelayKey).replaceAll('{next}', kNext)));
    const [head, trailers] = [fields(''), fields('=')];
    const bodies = lines.filter(({mark}) => mark === '+').map(({text}) => bytesOf(text, words));
    const client = await Http2Raw.connect(box.relay.port);
    await client.send(headers(1, block(head), {end: bodies.length === 0}),
      ...bodies.map((body, i) => data(1, body, i === bodies.length - 1 && trailers.length === 0)),
      ...(trailers.length > 0 ? [headers(1, block(trailers))] : []));
    const what = `${requirement} ${name}`;
    const {status, reset} = await client.answer(1, what);
    assert.equal(status ?? `reset-${reset}`, /^\d/.test(verdict) ? Number(verdict) : verdict, what);
    const sent = await reached(box);
    assert.equal(sent, bytesOf(lines.filter(({mark}) => mark === '>').map(({text}) => text).join(''), words).toString('latin1'), what);
    // The stream is over, the connection is not: what follows is answered by itself.
    await client.send(headers(3, fieldsOf(pseudo('GET', '/health'))));
    assert.equal((await client.answer(3, `${what}: the next`)).status, 200, what);
    client.destroy();
  }
  const fieldsOf = (text) => text.split('\n').map(fieldOf);

  it('are at least 80', () => assert.equal(kCorpus.length >= 80, true, `${kCorpus.length}`));

  for (const requirement of new Set(kCorpus.map((one) => one.requirement))) {
    it(`${requirement} is kept`, {timeout: 60_000}, async () => {
      const failures = [];
      for (const one of kCorpus.filter((each) => each.requirement === requirement)) {
        box.upstream.take();
        await judge(one).catch((error) => failures.push(error.message));
      }
      assert.equal(failures.join('\n\n'), '');
    });
  }
});

suite('smuggling: answers by HTTP/1.1', {}, (box) => {
  const kCorpus = readCorpus(new URL('smuggling_answers.txt', import.meta.url));
  const kWords = {
    ok: 'HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n',
    next: 'HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 10\\r\\n\\r\\n"poisoned"',
  };
  const echo = ({target}) => Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`);

  /** An ordinary request, which gets an answer that nobody else can have got. */
  let asked = 0;
  async function askAnother(what) {
    const target = `/v1/files/another-${++asked}`;
    const client = await Http1.connect(box.relay.port);
    client.send(request1('GET', `/api${target}`, {'x-api-key': kRelayKey}));
    const answer = await client.response();
    client.destroy();
    assert.equal(`${answer.status} ${answer.body}`, `200 ${target}`, `${what}: the next client gets its own answer`);
  }

  async function judge({requirement, name, verdict, lines}) {
    const what = `${requirement} ${name}`;
    const texts = (mark) => lines.filter((line) => line.mark === mark).map(({text}) => text);
    const told = texts('=');
    const bytes = bytesOf(texts('').join(''), kWords);
    const later = told.filter((text) => text.startsWith('later ')).map((text) => bytesOf(text.slice(6), kWords));
    const used = new Map();  // connections, by how many requests they had taken then
    box.upstream.answer = (request, connection) => {
      if (!request.target.endsWith('/judged')) return echo(request);
      assert.equal(used.has(connection), false, `${what}: asked twice on a connection`);
      used.set(connection, connection.requests);
      if (bytes.length > 0) connection.socket.write(bytes);
      if (told.includes('end')) connection.socket.end();
      return null;
    };
    await askAnother(what);
    const method = told.includes('head') ? 'HEAD' : 'GET';
    const client = await Http1.connect(box.relay.port);
    client.send(request1(method, '/api/v1/files/judged', {'x-api-key': kRelayKey}));
    const answer = await client.response(method);
    assert.equal(answer.status === 200 && !answer.whole ? 'cut' : answer.status, Number(verdict) || verdict, what);
    if (texts('>').length > 0) assert.equal(answer.body.toString('latin1'), bytesOf(texts('>').join(''), kWords).toString('latin1'), what);
    if (verdict === '502') assert.equal(JSON.parse(answer.body).type, 'error', what);
    for (const piece of later) for (const {socket} of used.keys()) socket.write(piece);
    if (later.length > 0) await untilEnded([...used.keys()], what);
    for (let i = 0; i < 3; ++i) await askAnother(what);
    if (!name.startsWith('good')) {
      await untilEnded([...used.keys()], what);
      for (const [{requests}, then] of used) assert.equal(requests, then, `${what}: the connection was used again`);
    }
    assert.equal(client.held.length, 0, `${what}: more came than the answer`);
    client.destroy();
  }

  async function untilEnded(connections, what) {
    for (let i = 0; i < 200 && connections.some(({ended}) => ended === null); ++i) await sleep(10);
    assert.deepEqual(connections.map(({ended}) => ended === null), connections.map(() => false), `${what}: a connection stays open`);
  }

  it('are at least 50', () => assert.equal(kCorpus.length >= 50, true, `${kCorpus.length}`));

  it('R12 is kept', {timeout: 60_000}, async () => {
    const failures = [];
    for (const one of kCorpus) await judge(one).catch((error) => failures.push(error.message));
    assert.equal(failures.join('\n\n'), '');
  });
});
