// SPDX-License-Identifier: MIT
//
// Child processes: one that runs to its end, and one that serves until it is stopped. Every child
// gets exactly the environment it is given, and none outlives its time or this process.

import {spawn} from 'node:child_process';
import fs from 'node:fs';

import {sleep} from './waiting.mjs';

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function start(command, args, {env, cwd, stdin = 'ignore'}) {
  const child = spawn(command, args, {env, cwd, stdio: [stdin, 'pipe', 'pipe']});
  running.add(child);
  child.out = '';
  child.err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (child.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (child.err += text));
  child.ended = new Promise((resolve) => {
    child.on('error', (error) => {
      child.err += error.message;
      running.delete(child);
      resolve({code: null, signal: null});
    });
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve({code, signal});
    });
  });
  return child;
}

/**
 * Runs a command: {code, signal, stdout, stderr, ms}. After timeoutMs it is killed. talk: an async function that gets the
 * child, reads its `out` and writes to its standard input, which ends when the function does.
 */
export async function run(command, args, {env, cwd, timeoutMs = 60_000, talk}) {
  const begin = performance.now();
  const child = start(command, args, {env, cwd, stdin: talk ? 'pipe' : 'ignore'});
  child.stdin?.on('error', () => {});
  talk?.(child).finally(() => child.stdin.end());
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const {code, signal} = await child.ended;
  clearTimeout(timer);
  return {code, signal, stdout: child.out, stderr: child.err, ms: performance.now() - begin};
}

/**
 * Starts a server that writes its ports, one a line, into portFile when it is ready. Throws with what
 * the server said when it ends or is not ready within ten seconds.
 */
export async function serve(command, args, {env, cwd, portFile, stdin}) {
  const child = start(command, args, {env, cwd, stdin});
  let over = false;
  child.ended.then(() => (over = true));
  const deadline = Date.now() + 10_000;
  let ports = [];
  while (ports.length === 0) {
    if (over || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${command} ${args.join(' ')}: ${over ? 'ended' : 'not ready'}\n${child.out}${child.err}`);
    }
    await sleep(5);
    if (fs.existsSync(portFile)) ports = fs.readFileSync(portFile, 'utf8').match(/\d+/g)?.map(Number) ?? [];
  }
  return {
    child,
    ports,
    log: () => child.err + child.out,
    /** SIGTERM, and SIGKILL after five seconds: {code, signal}. */
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
      const ended = await child.ended;
      clearTimeout(timer);
      return ended;
    },
  };
}
