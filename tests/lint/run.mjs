#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// Runs the lints that read text: each is first shown bad samples, which it must find, and good ones, which
// it must let pass; then the project. Findings are `file:line: message`.
//   tests/lint/run.mjs [NAME…]

import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {fileURLToPath} from 'node:url';

import filters from './filters.mjs';
import headers from './headers.mjs';
import layers from './layers.mjs';
import links from './links.mjs';
import names from './names.mjs';
import oneAwait from './one_await.mjs';
import requirements from './requirements.mjs';
import topLevel from './top_level.mjs';

const kLints = [layers, oneAwait, names, headers, topLevel, links, filters, requirements];
const kLongFile = 400;

const show = ({path, line, message}) => `${path}:${line}: ${message}`;

/** What a lint says of samples must be what it ought to: the list of where it is not. */
function selfTest(lint) {
  const missed = lint.bad.flatMap(([files, expected]) => {
    const found = lint.check(new Map(Object.entries(files))).map(show);
    const hit = found.some((line) => (typeof expected === 'string' ? line === expected : expected.test(line)));
    return hit ? [] : [`${lint.name}: the bad sample ${JSON.stringify(files)} gave [${found.join('; ')}], not ${expected}`];
  });
  const invented = lint.good.flatMap((files) => lint.check(new Map(Object.entries(files)))
    .map((finding) => `${lint.name}: the good sample gave ${show(finding)}`));
  return [...missed, ...invented];
}

/** The text files of the project, those of git and new ones that it does not ignore. */
function readTree(root) {
  const listed = execFileSync('git', ['-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], {encoding: 'utf8'});
  const paths = [...new Set(listed.split('\0'))].filter((path) => path !== '' && fs.existsSync(`${root}/${path}`)).sort();
  return new Map(paths.flatMap((path) => {
    if (!fs.statSync(`${root}/${path}`).isFile()) return [];
    const bytes = fs.readFileSync(`${root}/${path}`);
    return bytes.includes(0) || path.includes('/corpus/') ? [] : [[path, bytes.toString('utf8')]];
  }));
}

function reportLongFiles(tree) {
  const long = [...tree].map(([path, text]) => [path, text.split('\n').length - 1])
    .filter(([path, lines]) => /\.(cc|h)$/.test(path) && lines > kLongFile).sort((a, b) => b[1] - a[1]);
  for (const [path, lines] of long) console.log(`note: ${path} has ${lines} lines: one room or several?`);
}

const wanted = process.argv.slice(2);
const lints = kLints.filter(({name}) => wanted.length === 0 || wanted.includes(name));
if (lints.length < wanted.length) {
  console.error(`lints: ${kLints.map(({name}) => name).join(', ')}`);
  process.exit(2);
}
const tree = readTree(fileURLToPath(new URL('../..', import.meta.url)));
let passed = 0;
let failed = 0;
function count(title, problems) {
  for (const problem of problems) console.log(problem);
  console.log(`${problems.length === 0 ? 'ok' : 'FAILED'}: ${title}`);
  if (problems.length === 0) passed++;
  else failed++;
}
for (const lint of lints) {
  count(`${lint.name} finds what it is for`, selfTest(lint));
  count(`${lint.name}: ${lint.says}`, lint.check(tree).map(show));
}
reportLongFiles(tree);
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed === 0 ? 0 : 1);
