// SPDX-License-Identifier: MIT
//
// Somebody who uses the relay while others abuse it, with an upstream of its own, on a thread of its own, so
// that neither waits for the other: one request after another, each on the connection that the last one had,
// and on a new one.

import {parentPort, Worker} from 'node:worker_threads';

import {startRecorder} from './recorder.mjs';
import {sleep} from './waiting.mjs';
import {ask1, ask2, connect2, Http1, request1} from './wire.mjs';

/**
 * Starts one: {url (of its upstream), begin({port, target, headers}), end() → {requests, failures,
 * slowest: ms}, stop()}.
 */
export async function startBystander() {
  const worker = new Worker(new URL(import.meta.url), {argv: ['bystander']});
  const next = () => new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const url = await next();
  return {
    url,
    begin: (where) => worker.postMessage(where),
    async end() {
      const told = next();
      worker.postMessage(null);
      return told;
    },
    stop: () => worker.terminate(),
  };
}

/** Asks until the other thread says something. */
async function useRelay({port, target, headers}) {
  const told = {requests: 0, failures: [], slowest: 0};
  let stopped = false;
  parentPort.once('message', () => (stopped = true));
  const connection = await Http1.connect(port);
  const session = await connect2(port);
  const kWays = {
    'HTTP/1.1': () => {
      connection.send(request1('GET', target, headers));
      return connection.response();
    },
    'HTTP/2': () => ask2(session, 'GET', target, {headers}),
    'a new connection': () => ask1(port, 'GET', target, {headers}),
  };
  do {
    for (const [way, ask] of Object.entries(kWays)) {
      const begin = performance.now();
      await ask().then(({status}) => status === 200 || told.failures.push(`${way}: ${status}`),
        (error) => told.failures.push(`${way}: ${error.message}`));
      told.slowest = Math.max(told.slowest, performance.now() - begin);
      ++told.requests;
    }
    await sleep(5);
  } while (!stopped);
  connection.destroy();
  session.destroy();
  return told;
}

if (process.argv.at(-1) === 'bystander') {
  parentPort.postMessage((await startRecorder()).url);
  for (;;) {
    const where = await new Promise((resolve) => parentPort.once('message', resolve));
    parentPort.postMessage(await useRelay(where));
  }
}
