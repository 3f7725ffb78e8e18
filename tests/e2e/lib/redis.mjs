// SPDX-License-Identifier: MIT
//
// A real redis-server for a relay, a client that looks into it, and a wire to it that can be slowed down, stalled,
// made to trickle, and cut.

import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import {serve} from './process.mjs';
import {sleep} from './waiting.mjs';

export const kRedisPassword = 'redis-pass-5e5e5e5e';

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The replies of RESP2 in a buffer, and how many bytes they took. */
function readReplies(bytes) {
  const replies = [];
  let at = 0;
  const line = () => {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) throw new RangeError('more');
    const text = bytes.toString('utf8', at, end);
    at = end + 2;
    return text;
  };
  const one = () => {
    const text = line();
    const rest = text.slice(1);
    if (text[0] === '+') return rest;
    if (text[0] === '-') return new Error(rest);
    if (text[0] === ':') return Number(rest);
    const size = Number(rest);
    if (size < 0) return null;
    if (text[0] === '*') return Array.from({length: size}, one);
    if (bytes.length < at + size + 2) throw new RangeError('more');
    at += size + 2;
    return bytes.toString('utf8', at - size - 2, at - 2);
  };
  let taken = 0;
  try {
    while (at < bytes.length) {
      replies.push(one());
      taken = at;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return {replies, taken};
}

const command = (words) => `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

/** A connection that is logged in; `onReply` gets all but that. */
async function open(port, onReply) {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => {});
  let bytes = Buffer.alloc(0);
  let loggedIn = false;
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more]);
    const {replies, taken} = readReplies(bytes);
    bytes = bytes.subarray(taken);
    for (const reply of replies) {
      if (loggedIn) onReply(reply);
      loggedIn = true;
    }
  });
  socket.write(command(['AUTH', kRedisPassword]));
  return socket;
}

/** A server in `folder` with an append-only file there, which outlives kill and start. */
export async function startRedis({folder}) {
  const port = await freePort();
  const data = path.join(folder, 'redis');
  fs.mkdirSync(data, {recursive: true});
  const portFile = path.join(data, 'up');
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', data, '--save', '', '--appendonly', 'yes',
    '--requirepass', kRedisPassword, '--pidfile', path.join(data, 'pid'), '--daemonize', 'no'];
  let server;
  const redis = {
    port,
    folder: data,
    async start() {
      // Its port is known beforehand.
      fs.writeFileSync(portFile, String(port));
      server = await serve('redis-server', args, {env: {PATH: process.env.PATH}, cwd: data, portFile});
      for (let i = 0; i < 500; ++i) {
        // It listens before it has read its file.
        if (await redis.ask('PING').catch(() => null) === 'PONG') return;
        await sleep(10);
      }
      throw new Error(`redis-server does not serve:\n${server.log()}`);
    },
    async kill() {
      server.child.kill('SIGKILL');
      await server.child.ended;
    },
    stop: () => server.stop(),
    /** The answer to a command; an Error when the server says so. */
    async ask(...words) {
      let socket;
      const answer = await new Promise((resolve, reject) => {
        open(port, resolve).then((opened) => {
          socket = opened;
          socket.write(command(words));
          socket.on('close', () => reject(new Error('the server closed the connection')));
        }, reject);
      });
      socket.destroy();
      return answer;
    },
    /** Commands that clients send from now on, those of this object and of scripts left out. */
    async monitor() {
      const seen = [];
      const socket = await open(port, (line) => {
        if (typeof line === 'string' && line !== 'OK' && !/^\S+ \[\d+ lua\]/.test(line)) seen.push(line.replace(/^\S+ \[[^\]]*\] /, '').slice(0, 60));
      });
      socket.write(command(['MONITOR']));
      await redis.ask('PING');
      while (!seen.some((line) => line.startsWith('"PING"'))) await sleep(5);
      seen.length = 0;
      return {seen, stop: () => socket.destroy()};
    },
    /** Requests in the ledger, folded or not. */
    async requests() {
      let sum = 0;
      for (const key of [...await redis.ask('KEYS', 'relay:epoch:*'), ...await redis.ask('KEYS', 'relay:days:*')]) {
        const rows = await redis.ask('HGETALL', key);
        for (let i = 0; i < rows.length; i += 2) if (rows[i].startsWith('d|')) sum += Number(rows[i + 1].split(' ')[0]);
      }
      return sum;
    },
  };
  await redis.start();
  return redis;
}

/** A wire to `target`. `delay`: ms each way; `mode`: pass, stall (nothing goes on), trickle (a byte each 20 ms back). */
export async function startWire(target) {
  const sockets = new Set();
  const wire = {port: 0, delay: 0, mode: 'pass', connections: 0};
  const carry = (from, to, back) => {
    let chain = Promise.resolve();
    const waits = (ms) => sleep(ms);
    from.on('data', (bytes) => {
      const due = Date.now() + wire.delay;
      chain = chain.then(async () => {
        if (wire.delay > 0) await waits(Math.max(0, due - Date.now()));
        while (wire.mode === 'stall' && !to.destroyed) await waits(20);
        for (let at = 0; at < bytes.length && !to.destroyed;) {
          const size = wire.mode === 'trickle' && back ? 1 : bytes.length - at;
          to.write(bytes.subarray(at, at + size));
          at += size;
          if (at < bytes.length) await waits(20);
        }
      });
    });
    from.on('close', () => chain.then(() => to.destroy()));
  };
  const server = net.createServer({noDelay: true}, (client) => {
    ++wire.connections;
    const redis = net.connect({port: target, host: '127.0.0.1', noDelay: true});
    for (const socket of [client, redis]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    carry(client, redis, false);
    carry(redis, client, true);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  wire.port = server.address().port;
  wire.cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  wire.stop = () => {
    server.close();
    wire.cut();
  };
  return wire;
}
