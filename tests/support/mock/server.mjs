// SPDX-License-Identifier: MIT
//
// The mock's listeners: HTTP/1.1 and HTTP/2 on one port, plain (HTTP/2 with prior knowledge) or TLS
// (ALPN), and the path of a request through journal, strictness, faults and vendor.

import {createHash} from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';

import {anthropicErrors, answerAnthropic, isAnthropicPath} from './anthropic.mjs';
import {answerControl, kControlPrefix} from './control.mjs';
import {clientSecrets, Credentials, forbiddenHeaders} from './credentials.mjs';
import {FaultQueue, Faults} from './faults.mjs';
import {answerGemini, geminiErrors, isGeminiPath} from './gemini.mjs';
import {Journal} from './journal.mjs';
import {TokenEndpoints} from './oauth.mjs';
import {Reply} from './reply.mjs';

const kHttp2Preface = 'PRI * HTTP/2.0';
const kMaxHeadBytes = 256 * 1024;

/**
 * Starts the mock. options: {host, port, controlPort, tls: {cert, key}, latencyMs, credentials
 * (see Credentials), projects: {token: project}, forbidden: [text]}. Answers {port, controlPort,
 * url, journal, queue, close()}.
 */
export async function startMock(options = {}) {
  const mock = new Mock(options);
  await mock.listen();
  return mock;
}

class Mock {
  constructor({host = '127.0.0.1', port = 0, controlPort = 0, tls, latencyMs = 0, credentials, projects = {}, forbidden = []}) {
    Object.assign(this, {host, wantedPort: port, wantedControlPort: controlPort, tls, latencyMs});
    this.credentials = new Credentials(credentials);
    this.tokens = new TokenEndpoints(this.credentials);
    this.projects = new Map(Object.entries(projects));
    this.forbidden = [...forbidden];
    this.forbiddenHeaders = new Set();
    this.journal = new Journal();
    this.queue = new FaultQueue();
    this.rawSockets = new Map();
  }

  reset() {
    this.journal.reset();
    this.queue.clear();
    this.credentials.revoked.clear();
    this.tokens.reset();
  }

  connections() {
    return this.rawSockets.size;
  }

  async listen() {
    const onRequest = (request, response) => this.onRequest(request, response);
    const limits = {maxHeaderSize: kMaxHeadBytes, keepAliveTimeout: 120_000, requestTimeout: 0, headersTimeout: 0};
    if (this.tls !== undefined) {
      this.protocol = http2.createSecureServer({...this.tls, allowHTTP1: true, ...limits}, onRequest);
      this.protocol.keepAliveTimeout = limits.keepAliveTimeout;
    } else {
      this.protocol = http.createServer(limits, onRequest);
      this.plainHttp2 = http2.createServer(onRequest);
      this.plainHttp2.on('sessionError', () => {});
    }
    this.protocol.on('clientError', (error, socket) => socket.destroy());
    this.protocol.on('tlsClientError', () => {});
    this.listener = net.createServer({noDelay: true}, (socket) => this.onConnection(socket));
    this.port = await listenOn(this.listener, this.wantedPort, this.host);
    this.control = http.createServer((request, response) => this.onControl(request, response));
    this.controlPort = await listenOn(this.control, this.wantedControlPort, this.host);
    this.url = `${this.tls === undefined ? 'http' : 'https'}://${this.host}:${this.port}`;
    this.controlUrl = `http://${this.host}:${this.controlPort}`;
  }

  close() {
    this.listener.close();
    this.control.close();
    this.control.closeAllConnections();
    for (const socket of this.rawSockets.values()) socket.destroy();
  }

  onConnection(socket) {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.rawSockets.set(peer, socket);
    socket.on('error', () => {});
    socket.on('close', () => this.rawSockets.delete(peer));
    if (this.tls !== undefined) {
      this.protocol.emit('connection', socket);
      return;
    }
    // Prior-knowledge HTTP/2 shows in the first byte: no HTTP/1 method that clients use begins "PR".
    socket.once('data', (bytes) => {
      const start = bytes.toString('latin1', 0, kHttp2Preface.length);
      const isHttp2 = start.length >= 2 && kHttp2Preface.startsWith(start);
      socket.pause();
      socket.unshift(bytes);
      (isHttp2 ? this.plainHttp2 : this.protocol).emit('connection', socket);
      if (!isHttp2) socket.resume();
    });
  }

  onControl(request, response) {
    const url = new URL(request.url, 'http://mock');
    return collect(request).then((body) =>
      answerControl(this, request.method, url.pathname, url.searchParams, body, (status, value) => {
        const bytes = Buffer.isBuffer(value) ? value : Buffer.from(`${JSON.stringify(value, null, 1)}\n`);
        response.writeHead(status, {'content-type': 'application/json', 'content-length': String(bytes.length)});
        response.end(bytes);
      }), () => response.destroy());
  }

  onRequest(request, response) {
    response.on('error', () => {});
    request.on('error', () => {});
    if (request.url.startsWith(kControlPrefix)) return this.onControl(request, response);
    this.exchange(request, response).catch((error) => {
      process.stderr.write(`mock: ${request.method} ${request.url}: ${error.stack}\n`);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  }

  async exchange(request, response) {
    const url = new URL(request.url, 'http://mock');
    const record = this.openRecord(request, url);
    const reply = new Reply({request, response, raw: this.rawOf(request), record,
      faults: new Faults(), latencyMs: this.latencyMs, vendor: anthropicErrors});
    response.on('close', () => {
      reply.onClose();
      this.journal.close(record, !record.finished || !response.writableFinished);
    });
    record.credential = this.credentials.of(request.headers, url.searchParams);
    const isGemini = !isAnthropicPath(url.pathname, record.credential) && isGeminiPath(url.pathname);
    if (isGemini) reply.vendor = geminiErrors;
    const early = Faults.parse(request.headers['x-mock-fault'] ?? '');
    if (early.has('reset-before-body')) {
      record.faults = early.names();
      return reply.reset();
    }
    const body = await this.readBody(request, record);
    if (body === null) return undefined;
    this.findLeaks(request, body, record);
    reply.faults = early.list.length > 0 ? early : this.queue.take({
      path: request.url, method: request.method, credential: record.credential?.value, tag: record.tag, model: record.model});
    record.faults = reply.faults.names();
    if (reply.faults.has('reset-before-body')) return reply.reset();
    const call = {method: request.method, path: url.pathname, query: url.searchParams,
      headers: request.headers, body, record, reply, journal: this.journal, projects: this.projects,
      grants: this.tokens.grants};
    if (record.leaks.some((what) => what.startsWith('secret'))) return this.answerLeak(call);
    if (TokenEndpoints.handles(url.pathname)) return this.tokens.answer(call);
    if (isGemini) return answerGemini(call);
    if (isAnthropicPath(url.pathname, record.credential)) return answerAnthropic(call);
    return this.answerElsewhere(call);
  }

  openRecord(request, url) {
    return this.journal.open({
      tag: request.headers['x-mock-tag'] ?? null,
      method: request.method,
      path: request.url,
      pathname: url.pathname,
      httpVersion: request.httpVersion,
      tls: this.tls !== undefined,
      connection: `${request.socket.remoteAddress}:${request.socket.remotePort}`,
      rawHeaders: [...request.rawHeaders],
    });
  }

  rawOf(request) {
    return this.rawSockets.get(`${request.socket.remoteAddress}:${request.socket.remotePort}`);
  }

  /** The whole body; null when the peer left before it was complete. */
  async readBody(request, record) {
    let body;
    try {
      body = await collect(request, (chunk) => (record.bodyLength += chunk.length));
    } catch {
      return null;
    }
    record.bodyComplete = true;
    record.bodySha256 = createHash('sha256').update(body).digest('hex');
    this.journal.keepBody(record, body);
    const model = /"model"\s*:\s*"([^"]{1,128})"/.exec(body.toString('latin1', 0, 16384)) ??
                  /\/models\/([^/:?]+)/.exec(record.path);
    record.model = model?.[1] ?? null;
    return body;
  }

  findLeaks(request, body, record) {
    const head = Buffer.from([request.method, request.url, ...request.rawHeaders].join('\n'), 'latin1');
    const query = Buffer.from(safeDecode(request.url));
    for (const [place, bytes] of [['head', head], ['query', query], ['body', body]]) {
      for (const secret of clientSecrets(bytes, this.forbidden)) {
        this.journal.leak(record, `secret ${secret} in ${place}`);
      }
    }
    for (const what of forbiddenHeaders(request.rawHeaders, this.forbiddenHeaders)) this.journal.leak(record, what);
  }

  answerLeak(call) {
    call.reply.faults = new Faults();
    const message = `a secret of the client side reached the upstream: ${call.record.leaks.join(', ')}`;
    return call.reply.json(500, {type: 'error', error: {type: 'api_error', message, code: 500}});
  }

  answerElsewhere(call) {
    if (call.path === '/') return call.reply.send(200, {'content-type': 'text/plain'}, 'mock upstream\n');
    const {headers, body} = call.reply.vendor.errorBody(404, {message: 'Not Found'});
    return call.reply.send(404, {'content-type': 'application/json', ...headers}, body);
  }
}

function listenOn(server, port, host) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({port, host, backlog: 4096}, () => resolve(server.address().port));
  });
}

async function collect(request, onChunk = () => {}) {
  const chunks = [];
  await new Promise((resolve, reject) => {
    request.on('data', (chunk) => {
      onChunk(chunk);
      chunks.push(chunk);
    });
    request.on('end', resolve);
    request.on('error', reject);
    request.on('aborted', () => reject(new Error('aborted')));
    request.on('close', () => reject(new Error('closed')));
  });
  return Buffer.concat(chunks);
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
