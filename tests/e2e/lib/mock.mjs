// SPDX-License-Identifier: MIT
//
// The mock upstream of tests/support/mock as a process, and its control API as calls.

import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {serve} from './process.mjs';

const kProgram = fileURLToPath(new URL('../../support/mock/mock.mjs', import.meta.url));

/** folder: where its port file goes. tls: {cert, key} as file names. args: more of its options. */
export async function startMock({folder, tls, args = []}) {
  const portFile = path.join(folder, 'mock.port');
  const server = await serve(process.execPath,
    [kProgram, '--port-file', portFile, '--exit-with-stdin', ...args, ...(tls ? ['--tls', tls.cert, tls.key] : [])],
    {env: {PATH: process.env.PATH}, cwd: folder, portFile, stdin: 'pipe'});
  const [port, controlPort] = server.ports;
  const control = async (method, what, body) => {
    const response = await fetch(`http://127.0.0.1:${controlPort}/__mock/${what}`,
      {method, ...(body !== undefined && {body: JSON.stringify(body)})});
    if (!response.ok) throw new Error(`mock: ${method} ${what}: ${await response.text()}`);
    return response;
  };
  return {
    port,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    control,
    reset: () => control('POST', 'reset'),
    script: (entries) => control('POST', 'script', entries),
    stats: async () => (await control('GET', 'stats')).json(),
    /** Records, once all of them are over or `wait` ms have gone. */
    async records({wait = 2000, count = 0, ...criteria} = {}) {
      const query = new URLSearchParams({'wait-ended': wait, count, ...criteria});
      return (await control('GET', `requests?${query}`)).json();
    },
    /** The same with their bodies (`body`, a string), of which the mock keeps those up to 1 MiB. */
    async requests(criteria) {
      const records = await this.records(criteria);
      for (const record of records) {
        record.body = record.bodyLength === 0 ? '' : await (await control('GET', `requests/${record.id}/body`)).text();
      }
      return records;
    },
    stop: () => server.stop(),
  };
}
