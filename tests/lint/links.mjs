// SPDX-License-Identifier: MIT
//
// Pages do not rot: what a page links to inside the project is there, and the front page carries what
// Hugging Face reads from it.

import path from 'node:path';

function brokenLinks(tree, file, text) {
  const folders = new Set([...tree.keys()].flatMap((name) => name.split('/').map((_, i, parts) => parts.slice(0, i).join('/'))));
  return text.split('\n').flatMap((line, index) => [...line.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => {
    if (/^([a-z]+:|#)/.test(target)) return [];
    const wanted = path.posix.normalize(path.posix.join(path.posix.dirname(file), target.split('#')[0])).replace(/\/$/, '');
    return tree.has(wanted) || folders.has(wanted) ? [] : [{path: file, line: index + 1, message: `'${target}' leads nowhere`}];
  }));
}

function frontMatter(text) {
  const block = text.match(/^---\n([\s\S]*?)\n---\n/)?.[1] ?? '';
  return ['sdk: docker', 'app_port: 3000'].filter((line) => !block.split('\n').includes(line))
    .map((line) => ({path: 'README.md', line: 1, message: `the front matter lacks '${line}', which Hugging Face reads`}));
}

export default {
  name: 'links',
  says: 'links inside the project lead somewhere; the front page can be deployed',
  check(tree) {
    const broken = [...tree].filter(([file]) => file.endsWith('.md')).flatMap(([file, text]) => brokenLinks(tree, file, text));
    return tree.has('README.md') ? [...broken, ...frontMatter(tree.get('README.md'))] : broken;
  },
  bad: [
    [{'core/README.md': 'see\n[the loop](async/loop.h)\n'}, "core/README.md:2: 'async/loop.h' leads nowhere"],
    [{'README.md': '---\nsdk: docker\n---\n'}, "README.md:1: the front matter lacks 'app_port: 3000', which Hugging Face reads"],
  ],
  good: [{
    'README.md': '---\nsdk: docker\napp_port: 3000\n---\n[a](core/README.md#life) [b](core) [c](https://example.com/x) [d](#here)\n',
    'core/README.md': '[up](../README.md)\n',
  }],
};
