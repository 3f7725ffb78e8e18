// SPDX-License-Identifier: MIT
//
// An upstream of HTTP/1.1 that keeps every byte that reaches it, in order. It reads requests more
// strictly than any server: whatever is not a head and a body of an announced length is kept as
// nonsense, and the connection ends.

import net from 'node:net';

const kOk = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}');
const kHead = /^[A-Z]+ \/[!-~]* HTTP\/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\t -~\x80-\xff]*\r\n)+\r\n$/;

export async function startRecorder() {
  let kept = [];
  let nonsense = [];
  const connections = [];
  const recorder = {
    /** What a whole request {method, target, head, body, number} gets: bytes; null: nothing. */
    answer: () => kOk,
    connections,
    /** What came since the last call: {bytes, nonsense: what could not be read as a request}. */
    take() {
      const taken = {bytes: Buffer.concat(kept), nonsense};
      kept = [];
      nonsense = [];
      return taken;
    },
  };
  let number = 0;
  const server = net.createServer({noDelay: true}, (socket) => {
    const connection = {socket, requests: 0, ended: null};
    connections.push(connection);
    let held = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      kept.push(bytes);
      held = Buffer.concat([held, bytes]);
      for (;;) {
        const request = readRequest(held);
        if (request === null) return;
        if (request.broken) {
          nonsense.push(held.toString('latin1', 0, 2000));
          socket.destroy();
          return;
        }
        held = held.subarray(request.length);
        ++connection.requests;
        const answer = recorder.answer({...request, number: ++number}, connection);
        if (answer !== null && !socket.destroyed) socket.write(answer);
      }
    });
    socket.on('end', () => (connection.ended ??= 'end'));
    socket.on('error', (error) => (connection.ended ??= error.code));
    socket.on('close', () => (connection.ended ??= 'closed'));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  recorder.port = server.address().port;
  recorder.url = `http://127.0.0.1:${recorder.port}`;
  recorder.stop = () => {
    server.close();
    for (const {socket} of connections) socket.destroy();
  };
  return recorder;
}

/** The first request: null while it is not whole; {broken} when it is none. */
function readRequest(bytes) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const head = bytes.toString('latin1', 0, end + 4);
  const fields = (name) => head.split('\r\n').slice(1).filter((line) => line.toLowerCase().startsWith(`${name}:`));
  const lengths = fields('content-length').map((line) => line.slice('content-length:'.length).trim());
  const framed = lengths.length <= 1 && lengths.every((text) => /^\d{1,10}$/.test(text)) && fields('transfer-encoding').length === 0;
  if (!framed || !kHead.test(head) || fields('host').length !== 1) return {broken: true};
  const length = end + 4 + Number(lengths[0] ?? 0);
  if (bytes.length < length) return null;
  const [method, target] = head.split(' ');
  return {method, target, head, body: bytes.subarray(end + 4, length), length};
}
