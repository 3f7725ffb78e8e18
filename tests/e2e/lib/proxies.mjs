// SPDX-License-Identifier: MIT
//
// Outbound proxies of other people's making, started and stopped by a test: tinyproxy (HTTP's CONNECT) and
// microsocks (SOCKS5), both from Debian. Each keeps what it says of its connections.

import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import {serve} from './process.mjs';
import {sleep} from './waiting.mjs';

/** A port that was free a moment ago. */
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilItListens(port) {
  for (let i = 0; i < 500; ++i) {
    const there = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => resolve(false));
    });
    if (there) return;
    await sleep(10);
  }
  throw new Error(`nobody listens on ${port}`);
}

async function start(program, args, port, folder) {
  // Neither tells that it is ready, so the port file is ours.
  const portFile = path.join(folder, 'proxy.port');
  fs.writeFileSync(portFile, `${port}\n`);
  const server = await serve(program, args, {env: {PATH: process.env.PATH}, cwd: folder, portFile});
  await untilItListens(port);
  return server;
}

const kKinds = {
  http: async ({port, user, password, only, folder}) => {
    const config = path.join(folder, 'tinyproxy.conf');
    fs.writeFileSync(config, `Port ${port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogLevel Connect\n` +
      `${user ? `BasicAuth ${user} ${password}\n` : ''}${only ? `ConnectPort ${only}\n` : ''}`);
    return {...await start('tinyproxy', ['-d', '-c', config], port, folder),
      connects: (log) => [...log.matchAll(/Request \(file descriptor \d+\): CONNECT (\S+) /g)].map(([, to]) => to)};
  },
  socks5: async ({port, user, password, folder}) => ({
    ...await start('microsocks', ['-i', '127.0.0.1', '-p', `${port}`, ...(user ? ['-u', user, '-P', password] : [])], port, folder),
    connects: (log) => [...log.matchAll(/connected to (\S+)/g)].map(([, to]) => to)}),
};

/**
 * kind: 'http' or 'socks5'. user, password: whom it lets in; none: everybody. only: the one port that it connects to.
 * Answers {url, port, child, connects() (whom it connected to, as host:port), stop()}.
 */
export async function startProxy(kind, {user, password, only} = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-proxy-'));
  const port = await freePort();
  const proxy = await kKinds[kind]({port, user, password, only, folder});
  return {
    port,
    child: proxy.child,
    url: (login = user ? `${encodeURIComponent(user)}:${encodeURIComponent(password)}` : '') =>
      `${kind}://${login ? `${login}@` : ''}127.0.0.1:${port}`,
    connects: () => proxy.connects(proxy.log()),
    async stop() {
      proxy.child.kill('SIGCONT');
      await proxy.stop();
      fs.rmSync(folder, {recursive: true, force: true});
    },
  };
}
