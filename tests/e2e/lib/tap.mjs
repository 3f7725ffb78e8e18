// SPDX-License-Identifier: MIT
//
// A tap in the wire between a client and the relay: forwards bytes both ways untouched, keeps them, and
// reads them afterwards. It shows what the client really sent and really got, so that neither side's
// word has to be taken for it.

import {createHash} from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import {Duplex} from 'node:stream';

export async function startTap(targetPort) {
  let lines = [];
  const sockets = new Set();
  const server = net.createServer({noDelay: true, allowHalfOpen: true}, (client) => {
    const relay = net.connect({port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true});
    const line = {sent: [], got: [], open: true};
    lines.push(line);
    join(client, relay, line.sent);
    join(relay, client, line.got);
    for (const socket of [client, relay]) {
      sockets.add(socket);
      socket.on('close', () => {
        sockets.delete(socket);
        line.open = false;
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    /** Forgets what passed; a connection that is kept alive goes on being read. */
    clear() {
      lines = lines.filter(({open}) => open);
      for (const line of lines) line.sent.length = line.got.length = 0;
    },
    /** All exchanges as {connection, request: {method, path, rawHeaders, body}, response}; response may be null. */
    async exchanges() {
      const found = [];
      for (const [connection, line] of lines.entries()) {
        const requests = await readRequests(Buffer.concat(line.sent));
        const responses = readResponses(Buffer.concat(line.got), requests.map(({method}) => method));
        requests.forEach((request, i) => found.push({connection, request, response: responses[i] ?? null}));
      }
      return found;
    },
    /** Every byte that clients got. */
    got: () => Buffer.concat(lines.flatMap(({got}) => got)),
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function join(from, to, kept) {
  from.on('data', (bytes) => {
    kept.push(bytes);
    if (!to.write(bytes)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  });
  from.on('end', () => to.end());
  from.on('error', () => to.resetAndDestroy());
  from.on('close', () => to.destroySoon());
}

/** The requests in the bytes of one connection, read by node's own parser. */
async function readRequests(bytes) {
  const requests = [];
  const server = http.createServer({maxHeaderSize: 256 * 1024}, (request, response) => {
    const chunks = [];
    const {method, url, rawHeaders} = request;
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('error', () => {});
    request.on('end', () => {
      requests.push({method, path: url, rawHeaders, body: Buffer.concat(chunks)});
      response.end();
    });
  });
  server.on('clientError', () => {});
  const socket = new Duplex({read() {}, write: (chunk, encoding, done) => done()});
  server.emit('connection', socket);
  socket.push(bytes);
  socket.push(null);
  // The parser works in this turn and the next ones; a request that is not whole never arrives.
  for (let turn = 0; turn < 50; ++turn) await new Promise(setImmediate);
  socket.destroy();
  return requests;
}

/** The final responses to requests of these methods, in order; one that is not whole has `whole: false`. */
function readResponses(bytes, methods) {
  const responses = [];
  let at = 0;
  for (const method of methods) {
    let response;
    do {
      const end = bytes.indexOf('\r\n\r\n', at);
      if (end < 0) return responses;
      response = readHead(bytes.toString('latin1', at, end));
      at = end + 4;
    } while (response.status < 200);
    const bodiless = method === 'HEAD' || response.status === 204 || response.status === 304;
    if (!bodiless) at = readBody(response, bytes, at);
    response.sha256 = createHash('sha256').update(response.body).digest('hex');
    responses.push(response);
  }
  return responses;
}

function readHead(text) {
  const [first, ...fields] = text.split('\r\n');
  const rawHeaders = fields.flatMap((field) => {
    const colon = field.indexOf(':');
    return [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  const headers = {};
  for (let i = 0; i < rawHeaders.length; i += 2) headers[rawHeaders[i].toLowerCase()] = rawHeaders[i + 1];
  return {status: Number(first.split(' ')[1]), headers, rawHeaders, body: Buffer.alloc(0), whole: true};
}


function readBody(response, bytes, at) {
  const {headers} = response;
  if (headers['transfer-encoding'] === 'chunked') return readChunks(response, bytes, at);
  const length = headers['content-length'] === undefined ? bytes.length - at : Number(headers['content-length']);
  response.body = bytes.subarray(at, at + length);
  response.whole = response.body.length === length;
  return at + response.body.length;
}

function readChunks(response, bytes, at) {
  const chunks = [];
  for (;;) {
    const end = bytes.indexOf('\r\n', at);
    const size = end < 0 ? NaN : parseInt(bytes.toString('latin1', at, end), 16);
    response.whole = !(Number.isNaN(size) || end + 2 + size + 2 > bytes.length);
    if (Number.isNaN(size)) break;
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
    if (size === 0 || !response.whole) break;
  }
  response.body = Buffer.concat(chunks);
  return at;
}
