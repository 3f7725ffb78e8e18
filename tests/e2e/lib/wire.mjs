// SPDX-License-Identifier: MIT
//
// Clients that know no manners: HTTP/1.1 by hand over a socket, where each byte and each end shows, and
// HTTP/2 by node's own module. Every wait is bounded.

import {createHash} from 'node:crypto';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';

const kWait = 20_000;

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Rejects when the promise has not settled after `ms`. */
export function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Something that changes, and is waited for: a connection to which bytes come. */
export class Changing {
  waiting = new Set();

  changed() {
    for (const check of this.waiting) check();
  }

  /** Until `test()` holds, looked at whenever something changed. */
  until(test, what = 'until', ms = kWait) {
    return within(ms, new Promise((resolve) => {
      const check = () => {
        if (!test()) return;
        this.waiting.delete(check);
        resolve();
      };
      this.waiting.add(check);
      check();
    }), what);
  }
}

/** A connection of HTTP/1.1 on which the test says what is written and when it is read. */
export class Http1 extends Changing {
  /** tls: options of tls.connect, for a listener with TLS. */
  static async connect(port, {tls: tlsOptions} = {}) {
    const client = new Http1();
    const socket = tlsOptions ? tls.connect({port, host: '127.0.0.1', ...tlsOptions})
      : net.connect({port, host: '127.0.0.1', noDelay: true});
    client.socket = socket;
    socket.on('data', (bytes) => {
      client.pieces.push(bytes);
      client.changed();
    });
    socket.on('end', () => client.over('end'));
    socket.on('error', (error) => client.over(error.code));
    socket.on('close', () => client.over('closed'));
    await within(kWait, new Promise((resolve, reject) => {
      socket.once(tlsOptions ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    }), 'connect');
    return client;
  }

  constructor() {
    super();
    this.pieces = [];
    /** How the connection ended: 'end' (FIN), 'ECONNRESET', … ; null while it is open. */
    this.ended = null;
  }

  over(how) {
    this.ended ??= how;
    this.changed();
  }

  /** What came and was not taken by response(). */
  get held() {
    if (this.pieces.length > 1) this.pieces = [Buffer.concat(this.pieces)];
    return this.pieces[0] ?? Buffer.alloc(0);
  }

  /** Writes; resolves when the system has it (or the peer is gone). */
  send(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** The next final response: {status, headers, rawHeaders, body, whole, interim: [statuses]}. Throws if no head came. */
  async response(method = 'GET', ms = kWait) {
    let parsed = null;
    await this.until(() => {
      parsed = parseResponse(this.held, method, this.ended !== null);
      return parsed?.done || this.ended !== null;
    }, `response to ${method}`, ms);
    if (parsed === null) throw new Error(`no response: ${this.ended}, ${JSON.stringify(this.held.toString('latin1', 0, 200))}`);
    this.pieces = [this.held.subarray(parsed.length)];
    return parsed;
  }

  /** The response as far as it has come, not taken; null before its head. */
  soFar(method = 'GET') {
    return parseResponse(this.held, method, this.ended !== null);
  }

  end(how = 'ECONNRESET or FIN', ms = kWait) {
    return this.until(() => this.ended !== null, `the end of the connection (${how})`, ms);
  }

  destroy() {
    this.socket.destroy();
  }

  /** Ends with RST rather than FIN. */
  reset() {
    this.socket.resetAndDestroy();
  }
}

/** A request as bytes. headers: an object or a list of [name, value]; a body gets its length unless chunked. */
export function request1(method, target, headers = {}, body = null, {chunks = null} = {}) {
  const fields = Array.isArray(headers) ? headers : Object.entries(headers);
  const has = (name) => fields.some(([field]) => field.toLowerCase() === name);
  const lines = [`${method} ${target} HTTP/1.1`, ...(has('host') ? [] : ['Host: relay.test']),
    ...fields.map(([name, value]) => `${name}: ${value}`)];
  if (chunks !== null) lines.push('Transfer-Encoding: chunked');
  else if (body !== null && !has('content-length')) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  const parts = [Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')];
  if (chunks !== null) {
    for (const chunk of chunks) parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
    parts.push(Buffer.from('0\r\n\r\n'));
  } else if (body !== null) {
    parts.push(Buffer.from(body));
  }
  return Buffer.concat(parts);
}

function parseResponse(bytes, method, ended) {
  const interim = [];
  let at = 0;
  let head;
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n', at);
    if (end < 0) return null;
    head = parseHead(bytes.toString('latin1', at, end));
    at = end + 4;
    if (head.status >= 200) break;
    interim.push(head.status);
  }
  const response = {...head, interim, body: Buffer.alloc(0), whole: false, done: false, length: bytes.length};
  const finish = (body, length) => Object.assign(response, {body, whole: true, done: true, length});
  if (method === 'HEAD' || head.status === 204 || head.status === 304) return finish(response.body, at);
  if (head.headers['transfer-encoding'] === 'chunked') return readChunks(response, bytes, at, finish);
  if (head.headers['content-length'] === undefined) {
    response.body = bytes.subarray(at);
    response.whole = ended;
    return response;
  }
  const length = Number(head.headers['content-length']);
  response.body = bytes.subarray(at, at + length);
  return response.body.length === length ? finish(response.body, at + length) : response;
}

function parseHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const rawHeaders = lines.flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  const headers = {};
  for (let i = 0; i < rawHeaders.length; i += 2) headers[rawHeaders[i].toLowerCase()] = rawHeaders[i + 1];
  return {status: Number(first.split(' ')[1]), first, headers, rawHeaders};
}

function readChunks(response, bytes, at, finish) {
  const chunks = [];
  for (;;) {
    const end = bytes.indexOf('\r\n', at);
    const size = end < 0 ? NaN : parseInt(bytes.toString('latin1', at, end), 16);
    if (Number.isNaN(size)) break;
    if (end + 2 + size + 2 > bytes.length) {
      chunks.push(bytes.subarray(end + 2, end + 2 + size));
      break;
    }
    if (size === 0) return finish(Buffer.concat(chunks), end + 4);
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  response.body = Buffer.concat(chunks);
  return response;
}

/** One request on a connection of its own. options: {headers, body, chunks, tls}. */
export async function ask1(port, method, target, {headers, body = null, chunks, tls: tlsOptions} = {}) {
  const client = await Http1.connect(port, {tls: tlsOptions});
  try {
    client.send(request1(method, target, headers, body, {chunks}));
    return await client.response(method);
  } finally {
    client.destroy();
  }
}

/** A session of HTTP/2: with prior knowledge, or by ALPN where `options` has a `ca`. */
export async function connect2(port, options = {}) {
  const session = http2.connect(`${options.ca ? 'https' : 'http'}://127.0.0.1:${port}`, options);
  session.on('error', () => {});
  await within(kWait, new Promise((resolve, reject) => {
    session.once('connect', resolve);
    session.once('error', reject);
  }), 'connect by HTTP/2');
  return session;
}

/**
 * One request on a session: {status, headers, body, whole, code}; code: of a RST_STREAM, 0 without one.
 * body: bytes, or a list of pieces that go as DATA frames of their own.
 */
export function ask2(session, method, target, {headers = {}, body = null} = {}) {
  const stream = session.request({':method': method, ':path': target, ...headers}, {endStream: body === null});
  const answer = {status: null, headers: {}, body: Buffer.alloc(0), whole: false, code: 0};
  const chunks = [];
  const done = new Promise((resolve) => {
    stream.on('response', (head) => Object.assign(answer, {status: head[':status'], headers: head}));
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      answer.whole = true;
      // Node forgets some streams whose body the peer did not want any more (RST_STREAM with NO_ERROR).
      setTimeout(() => stream.destroy(), 500).unref();
    });
    stream.on('error', () => {});
    stream.on('close', () => {
      answer.code = stream.rstCode;
      answer.whole &&= stream.rstCode === 0;
      answer.body = Buffer.concat(chunks);
      resolve(answer);
    });
  });
  if (body !== null) {
    for (const piece of [body].flat()) stream.write(piece);
    stream.end();
  }
  return within(60_000, done, `${method} ${target} by HTTP/2`);
}

/** The events of a stream as {event, data}; data is parsed where it is JSON. */
export function eventsOf(body) {
  return body.toString().split(/\r?\n\r?\n/).filter((block) => block.trim() !== '').map((block) => {
    const lines = block.split(/\r?\n/);
    const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim()).join('\n');
    let data = field('data');
    try {
      data = JSON.parse(data);
    } catch {
      // Left as text.
    }
    return {event: field('event'), data};
  });
}
