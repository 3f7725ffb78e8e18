// SPDX-License-Identifier: MIT
//
// The mock itself: that it refuses what the vendors refuse, sees what leaks, and fails as asked.
// Run with `node --test tests/support/mock/mock_test.mjs`.

import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {after, afterEach, before, describe, it} from 'node:test';
import zlib from 'node:zlib';

import {Faults, FaultQueue} from './faults.mjs';
import {startMock} from './server.mjs';

const kKey = 'sk-ant-api03-mock-key';
const kToken = 'sk-ant-oat01-mock-token';
const kTurn = {model: 'claude-opus-5-5', max_tokens: 64, messages: [{role: 'user', content: 'hi'}]};
const kContents = {contents: [{role: 'user', parts: [{text: 'hi'}]}]};
const kAnthropicHead = {'x-api-key': kKey, 'anthropic-version': '2023-06-01', 'content-type': 'application/json'};
const kGoogleHead = {'x-goog-api-key': 'AIza-mock-key', 'content-type': 'application/json'};

let mock;

/** One request on a connection of its own: {status, headers, text, error}. */
function send(method, target, headers, body, port = mock.port) {
  return new Promise((resolve) => {
    const chunks = [];
    let head = {};
    const answer = (error) => resolve({...head, bytes: Buffer.concat(chunks), text: Buffer.concat(chunks).toString(), error});
    const request = http.request({port, method, path: target, headers, agent: false}, (response) => {
      head = {status: response.statusCode, headers: response.headers};
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => answer());
      response.on('error', answer);
    });
    request.on('error', answer);
    request.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

const messages = (headers = {}, body = kTurn) => send('POST', '/v1/messages', {...kAnthropicHead, ...headers}, body);
const stream = (fault, headers = {}) =>
  messages({...(fault && {'x-mock-fault': fault}), ...headers}, {...kTurn, stream: true});

before(async () => {
  mock = await startMock();
});
after(() => mock.close());
afterEach(() => mock.reset());

describe('thinking that an account signs', () => {
  const think = (key, body = {}) => messages({'x-api-key': key, 'x-mock-thinking': 'by-account'}, {...kTurn, ...body});
  const later = (content, last = 'and now?') =>
    ({messages: [{role: 'user', content: 'mock:think'}, {role: 'assistant', content}, {role: 'user', content: last}]});

  it('is read by that account alone', async () => {
    const {content} = JSON.parse((await think(kKey, {messages: [{role: 'user', content: 'mock:think'}]})).text);
    assert.equal((await think(kKey, later(content))).status, 200);
    const other = await think(`${kKey}-2`, later(content));
    assert.equal(other.status, 400);
    assert.match(other.text, /messages\.1\.content\.0: Invalid `signature` in `thinking` block/);
    assert.equal((await think(`${kKey}-2`, later(content.slice(1)))).status, 200);
  });

  it('must begin a turn that calls tools where it has a budget', async () => {
    const call = [{type: 'tool_use', id: 't', name: 'Bash', input: {}}];
    const result = [{type: 'tool_result', tool_use_id: 't', content: 'x'}];
    const budget = {thinking: {type: 'enabled', budget_tokens: 1024}};
    const refused = await think(kKey, {...later(call, result), ...budget});
    assert.equal(refused.status, 400);
    assert.match(refused.text, /Expected `thinking` or `redacted_thinking`, but found `tool_use`/);
    assert.equal((await think(kKey, later(call, result))).status, 200);
  });
});

describe('credentials', () => {
  it('takes an Anthropic key in either header', async () => {
    assert.equal((await messages()).status, 200);
    const {'x-api-key': _, ...bare} = kAnthropicHead;
    assert.equal((await send('POST', '/v1/messages', {...bare, authorization: `Bearer ${kKey}`}, kTurn)).status, 200);
  });

  it('refuses an Anthropic request without or with another vendor\'s credential', async () => {
    const {'x-api-key': _, ...bare} = kAnthropicHead;
    const none = await send('POST', '/v1/messages', bare, kTurn);
    assert.equal(none.status, 401);
    assert.equal(JSON.parse(none.text).error.type, 'authentication_error');
    assert.equal((await messages({'x-api-key': 'AIza-mock-key'})).status, 401);
  });

  it('wants the beta and the vendor\'s own client with an OAuth token', async () => {
    const {'x-api-key': _, ...bare} = kAnthropicHead;
    const head = {...bare, authorization: `Bearer ${kToken}`};
    const plain = await send('POST', '/v1/messages', head, kTurn);
    assert.equal(plain.status, 401);
    assert.match(plain.text, /OAuth authentication is currently not supported/);
    const beta = {...head, 'anthropic-beta': 'a,oauth-2025-04-20'};
    assert.equal((await send('POST', '/v1/messages', beta, kTurn)).status, 400);
    const own = await send('POST', '/v1/messages', {...beta, 'user-agent': 'claude-cli/2.1.330 (external)'}, kTurn);
    assert.equal(own.status, 200);
    assert.equal(own.headers['anthropic-ratelimit-unified-status'], 'allowed');
  });

  it('takes only the credentials it was started with, if any were given', async () => {
    const picky = await startMock({credentials: {anthropicKeys: ['sk-ant-this-one']}});
    assert.equal((await send('POST', '/v1/messages', kAnthropicHead, kTurn, picky.port)).status, 401);
    const good = {...kAnthropicHead, 'x-api-key': 'sk-ant-this-one'};
    assert.equal((await send('POST', '/v1/messages', good, kTurn, picky.port)).status, 200);
    picky.close();
  });

  it('tells Google\'s missing, wrong and misplaced credentials apart', async () => {
    const target = '/v1beta/models/gemini-2.5-pro:generateContent';
    assert.equal((await send('POST', target, kGoogleHead, kContents)).status, 200);
    assert.equal((await send('POST', `${target}?key=AIza-mock-key`, {}, kContents)).status, 200);
    assert.equal((await send('POST', target, {}, kContents)).status, 403);
    const wrong = await send('POST', target, {'x-goog-api-key': 'nonsense'}, kContents);
    assert.equal(wrong.status, 400);
    assert.match(wrong.text, /API_KEY_INVALID/);
    assert.equal((await send('POST', '/v1internal:loadCodeAssist', kGoogleHead, {})).status, 401);
  });

  it('refuses a revoked token', async () => {
    await send('POST', '/__mock/revoke', {}, {credential: kKey}, mock.controlPort);
    assert.equal((await messages()).status, 401);
  });
});

describe('leaks', () => {
  const kRelayKey = `cr_${'0a'.repeat(32)}`;
  const places = {
    head: () => messages({'x-other': `Bearer ${kRelayKey}`}),
    query: () => send('POST', `/v1/messages?key=${kRelayKey}`, kAnthropicHead, kTurn),
    'query (escaped)': () => send('POST', `/v1/messages?a=%63r_${kRelayKey.slice(3)}`, kAnthropicHead, kTurn),
    body: () => messages({}, {...kTurn, metadata: {user_id: kRelayKey}}),
    'head (platform token)': () => messages({authorization: 'Bearer hf_abcdefghijkl'}),
  };
  for (const [place, go] of Object.entries(places)) {
    it(`answers 500 for a client secret in the ${place}`, async () => {
      const answer = await go();
      assert.equal(answer.status, 500);
      assert.equal(mock.journal.stats().leaks.length > 0, true);
      assert.doesNotMatch(JSON.stringify(mock.journal.stats().leaks), /0a0a0a0a0a0a/);
    });
  }

  it('takes words that only end like a prefix for what they are', async () => {
    assert.equal((await messages({}, {...kTurn, system: 'use ocr_something_long and shelf_number_one'})).status, 200);
    assert.deepEqual(mock.journal.stats().leaks, []);
  });

  for (const name of ['cookie', 'proxy-authorization', 'x-forwarded-for', 'te', 'via', 'cf-ray', 'keep-alive']) {
    it(`records ${name} and goes on`, async () => {
      assert.equal((await messages({[name]: 'trailers'})).status, 200);
      assert.match(mock.journal.stats().leaks[0].what, new RegExp(name));
    });
  }

  it('records a connection header that names others', async () => {
    await messages({connection: 'close, x-secret'});
    assert.equal(mock.journal.stats().leaks.length, 1);
    mock.reset();
    await messages({connection: 'close'});
    assert.equal(mock.journal.stats().leaks.length, 0);
  });

  it('finds a forbidden text', async () => {
    await send('POST', '/__mock/forbid', {}, {texts: ['open-sesame'], headers: ['x-inner']}, mock.controlPort);
    assert.equal((await messages({}, {...kTurn, system: 'open-sesame'})).status, 500);
    assert.equal((await messages({'x-inner': '1'})).status, 200);
    assert.equal(mock.journal.stats().leaks.length, 2);
  });
});

describe('Anthropic', () => {
  it('streams a whole message and counts what it sent', async () => {
    const answer = await stream(null, {'x-mock-tag': 'whole'});
    assert.equal(answer.headers['content-type'], 'text/event-stream; charset=utf-8');
    const names = [...answer.text.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name);
    assert.deepEqual([names[0], names.at(-2), names.at(-1)], ['message_start', 'message_delta', 'message_stop']);
    const [record] = await requests('?tag=whole&wait-ended=1000');
    assert.deepEqual(record.usage, {input: 29, output: 8, cacheRead: 12, cacheWrite: 59});
    assert.equal(record.responseSha256, sha256(answer.bytes));
    assert.deepEqual(mock.journal.stats().usage['claude-opus-5-5'],
      {requests: 1, input: 29, output: 8, cacheRead: 12, cacheWrite: 59});
  });

  it('gives the same bytes for the same request', async () => {
    assert.deepEqual((await stream()).bytes, (await stream()).bytes);
    assert.deepEqual((await messages()).bytes, (await messages()).bytes);
  });

  it('calls the shell tool and tells its result in the next turn', async () => {
    const ask = {role: 'user', content: 'mock:tool(echo relayed)'};
    const tools = [{name: 'Bash', description: '', input_schema: {type: 'object'}}];
    const first = JSON.parse((await messages({}, {...kTurn, messages: [ask], tools})).text);
    assert.equal(first.stop_reason, 'tool_use');
    const call = first.content.at(-1);
    assert.equal(call.input.command, 'echo relayed');
    const result = {role: 'user', content: [{type: 'tool_result', tool_use_id: call.id, content: 'relayed\n'}]};
    const second = JSON.parse((await messages({}, {...kTurn, tools,
      messages: [ask, {role: 'assistant', content: first.content}, result]})).text);
    assert.equal(second.content[0].text, 'The tool said: relayed');
  });

  it('counts tokens and lists models', async () => {
    const count = await send('POST', '/v1/messages/count_tokens', kAnthropicHead, kTurn);
    assert.equal(JSON.parse(count.text).input_tokens > 0, true);
    const models = JSON.parse((await send('GET', '/v1/models?limit=1000', kAnthropicHead)).text);
    assert.equal(models.data.length > 0, true);
    assert.equal((await send('GET', `/v1/models/${models.data[0].id}`, kAnthropicHead)).status, 200);
    assert.equal((await send('GET', '/v1/models/none', kAnthropicHead)).status, 404);
  });

  it('refuses what the vendor refuses', async () => {
    const {'anthropic-version': _, ...unversioned} = kAnthropicHead;
    assert.equal((await send('POST', '/v1/messages', unversioned, kTurn)).status, 400);
    assert.equal((await messages({}, {...kTurn, messages: []})).status, 400);
    assert.equal((await messages({}, '{')).status, 400);
    assert.equal((await messages({}, {...kTurn, model: 'claude-nonexistent'})).status, 404);
    assert.equal((await send('POST', '/v1/other', kAnthropicHead, kTurn)).status, 404);
  });
});

describe('Gemini', () => {
  it('streams events, or an array in pieces', async () => {
    const target = '/v1beta/models/gemini-2.5-pro:streamGenerateContent';
    const events = await send('POST', `${target}?alt=sse`, kGoogleHead, kContents);
    const last = JSON.parse(events.text.trim().split('\r\n\r\n').at(-1).slice('data: '.length));
    assert.equal(last.candidates[0].finishReason, 'STOP');
    assert.equal(last.usageMetadata.promptTokenCount, 29);
    const array = JSON.parse((await send('POST', target, kGoogleHead, kContents)).text);
    assert.equal(array.length > 1, true);
  });

  it('wraps Code Assist answers and holds a token to its project', async () => {
    const token = 'ya29.mock-token';
    const bound = await startMock({projects: {[token]: 'its-own'}});
    const head = {authorization: `Bearer ${token}`, 'content-type': 'application/json'};
    const load = JSON.parse((await send('POST', '/v1internal:loadCodeAssist', head, {metadata: {}}, bound.port)).text);
    assert.equal(load.cloudaicompanionProject, 'its-own');
    const turn = {model: 'gemini-2.5-pro', project: 'its-own', request: kContents};
    const good = await send('POST', '/v1internal:streamGenerateContent?alt=sse', head, turn, bound.port);
    assert.match(good.text, /^data: \{"response":\{"candidates"/);
    const bad = await send('POST', '/v1internal:streamGenerateContent?alt=sse', head, {...turn, project: 'other'}, bound.port);
    assert.equal(bad.status, 403);
    bound.close();
  });

  it('wants the thought signature back with a tool result', async () => {
    const target = '/v1beta/models/gemini-2.5-pro:generateContent';
    const tools = [{functionDeclarations: [{name: 'run_shell_command'}]}];
    const ask = {role: 'user', parts: [{text: 'mock:tool'}]};
    const first = JSON.parse((await send('POST', target, kGoogleHead, {contents: [ask], tools})).text);
    const call = first.candidates[0].content;
    assert.equal(call.parts[0].functionCall.name, 'run_shell_command');
    const result = {role: 'user', parts: [{functionResponse: {name: 'run_shell_command', response: {output: 'yes'}}}]};
    const good = await send('POST', target, kGoogleHead, {contents: [ask, call, result], tools});
    assert.match(good.text, /The tool said: yes/);
    delete call.parts[0].thoughtSignature;
    assert.equal((await send('POST', target, kGoogleHead, {contents: [ask, call, result], tools})).status, 400);
  });
});

describe('faults', () => {
  it('resets before the head', async () => {
    assert.equal((await stream('reset-before-head')).error.code, 'ECONNRESET');
    assert.equal((await stream('reset-before-body')).error.code, 'ECONNRESET');
  });

  for (const fault of ['reset-after-head', 'reset-mid-stream', 'cut-mid-event', 'bad-chunk-mid-stream']) {
    it(`breaks a stream by ${fault}`, async () => {
      const answer = await stream(fault);
      assert.equal(answer.status, 200);
      assert.notEqual(answer.error, undefined);
      assert.doesNotMatch(answer.text, /message_stop/);
      assert.equal(/message_start/.test(answer.text), fault !== 'reset-after-head');
    });
  }

  it('stalls until the client leaves, and tells when it left', async () => {
    for (const fault of ['stall-before-head', 'stall-mid-stream']) {
      const request = http.request({port: mock.port, method: 'POST', path: '/v1/messages', agent: false,
        headers: {...kAnthropicHead, 'x-mock-fault': fault, 'x-mock-tag': fault}});
      request.on('error', () => {});
      request.end(JSON.stringify({...kTurn, stream: true}));
      const begun = fault === 'stall-before-head' ? ({bodyComplete}) => bodyComplete : ({events}) => events > 2;
      while (!(await requests(`?tag=${fault}`)).some(begun)) await new Promise(setImmediate);
      request.destroy();
      const [record] = await requests(`?tag=${fault}&wait-ended=2000`);
      assert.equal(record.cancelled, true);
      assert.equal(record.cancelledAfterMs > 0, true);
    }
    assert.equal(mock.journal.stats().cancelled, 2);
  });

  it('sends garbage, or any raw bytes', async () => {
    assert.notEqual((await stream('garbage')).error, undefined);
    const raw = await stream('raw;text=HTTP/1.1 207 Odd\\r\\ncontent-length: 2\\r\\n\\r\\nok');
    assert.deepEqual([raw.status, raw.text], [207, 'ok']);
  });

  it('ends a stream early without saying so', async () => {
    const cut = await stream('truncated');
    assert.equal(cut.error, undefined);
    assert.doesNotMatch(cut.text, /message_stop/);
    assert.equal((await stream('empty')).text, '');
    assert.match((await stream('truncated;after=2')).text, /content_block_start/);
    assert.match((await stream('garbage-mid-stream')).bytes.toString('latin1'), /this is not what you asked for/);
  });

  it('answers each status in the vendor\'s words', async () => {
    for (const status of [400, 401, 403, 404, 429, 500, 503, 529]) {
      const anthropic = await stream(`status-${status}`);
      assert.equal(anthropic.status, status);
      assert.equal(JSON.parse(anthropic.text).type, 'error');
      const google = await send('POST', '/v1beta/models/gemini-2.5-pro:generateContent',
        {...kGoogleHead, 'x-mock-fault': `status-${status}`}, kContents);
      assert.equal(google.status, status);
      assert.equal(JSON.parse(google.text).error.code, status);
    }
  });

  it('gives reset headers with a 429', async () => {
    const anthropic = await stream('status-429;retry-after=7');
    assert.equal(anthropic.headers['retry-after'], '7');
    assert.equal(anthropic.headers['anthropic-ratelimit-unified-status'], 'rejected');
    assert.equal((await stream('status-429;plain')).headers['retry-after'], undefined);
    const google = await send('POST', '/v1beta/models/gemini-2.5-pro:generateContent',
      {...kGoogleHead, 'x-mock-fault': 'status-429;delay=3s'}, kContents);
    assert.equal(JSON.parse(google.text).error.details[1].retryDelay, '3s');
  });

  it('puts an error event into a 200', async () => {
    assert.match((await stream('error-event-first')).text, /^event: error\n/);
    const mid = (await stream('error-event-mid')).text;
    assert.match(mid, /^event: message_start/);
    assert.match(mid, /overloaded_error/);
  });

  it('compresses so that every event can be read at once', async () => {
    const plain = await stream();
    for (const [coding, decode] of [['gzip', zlib.gunzipSync], ['br', zlib.brotliDecompressSync], ['deflate', zlib.inflateSync]]) {
      const packed = await stream(coding);
      assert.equal(packed.headers['content-encoding'], coding);
      assert.deepEqual(decode(packed.bytes), plain.bytes);
    }
    assert.equal(JSON.parse(zlib.gunzipSync((await messages({'x-mock-fault': 'gzip'})).bytes)).role, 'assistant');
  });

  it('waits as long as it is told to', async () => {
    const begin = performance.now();
    await stream('latency-60,slow-5');
    assert.equal(performance.now() - begin >= 60 + 5 * 8, true);
  });

  it('sends early hints before the answer', async () => {
    const bytes = await rawRequest('early-hints');
    assert.match(bytes, /^HTTP\/1\.1 103 Early Hints/);
    assert.match(bytes, /HTTP\/1\.1 200 OK/);
  });

  it('takes scripted faults in order, by criterion', async () => {
    const script = [
      {match: {credential: 'sk-ant-second'}, faults: ['status-529'], repeat: true},
      {match: {path: '/v1/messages', credential: kKey}, faults: ['status-429', 'none', 'status-500']}];
    await send('POST', '/__mock/script', {}, script, mock.controlPort);
    const statuses = [];
    for (let i = 0; i < 4; ++i) statuses.push((await messages()).status);
    assert.deepEqual(statuses, [429, 200, 500, 200]);
    for (let i = 0; i < 2; ++i) assert.equal((await messages({'x-api-key': 'sk-ant-second'})).status, 529);
  });

  it('refuses a fault or criterion that does not exist', async () => {
    assert.throws(() => Faults.parse('explode'), /no fault is called 'explode'/);
    assert.throws(() => new FaultQueue().add({match: {colour: 'red'}, faults: ['none']}), /colour/);
    assert.equal((await send('POST', '/__mock/script', {}, {faults: ['explode']}, mock.controlPort)).status, 400);
  });
});

describe('generated streams', () => {
  it('are the same for the same seed, valid text, and hashed', async () => {
    const spec = {'x-mock-stream': 'seed=7,events=200,bytes=60', 'x-mock-tag': 'generated'};
    const one = await stream(null, spec);
    assert.deepEqual((await stream(null, spec)).bytes, one.bytes);
    assert.notDeepEqual((await stream(null, {'x-mock-stream': 'seed=8,events=200,bytes=60'})).bytes, one.bytes);
    new TextDecoder('utf-8', {fatal: true}).decode(one.bytes);
    assert.equal([...one.text.matchAll(/^event: content_block_delta$/gm)].length, 200);
    const [record] = await requests('?tag=generated&wait-ended=1000');
    assert.equal(record.responseSha256, sha256(one.bytes));
    assert.equal(record.usage.output, 200);
  });

  it('stop being made when nobody reads', async () => {
    const socket = net.connect(mock.port);
    const body = JSON.stringify({...kTurn, stream: true});
    socket.write(`POST /v1/messages HTTP/1.1\r\nhost: mock\r\nx-api-key: ${kKey}\r\nanthropic-version: 1\r\ncontent-type: application/json\r\n` +
      `x-mock-tag: unread\r\nx-mock-stream: events=200000,bytes=1000,whole\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    socket.pause();
    let sent = -1;
    for (let still = 0; still < 5;) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const [record] = await requests('?tag=unread');
      still = record !== undefined && record.responseBytes > 0 && record.responseBytes === sent ? still + 1 : 0;
      sent = record?.responseBytes ?? 0;
    }
    assert.equal(sent < 32 * 1024 * 1024, true);
    socket.destroy();
    const [record] = await requests('?tag=unread&wait-ended=2000');
    assert.equal(record.cancelled, true);
  });
});

describe('HTTP/2', () => {
  it('is spoken with prior knowledge, and faults reset the stream only', async () => {
    await overHttp2(http2.connect(mock.url), mock);
  });

  it('and HTTP/1.1 are spoken over TLS, and a reset reaches the connection', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mock-tls-'));
    const [cert, key] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-keyout', key, '-out', cert], {stdio: 'ignore'});
    const secure = await startMock({tls: {cert: fs.readFileSync(cert), key: fs.readFileSync(key)}});
    fs.rmSync(folder, {recursive: true});
    await overHttp2(http2.connect(secure.url, {rejectUnauthorized: false}), secure);
    const https = await import('node:https');
    const code = await new Promise((resolve) => {
      const request = https.request(`${secure.url}/v1/messages`, {method: 'POST', agent: false, rejectUnauthorized: false,
        headers: {...kAnthropicHead, 'x-mock-fault': 'reset-before-head'}}, (response) => resolve(response.statusCode));
      request.on('error', ({code}) => resolve(code));
      request.end(JSON.stringify(kTurn));
    });
    assert.equal(code, 'ECONNRESET');
    secure.close();
  });

  async function overHttp2(session, target) {
    const go = (extra = {}) => new Promise((resolve) => {
      const request = session.request({':method': 'POST', ':path': '/v1/messages', ...kAnthropicHead, ...extra});
      let status;
      const chunks = [];
      request.on('response', (headers) => (status = headers[':status']));
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('error', () => {});
      request.on('close', () => resolve({status, code: request.rstCode, text: Buffer.concat(chunks).toString()}));
      request.end(JSON.stringify({...kTurn, stream: true}));
    });
    assert.match((await go()).text, /message_stop/);
    assert.equal((await go({'x-mock-fault': 'reset-before-head'})).code, 2);
    const cut = await go({'x-mock-fault': 'reset-mid-stream'});
    assert.deepEqual([cut.status, cut.code], [200, 2]);
    assert.equal((await go({'x-mock-fault': 'garbage'})).status, 200);
    assert.match((await go()).text, /message_stop/);
    assert.equal(target.journal.records.every(({httpVersion}) => httpVersion === '2.0'), true);
    assert.equal(new Set(target.journal.records.map(({connection}) => connection)).size, 1);
    session.close();
  }
});

describe('the journal', () => {
  it('keeps heads as they came, bodies and their hashes', async () => {
    await send('POST', '/v1/messages?beta=true', {...kAnthropicHead, 'X-Mock-Tag': 'kept', 'X-Odd-Case': 'a'}, kTurn);
    const [record] = await requests('?tag=kept&wait-ended=1000');
    assert.equal(record.path, '/v1/messages?beta=true');
    assert.equal(record.rawHeaders.includes('X-Odd-Case'), true);
    const body = JSON.stringify(kTurn);
    assert.deepEqual([record.bodySha256, record.bodyLength], [sha256(body), body.length]);
    const kept = await send('GET', `/__mock/requests/${record.id}/body`, {}, undefined, mock.controlPort);
    assert.equal(kept.text, body);
    assert.deepEqual(record.credential, {kind: 'anthropic-key', value: kKey, place: 'x-api-key'});
  });

  it('forgets on reset', async () => {
    await messages();
    await send('POST', '/__mock/reset', {}, undefined, mock.controlPort);
    assert.deepEqual(await requests(''), []);
    assert.equal(mock.journal.stats().requests, 0);
  });
});

async function requests(query) {
  return JSON.parse((await send('GET', `/__mock/requests${query}`, {}, undefined, mock.controlPort)).text);
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function rawRequest(fault) {
  return new Promise((resolve) => {
    const body = JSON.stringify(kTurn);
    const socket = net.connect(mock.port);
    let text = '';
    socket.on('data', (chunk) => (text += chunk)).on('close', () => resolve(text));
    socket.write(`POST /v1/messages HTTP/1.1\r\nhost: mock\r\nconnection: close\r\nx-api-key: ${kKey}\r\nanthropic-version: 1\r\n` +
      `content-type: application/json\r\nx-mock-fault: ${fault}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  });
}
