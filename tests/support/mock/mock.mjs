#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// The mock upstream as a program: Claude's and Gemini's APIs on one port, strict and faulty at will.
// README.md beside this file says what it offers.

import fs from 'node:fs';
import {parseArgs} from 'node:util';

import {startMock} from './server.mjs';

const kUsage = `usage: mock.mjs [--host 127.0.0.1] [--port 0] [--control-port 0] [--tls cert.pem key.pem]
  [--port-file FILE] [--latency-ms N] [--anthropic-key KEY]... [--anthropic-token TOKEN]...
  [--google-key KEY]... [--google-token TOKEN]... [--project TOKEN=PROJECT]... [--forbid TEXT]...
  [--exit-with-stdin]`;

const kMany = {type: 'string', multiple: true, default: []};
let values;
let positionals;
try {
  ({values, positionals} = parseArgs({allowPositionals: true, options: {
    host: {type: 'string', default: '127.0.0.1'},
    port: {type: 'string', default: '0'},
    'control-port': {type: 'string', default: '0'},
    tls: {type: 'string'},
    'port-file': {type: 'string'},
    'latency-ms': {type: 'string', default: '0'},
    'anthropic-key': kMany,
    'anthropic-token': kMany,
    'google-key': kMany,
    'google-token': kMany,
    project: kMany,
    forbid: kMany,
    'exit-with-stdin': {type: 'boolean', default: false},
    help: {type: 'boolean', default: false},
  }}));
  if (positionals.length !== (values.tls === undefined ? 0 : 1)) throw new Error('--tls takes two files, certificate and key');
} catch (error) {
  process.stderr.write(`${error.message}\n${kUsage}\n`);
  process.exit(2);
}
if (values.help) {
  process.stdout.write(`${kUsage}\n`);
  process.exit(0);
}

const mock = await startMock({
  host: values.host,
  port: Number(values.port),
  controlPort: Number(values['control-port']),
  tls: values.tls && {cert: fs.readFileSync(values.tls), key: fs.readFileSync(positionals[0])},
  latencyMs: Number(values['latency-ms']),
  credentials: {anthropicKeys: values['anthropic-key'], anthropicTokens: values['anthropic-token'],
    googleKeys: values['google-key'], googleTokens: values['google-token']},
  projects: Object.fromEntries(values.project.map((pair) => pair.split('='))),
  forbidden: values.forbid,
});

process.stdout.write(`mock upstream on ${mock.url}, control on ${mock.controlUrl}/__mock/\n`);
if (values['port-file'] !== undefined) {
  // Renamed into place, so that a reader never sees half of it.
  const partial = `${values['port-file']}.partial`;
  fs.writeFileSync(partial, `${mock.port}\n${mock.controlPort}\n`);
  fs.renameSync(partial, values['port-file']);
}
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
if (values['exit-with-stdin']) process.stdin.on('end', () => process.exit(0)).resume();
