// SPDX-License-Identifier: MIT
//
// The first inputs of the fuzz targets: by name of target, by name of what they are about (the
// numbers are those of the requirements). `node seeds.mjs FOLDER` writes them to FOLDER/<target>/.

import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {deflateRawSync, deflateSync, gzipSync} from 'node:zlib';

const kRoot = new URL('../../', import.meta.url).pathname;
const kNext = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

const post = (fields, body = '') => `POST /p HTTP/1.1\r\nHost: a\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n${body}${kNext}`;
const line = (first, fields = ['Host: a']) => `${first}\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n${kNext}`;
const chunked = (body) => post(['Transfer-Encoding: chunked'], body);
const answer = (first, fields, body = '') => `${first}\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n${body}`;

/** One step of a script of h2_script.h. */
const step = (kind, flags, stream, payload = '') => {
  const bytes = Buffer.from(payload, 'latin1');
  return Buffer.concat([Buffer.from([kind, flags, stream, bytes.length]), bytes]);
};
const u32 = (...numbers) => Buffer.concat(numbers.map((n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; })).toString('latin1');
const setting = (id, value) => `\0${String.fromCharCode(id)}${u32(value)}`;
const ask = (stream, more = [], flags = 1, first = [':method: GET', ':scheme: https', ':authority: a', ':path: /a']) => step(0x20, flags, stream, [...first, ...more].join('\n'));
const put = (stream, more = []) => ask(stream, more, 0, [':method: POST', ':scheme: https', ':authority: a', ':path: /p']);
const data = (stream, bytes, flags = 1) => step(0, flags, stream, bytes);
const status = (stream, code = 200, more = [], flags = 0) => step(0x20, flags, stream, [`:status: ${code}`, ...more].join('\n'));
const all = (...steps) => Buffer.concat(steps);
const times = (n, make) => Buffer.concat(Array.from({length: n}, (_, i) => make(i)));

/** Each text of a list under a name that counts. */
const list = (name, texts) => Object.fromEntries(texts.map((text, i) => [`${name}-${String(i).padStart(2, '0')}`, text]));

const h1_request = {
  ...list('R1-plain', [
    line('GET /v1/models?limit=1'.concat(' HTTP/1.1')),
    post(['Content-Length: 5', 'x-api-key: cr_1', 'Anthropic-Version: 2023-06-01'], 'hello'),
    chunked('5\r\nhello\r\n0\r\n\r\n'),
    'HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n\r\nPATCH /x HTTP/1.1\r\nHost: a.b:65535\r\nContent-Length: 0\r\n\r\n',
    'GET http://other.test/p?q HTTP/1.1\r\nHost: a\r\n\r\nGET https://x?y HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET / HTTP/1.0\r\n\r\n',
    'OPTIONS /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-named\r\nX-Named: 1\r\nTE: trailers\r\n\r\n',
  ]),
  ...list('R2-framing', [
    ...['Content-Length: 5|Transfer-Encoding: chunked', 'Transfer-Encoding: chunked|Content-Length: 0', 'Content-Length: 5|Content-Length: 5',
      'Content-Length: 5|Content-Length: 6', 'Content-Length: 5, 5', 'Content-Length: +5', 'Content-Length: 0x5', 'Content-Length: 5_0', 'Content-Length:',
      'Content-Length: 9223372036854775807', 'Content-Length: 9223372036854775808', 'Content-Length: 18446744073709551621', 'Content-Length: 000005',
      'Transfer-Encoding: chunked|Transfer-Encoding: chunked', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding: xchunked',
      'Transfer-Encoding: Chunked', 'Transfer-Encoding: chunked;q=1', 'Transfer-Encoding: ,chunked', 'Transfer-Encoding:\tchunked\t', 'Transfer-Encoding: "chunked"',
      'Transfer_Encoding: chunked', 'Transfer-Encoding : chunked', 'Content-Length : 5', 'X: y|\tTransfer-Encoding: chunked',
    ].map((fields) => post(fields.split('|'), '5\r\nhello\r\n0\r\n\r\n')),
    'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ]),
  ...list('R3-head', [
    ...['GET /', 'GET  / HTTP/1.1', 'GET /  HTTP/1.1', 'GET /a b HTTP/1.1', 'GET\t/ HTTP/1.1', 'GET /a#b HTTP/1.1', 'GET a HTTP/1.1', 'GET * HTTP/1.1', 'OPTIONS * HTTP/1.1',
      'GET ftp://a/ HTTP/1.1', 'GET http://u@a/ HTTP/1.1', 'GET / HTTP/1.2', 'GET / HTTP/2.0', 'GET / http/1.1', 'CONNECT a:443 HTTP/1.1', 'TRACE / HTTP/1.1', 'get / HTTP/1.1',
      'G(T / HTTP/1.1', 'PRI * HTTP/2.0', 'GET /\u00e4 HTTP/1.1', 'GET /\x7f HTTP/1.1', 'GET /\0 HTTP/1.1'].map((first) => line(first)),
    ...['Host: a b', 'Host: a,b', 'Host: a/b', 'Host:', 'Host: a:', 'Host: a:99999', 'Host: [::1', 'Host: a@b', 'Host: a|Host: a', 'X: y', 'Host: a|: y', 'Host: a|X', 'Host: a|X Y: z',
      'Host: a|X(: y', 'Host: a|X: a\x01b', 'Host: a|X: a\0b', 'Host: a|X: a\x7fb', 'Host: a|X: y| z', 'Host: a|X:\ty\t', 'Host: a|X: \u00e4', 'Host: a|X: a\rb', 'Host: a|X: a\nb',
      'Host: a|X_Y: z', 'Host: a|Upgrade: h2c|Connection: upgrade', 'Host: a|Expect: 200-ok', 'Host: a|Expect: 100-continue'].map((fields) => line('GET / HTTP/1.1', fields.split('|'))),
    'GET / HTTP/1.1\nHost: a\n\n', 'GET / HTTP/1.1\r\nHost: a\n\r\n', 'GET / HTTP/1.1\rHost: a\r\r', `${'\r\n'.repeat(8)}${kNext}`, `${'\r\n'.repeat(9)}${kNext}`,
  ]),
  ...list('R4-chunks', [
    '5;a=b\r\nhello\r\n0;c\r\nX: y\r\n\r\n', '0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n', '00000005\r\nhello\r\n000\r\n\r\n', 'A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n',
    '0x5\r\nhello\r\n0\r\n\r\n', '5_0\r\n', '+5\r\nhello\r\n', '-1\r\n', '5 \r\nhello\r\n0\r\n\r\n', '5\nhello\n0\n\n', '5\r\nhello0\r\n\r\n', '5\r\nhelloX\n0\r\n\r\n', '5\r\nhell', '\r\n5\r\nhello\r\n',
    '10000000000000000\r\n', 'ffffffffffffffff\r\n', '7fffffffffffffff\r\n', '5;\n\r\nhello\r\n0\r\n\r\n', '5;a="\r\n"\r\nhello\r\n0\r\n\r\n', '0\r\n folded: x\r\n\r\n', '0\r\nbad name: x\r\n\r\n', '0\r\nx: \x01\r\n\r\n',
    '0\r\n\r', '0\r\nX: y\r\n', '21\r\n', '20\r\n01234567890123456789012345678901\r\n1\r\nx\r\n0\r\n\r\n', `5;${'x'.repeat(1024)}\r\nhello\r\n0\r\n\r\n`, `5;${'x'.repeat(1026)}\r\nhello\r\n0\r\n\r\n`,
  ].map(chunked)),
  ...list('R5-bounds', [
    line(`GET /${'a'.repeat(49)} HTTP/1.1`), line(`GET /${'a'.repeat(50)} HTTP/1.1`), line('GET / HTTP/1.1', ['Host: a', `X: ${'y'.repeat(250)}`]),
    line('GET / HTTP/1.1', ['Host: a', 'A: 1', 'B: 2', 'C: 3', 'D: 4', 'E: 5', 'F: 6']), post(['Content-Length: 32'], 'x'.repeat(32)), post(['Content-Length: 33'], 'x'.repeat(33)),
  ]),
  ...list('R7-pipelining', [
    kNext.repeat(3), `${post(['Content-Length: 5'], 'hello')}${kNext}`, line('GET / HTTP/1.1', ['Host: a', 'Connection: close']), line('GET / HTTP/1.1', ['Host: a', 'Connection: x , Close']),
    line('GET / HTTP/1.1', ['Host: a', 'Connection: x', 'Connection: close']), post(['Content-Length: 36', 'Expect: 100-continue'], kNext), post(['Content-Length: 70000'], kNext),
    `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${kNext.length}\r\n\r\n${kNext}${kNext}`,
  ]),
};

const h1_response = {
  ...list('R12-plain', [
    answer('HTTP/1.1 200 OK', ['Content-Length: 5', 'Content-Type: application/json'], 'hello'),
    answer('HTTP/1.1 200 OK', ['Transfer-Encoding: chunked'], '5;x\r\nhello\r\n0\r\nX: y\r\n\r\n'),
    answer('HTTP/1.1 200 OK', [], 'until the end'), answer('HTTP/1.0 200 OK', ['Connection: keep-alive'], 'x'), answer('HTTP/1.1 204 No Content', []),
    answer('HTTP/1.1 304 Not Modified', ['Content-Length: 5']), answer('HTTP/1.1 200', ['Content-Length: 0']), answer('HTTP/1.1 529 \u00e4', ['Content-Length: 0', 'Connection: close']),
    `${answer('HTTP/1.1 100 Continue', [])}${answer('HTTP/1.1 103 Early Hints', ['Link: x'])}${answer('HTTP/1.1 200 OK', ['Content-Length: 1'], 'x')}`,
    answer('HTTP/1.1 100 Continue', []).repeat(17),
  ]),
  ...list('R12-refused', [
    ...['Content-Length: 5|Content-Length: 5', 'Content-Length: 5|Transfer-Encoding: chunked', 'Content-Length: +5', 'Content-Length: 5,5', 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked, chunked',
      'Transfer-Encoding: chunked|Transfer-Encoding: chunked', 'X : y', 'X: y| z', 'X: a\0b', 'X', ': y', 'Content-Length: 9223372036854775808'].map((fields) => answer('HTTP/1.1 200 OK', fields.split('|'), '0\r\n\r\n')),
    ...['HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/1.1  200 OK', 'HTTP/2 200 OK', 'HTTP/1.1 099 X', 'HTTP/1.1 600 X', 'HTTP/1.1 101 Switching Protocols', 'ICY 200 OK', ' HTTP/1.1 200 OK', 'HTTP/1.1\t200 OK'].map((first) => answer(first, ['Content-Length: 0'])),
    ...['5\r\nhelloX\r\n', '0x1\r\nx\r\n0\r\n\r\n', '1\nx\n0\n\n', '5\r\nhel', '1\r\nx\r\n'].map((body) => answer('HTTP/1.1 200 OK', ['Transfer-Encoding: chunked'], body)),
    answer('HTTP/1.0 200 OK', ['Transfer-Encoding: chunked'], '0\r\n\r\n'), '\r\nHTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n', answer('HTTP/1.1 200 OK', ['Content-Length: 9'], 'short'),
    answer('HTTP/1.1 200 OK', ['Content-Length: 1'], 'xHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), answer('HTTP/1.1 204 No Content', [], 'extra'), answer('HTTP/1.1 204 No Content', ['Content-Length: 5', 'Transfer-Encoding: chunked']),
  ]),
};

const kReply = 0x22, kOurReset = 0x23, kConsume = 0x24, kRaw = 0x25, kGoAway = 0x26, kOutput = 0x27, kPart = 0x28;
const h2_frames = {
  ...list('R20-streams', [
    all(ask(1), step(kReply, 2, 1), step(kOutput, 0, 0)), all(put(1), data(1, 'hello', 0), step(kConsume, 0, 1), data(1, '!'), step(kReply, 0, 1)), times(6, (i) => ask(2 * i + 1)), times(6, (i) => put(2 * i + 1)),
    all(put(1), data(1, 'x'.repeat(201))), all(put(1, ['content-length: 500']), step(kReply, 1, 1)), all(put(1), step(kReply, 0, 1), data(1, 'late')), all(ask(1, ['x: '.concat('y'.repeat(200)), 'z: '.concat('y'.repeat(40))]), step(kReply, 0, 1)),
    all(ask(1, ['x: 1', 'x: 2', 'x: 3', 'x: 4', 'x: 5', 'x: 6', 'x: 7', 'x: 8', 'x: 9'])), all(ask(1, [], 1, [':method: HEAD', ':scheme: http', ':authority: a', ':path: /'.concat('p'.repeat(64))]), step(kReply, 0, 1)), all(ask(1), step(kGoAway, 0, 0), step(6, 1, 0, '\0'.repeat(8)), ask(3), step(kReply, 0, 1)),
    all(step(4, 0, 0, setting(4, 0)), ask(1), step(kReply, 9, 1), step(8, 0, 1, u32(100)), step(kOutput, 0, 0), step(4, 0, 0, setting(4, 65535))), all(ask(1), step(kReply, 255, 1), step(kReply, 1, 1)),
  ]),
  ...list('R21-errors', [
    data(0, 'x'), data(1, 'x'), ask(2), ask(0), step(8, 0, 0, u32(0)), all(ask(1), step(8, 0, 1, u32(0))), all(step(8, 0, 0, u32(0x7fffffff)), ask(1)), step(6, 0, 0, 'short'), step(4, 1, 0, 'x'), step(4, 0, 0, setting(5, 1)), step(4, 0, 0, setting(4, 0x80000000)), step(3, 0, 1, u32(8)), step(5, 4, 1, 'xxxx'),
    step(kRaw, 0, 0, 'GET / HTTP/1.1\r\n\r\n'), step(kRaw, 0, 0, '\xff\xff\xff\0\0\0\0\0\x01'), all(ask(3), ask(1)), all(ask(1), ask(1)), step(1, 5, 1, '\x80'), step(1, 5, 1, '\x3f\xff\xff\xff\x0f'), step(1, 0x2d, 1, '\0\0\0\x01\x10'), data(1, '\x09xx', 9), step(7, 0, 0, u32(0, 0)),
  ]),
  ...list('R22-resets', [times(130, (i) => all(ask(2 * (i % 100) + 1), step(3, 0, 2 * (i % 100) + 1, u32(8)))), times(60, (i) => all(ask(2 * i + 1), step(8, 0, 2 * i + 1, u32(0)))), all(ask(1), step(3, 0, 1, u32(8)), step(kReply, 1, 1), step(kOurReset, 0, 1)), times(40, (i) => all(ask(2 * i + 1), step(3, 0, 2 * i + 1, u32(8)), step(0x21, 10, 0)))]),
  ...list('R23-continuation', [
    all(step(kPart, 1, 1, ':method: GET\n:scheme: https'), step(9, 4, 1, '\x10\x05:path\x01/\x10\x0a:authority\x01a'), step(kReply, 0, 1)), all(step(kPart, 1, 1, ':method: GET'), times(10, () => step(9, 0, 1))), all(step(kPart, 1, 1, ':method: GET'), ask(3)), step(9, 4, 1), all(step(kPart, 1, 1, ':method: GET'), step(9, 4, 3)),
  ]),
  ...list('R24-glitches', [times(15, () => step(4, 0, 0)), times(15, () => step(6, 0, 0, '12345678')), all(put(1), times(100, () => data(1, '', 0))), times(100, () => step(2, 0, 1, '\0\0\0\0\x10')), times(100, () => step(0x55, 0, 0, 'x')), all(ask(1, ['X: y']), times(100, () => step(0x20, 4, 1, 'x: y'))), times(90, () => step(8, 0, 0, u32(1))), all(put(1), data(1, '\x03\0\0\0', 8)), times(30, () => all(step(6, 0, 0, '12345678'), step(0x21, 11, 0)))]),
  ...list('R25-heads', [
    ...['X: y', 'x y: z', 'x: a\0b', 'x: a\rb', 'x:  y', 'x: y ', 'x: \ty', 'connection: close', 'transfer-encoding: chunked', 'keep-alive: x', 'upgrade: h2c', 'proxy-connection: x', 'te: gzip', 'te: trailers', 'content-length: 5', 'content-length: 0', 'content-length: 5\ncontent-length: 5', 'content-length: +0',
      'host: b', 'host: a', ':path: /b', ':foo: x', 'cookie: a\ncookie: b', 'expect: 100-continue', 'expect: x', ': x', 'x_y: z'].map((more) => all(ask(1, more.split('\n')), step(kReply, 0, 1))),
    ...[[':method: GET', ':scheme: https', ':path: /'], [':scheme: https', ':authority: a', ':path: /'], [':method: GET', ':authority: a', ':path: /'], [':method: GET', ':scheme: https', ':authority: a'], [':method: GET', ':scheme: https', ':authority: a', ':path: '], [':method: GET', ':scheme: https', ':authority: a', ':path: *'],
      [':method: GET', ':scheme: https', ':authority: a', ':path: a'], [':method: GET', ':scheme: https', ':authority: a', ':path: /a b'], [':method: GET', ':scheme: https', ':authority: a', ':path: /a#b'], [':method: GET', ':scheme: https', ':authority: a b', ':path: /'], [':method: GET', ':scheme: https', ':authority: u@a', ':path: /'],
      [':method: CONNECT', ':authority: a:443'], [':method: G T', ':scheme: https', ':authority: a', ':path: /'], [':method: TRACE', ':scheme: https', ':authority: a', ':path: /'], [':method: GET', ':scheme: ftp', ':authority: a', ':path: /'], [':method: GET', ':scheme: https', ':authority: a', ':path: / HTTP/1.1\r\nX: y'],
      [':method: GET / HTTP/1.1', ':scheme: https', ':authority: a', ':path: /'], ['x: y', ':method: GET', ':scheme: https', ':authority: a', ':path: /']].map((first) => all(ask(1, [], 1, first), step(kReply, 0, 1))),
    all(put(1, ['content-length: 5']), data(1, 'hi')), all(put(1, ['content-length: 1']), data(1, 'hi')), all(put(1), data(1, 'hi', 0), step(0x20, 1, 1, 'x-trailer: y')), all(put(1), data(1, 'hi', 0), step(0x20, 1, 1, ':path: /y')), all(put(1), data(1, 'hi', 0), step(0x20, 0, 1, 'x: y')),
  ]),
};
const h2_client = {
  // A block that is wrong twice: as the head of its stream, and as HPACK.
  'R21-lost-with-the-connection': Buffer.from('22e8030200200160010c3a7374000000000000000024733a203431330300010400000000', 'hex'),
  ...list('R12-answers', [
    all(step(kReply, 0, 0), status(1, 200, ['content-type: x', 'content-length: 2']), data(1, 'ok')), all(step(kReply, 3, 0), status(1, 100), status(1, 200, [], 1)), all(step(kReply, 200, 0), step(kOutput, 0, 0), step(8, 0, 0, u32(100000)), step(8, 0, 1, u32(200000)), status(1), data(1, 'x', 0), step(kConsume, 0, 1), data(1, 'y')),
    all(step(kReply, 100, 0), status(1, 413, [], 1), step(3, 0, 1, u32(0))), all(step(kReply, 0, 0), step(kReply, 0, 0), status(3, 200, [], 1), step(3, 0, 1, u32(7))), all(step(kReply, 0, 0), step(7, 0, 0, u32(0, 0)), step(kReply, 0, 0)), all(step(4, 0, 0, setting(3, 1)), step(kReply, 0, 0), step(kReply, 0, 0)),
    all(step(kReply, 0, 0), status(1, 200, ['content-length: 5']), data(1, 'x')), all(step(kReply, 0, 0), status(1, 200, ['content-length: x'])), all(step(kReply, 0, 0), times(18, () => status(1, 103))), all(step(kReply, 0, 0), status(1, 101)), all(step(kReply, 0, 0), status(1, 999)), all(step(kReply, 0, 0), status(1, 204, [], 1), data(1, 'x')),
    all(step(kReply, 0, 0), status(1, 200, ['connection: close'])), all(step(kReply, 0, 0), status(1, 200, ['X: y'])), all(step(kReply, 0, 0), data(1, 'early')), status(1), all(step(kReply, 0, 0), status(3)), step(5, 4, 1, '\0\0\0\x02'), all(step(kReply, 0, 0), status(1), step(0x20, 1, 1, 'x-trailer: y')), all(step(kReply, 0, 0), step(kOurReset, 0, 1), status(1, 200, [], 1)),
    all(step(4, 0, 0, setting(4, 100)), step(kReply, 9, 0), step(4, 0, 0, setting(4, 50)), step(8, 0, 1, u32(5000))), all(step(kReply, 0, 0), step(kGoAway, 0, 0), status(1, 200, [], 1)), all(step(4, 0, 0, setting(5, 16777215)), step(kReply, 40, 0)), all(step(4, 0, 0, setting(1, 0)), step(kReply, 1, 0)), times(15, () => step(6, 0, 0, '12345678')),
  ]),
};

const claudeStream = (end = '\n') => [
  'event: message_start', 'data: {"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":25,"cache_creation_input_tokens":7,"cache_read_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":3},"output_tokens":1}}}', '',
  'event: content_block_start', 'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}', '', 'event: ping', 'data: {"type": "ping"}', '',
  'event: content_block_delta', 'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hell\u00f6 \\"w\\u00f6rld\\""}}', '', ': a comment', 'event: content_block_stop', 'data: {"type":"content_block_stop","index":0}', '',
  'event: message_delta', 'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15,"server_tool_use":{"web_search_requests":2}}}', '', 'event: message_stop', 'data: {"type":"message_stop"}', '', '',
].join(end);
const gemini = (more = '') => `{"candidates":[{"content":{"parts":[{"text":"Hallo\u00df","thought":true}],"role":"model"}${more}}],"usageMetadata":{"promptTokenCount":11,"cachedContentTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":6,"toolUsePromptTokenCount":1,"totalTokenCount":23},"modelVersion":"gemini-2.5-pro"}`;

const sse_usage = {
  ...list('R35-claude', [
    claudeStream(), claudeStream('\r\n'), claudeStream('\r'), `\ufeff${claudeStream()}`, claudeStream().slice(0, 700), claudeStream().replaceAll('data: ', 'data:'),
    'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
    '{"id":"msg_1","type":"message","model":"claude-opus-4","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4,"speed":"fast"}}',
    '{"type":"error","error":{"type":"api_error","message":"x"}}',
  ]),
  ...list('R35-gemini', [
    `data: ${gemini()}\r\n\r\ndata: ${gemini(',"finishReason":"STOP"')}\r\n\r\n`, gemini(',"finishReason":"MAX_TOKENS"'), `[${gemini()}\n,\r\n${gemini(',"finishReason":"STOP"')}]`,
    `data: {"response":${gemini(',"finishReason":"STOP"')},"traceId":"t"}\n\n`, '{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}', '{"embedding":{"values":[0.1,-2e-5]}}', `data: ${gemini()}\n\n`.slice(0, 60),
  ]),
  ...list('R35-lines', [
    'data: a\ndata: b\n\n', 'data\n\n', 'data:\n\n', 'data:  two\n\n', ':\n\n', 'event: x\n\n', 'id: 1\nretry: 5\ndata: x\n\n', 'data: x', 'data: x\n', '\n\n\n', 'data: x\r\r\n\n', '\u00ef\u00bbdata: x\n\n', 'unknown: y\ndata: z\n\n',
    'data: {"usage":{"input_tokens":99999999999999999999,"output_tokens":-1}}\n\n', 'dat: x\ndatax: y\n\n', 'event:a\nevent:b\ndata:c\n\n', 'data: [DONE]\n\n',
  ]),
};

const json_rewrite = {
  ...list('R41-taken', [
    '{}', ' {"a" : 1 ,\t"b":[ ] }\n', '{"model":"claude-sonnet-4-5","max_tokens":1024,"stream":true,"messages":[{"role":"user","content":"H\u00e4llo \\ud83d\\ude00 \\u0000"}],"temperature":0.70,"metadata":{"user_id":"u_1"}}',
    '{"request":{"contents":[{"role":"user","parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":8192}},"project":"p","model":"gemini-2.5-flash"}',
    '{"n":[0,-0,1.5,-2E+10,1e-7,123456789012345678901234567890]}', '{"\\u006dodel":"x"}', '{"a":{"b":{"c":{"d":[[[[{}]]]]}}},"added":null}', `{"a":${'['.repeat(62)}${']'.repeat(62)}}`, '{"s":"\\"\\\\\\/\\b\\f\\n\\r\\t"}', '{"":0}', '{"messages":[{"role":"a","model":"no"},{"role":"b"}],"model":7}',
  ]),
  ...list('R41-refused', [
    '{"model":"a","model":"b"}', '{"model":"a","\\u006dodel":"b"}', '{"a":{"b":1,"b":2}}', '{} {}', '{}x', '[]', '"x"', '', '{', '{"a"}', '{"a":}', '{"a":1,}', '{,}', "{'a':1}", '{a:1}', '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":1e}', '{"a":NaN}',
    '{"a":tru}', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":"\\ud83d"}', '{"a":"x', `{"a":${'['.repeat(64)}${']'.repeat(64)}}`, '\ufeff{}', '{"a":1}//x', '{/**/}', '{"a":1 "b":2}', '{"a":"\0"}',
  ]),
  'R41-utf8-00': Buffer.from('7b2261223a22c0af227d', 'hex'), 'R41-utf8-01': Buffer.from('7b2261223a22eda080227d', 'hex'), 'R41-utf8-02': Buffer.from('7b2261223a22f4908080227d', 'hex'), 'R41-utf8-03': Buffer.from('7b2261223a22e4227d', 'hex'),
};

const path_policy = list('paths', [
  '/', '//', '/api/v1/messages', '/gemini//v1internal:loadCodeAssist', '/v1beta/models/gemini-2.5-pro:streamGenerateContent', '/.', '/..', '/a/../b', '/a/./b', '/%2e', '/%2E%2e/x', '/.%2e', '/a%2fb', '/a%5cb', '/a\\b', '/a%00b', '/a%', '/a%zz', '/100%25',
  '/%252e%252e/x', '/%25%32%65', '/%252525252e', '/a%252fb', '/a;b=/../c', '/...', '/..;/x', '/%c0%ae%c0%ae/', '/a/.%252e/b', 'api', '', '/api', '/apis/', '/api//',
]);

const socks = (reply) => `\x05\x00\x05${reply}\x00\x01\x7f\x00\x00\x01\x00\x50`;
const proxy_answer = {
  ...list('http', [
    'HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n', 'HTTP/1.0 200\r\n\r\n', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\nmore', 'HTTP/1.1 200 OK\n\n',
    'HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n<html>', 'HTTP/1.1 403 No\r\n\r\n', 'HTTP/1.1 502 Bad\r\n\r\n', 'HTTP/1.1 099 x\r\n\r\n', 'HTTP/2 200\r\n\r\n', 'SSH-2.0-x\r\n', `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(8166)}\r\n\r\n`, `HTTP/1.1 200 ${'y'.repeat(9000)}`,
  ]),
  ...list('socks', [
    ...['\0', '\x01', '\x02', '\x05', '\x09', '\xff'].map(socks), `${socks('\0')}x`, '\x05\x02\x01\x00\x05\x00\x00\x03\x04abcd\x01\xbb', '\x05\x02\x01\x01', '\x05\xff', '\x04\x00', '\x05\x00\x05\x00\x00\x04'.padEnd(24, 'x'), '\x05\x00\x05\x00\x00\x02xxxxxx',
  ].map((text) => Buffer.from(text, 'latin1'))),
};

const secret_text = list('texts', ['', '00', 'ff', 'FF', 'fF0', '0g', 'AA==', 'QQ==', 'QR==', 'QUI=', 'QUJD', 'Q', 'QQ=', 'QQ===', 'Q=Q=', 'QU JD', 'QUJD\n', '-_-_', '+/+/', 'QUJ\0', 'sk-ant-api03-xyz', 'cr_0123456789abcdef'].concat('\0'));

const resp = list('R37', [
  '+OK\r\n', '-ERR unknown command\r\n', ':-9223372036854775808\r\n', ':9223372036854775808\r\n', '$5\r\nhel\0o\r\n', '$-1\r\n', '$0\r\n\r\n', '*-1\r\n', '*0\r\n', '*2\r\n*1\r\n:1\r\n$2\r\nab\r\n+OK\r\n',
  '*2147483647\r\n', '*2147483648\r\n', '*-2\r\n', '$2147483647\r\nx', '$-2\r\n', '*1\r\n'.repeat(7) + ':1\r\n', '*1\r\n'.repeat(9) + ':1\r\n', '$3\r\nabcd\r\n', ':\r\n', ':1a\r\n', '+a\nb\r\n', '_\r\n', '%1\r\n+a\r\n+b\r\n',
  'HTTP/1.1 400 Bad Request\r\n\r\n', '\x15\x03\x03\x00\x02\x02\x16', '*3\r\n$3\r\nSET\r\n', '\r\n', '\0',
]);

const text = 'data: {"usage":{"input_tokens":3}}\n\n'.repeat(40);
const inflate = {
  'gzip-00': gzipSync(text), 'gzip-01': gzipSync(''), 'gzip-02': Buffer.concat([gzipSync('a'), gzipSync('b')]), 'gzip-03': gzipSync(Buffer.alloc(1 << 21)).subarray(0, 2000), 'gzip-04': gzipSync(text).subarray(0, 40), 'gzip-05': Buffer.concat([gzipSync('a'), Buffer.from('junk')]),
  'deflate-00': deflateSync(text), 'deflate-01': deflateRawSync(text), 'deflate-02': deflateSync(text, {level: 0}), 'deflate-03': deflateRawSync('x', {level: 0}), 'deflate-04': deflateSync(text).subarray(0, 20), 'deflate-05': deflateSync(Buffer.alloc(1 << 21)),
};

const yaml = (path) => readFileSync(join(kRoot, path), 'utf8');
const relay_yaml = {
  'R40-shipped': yaml('relay.yaml'),
  ...Object.fromEntries(readdirSync(join(kRoot, 'tests/golden/config')).filter((name) => name.endsWith('.yaml')).map((name) => [`golden-${name.slice(0, -5)}`, yaml(join('tests/golden/config', name))])),
  ...list('R40-refused', [
    'a: &x [1]\nb: *x\n', 'a: &a [*a]\n', 'a: {<<: {b: 1}}\n', 'a: !!binary aGk=\n', '--- a\n--- b\n', 'a: 1\na: 2\n', '['.repeat(40), `${'- '.repeat(40)}x\n`, 'a: ${NOPE}\n', 'a: ${EMPTY}\n', 'a: ${KEY:-x}\n', 'a: ${NOPE:=x}\n', 'a: $${x}\n', 'a: ${', 'a: ${file:/dev/zero}\n', 'a: ${file:no}\n',
    'a: ${LINES}\nb: ${MARK}\n', '? [a]\n: b\n', '\ta: b\n', 'a: "\\u0000"\n', '%YAML 1.2\n---\na: b\n', '\ufeffa: b\n', 'a: |\n  b\n  c\n', 'a: >-\n  b\n\n  c\n', 'a: [1, "1", true, "true", null, ~, 1e3, 0x10, .inf]\n', '', '# nothing\n', 'a: b: c\n', "'a\nb': c\n",
  ]),
};

const kTargets = {h1_request, h1_response, h2_frames, h2_client, sse_usage, json_rewrite, path_policy, proxy_answer, secret_text, inflate, relay_yaml, resp};

const folder = process.argv[2];
if (folder === undefined) {
  console.error('usage: node seeds.mjs FOLDER');
  process.exit(2);
}
for (const [target, seeds] of Object.entries(kTargets)) {
  mkdirSync(join(folder, target), {recursive: true});
  for (const [name, bytes] of Object.entries(seeds)) writeFileSync(join(folder, target, name), bytes);
}
