// SPDX-License-Identifier: MIT
//
// Reads a corpus of messages that were made to be misread: smuggling.txt says how it is written.

import fs from 'node:fs';

/** The cases of a file: {requirement, name, verdict, lines: [{mark: '>', '+', '=' or '', text}]}, in order. */
export function readCorpus(url) {
  const cases = [];
  for (const line of fs.readFileSync(url, 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const head = /^(R\d+) ([\w.-]+) (\S+)$/.exec(line);
    if (head) cases.push({requirement: head[1], name: head[2], verdict: head[3], lines: []});
    const [, mark, text] = /^ {2}(?:([>+=])(?: |$))?(.*)$/.exec(line) ?? [];
    if (!head && text === undefined) throw new Error(`no line of a corpus: ${line}`);
    if (!head) cases.at(-1).lines.push({mark: mark ?? '', text: text.trimStart()});
  }
  return cases;
}

const kEscapes = {r: '\r', n: '\n', t: '\t', '\\': '\\'};

/** A text of the corpus as bytes: escapes, {3*text} and {name} of `words`, which are texts alike. */
export function bytesOf(text, words) {
  return Buffer.from(unescape(expand(text, words)), 'latin1');
}

function expand(text, words) {
  let out = '';
  for (let at = 0; at < text.length; ++at) {
    if (text[at] !== '{') {
      out += text[at];
      continue;
    }
    const end = closing(text, at);
    const inside = text.slice(at + 1, end);
    const [, times, repeated] = /^(\d+)\*(.*)$/s.exec(inside) ?? [];
    if (times !== undefined) out += expand(repeated, words).repeat(Number(times));
    else if (words[inside] !== undefined) out += expand(words[inside], words);
    else throw new Error(`no such word: {${inside}}`);
    at = end;
  }
  return out;
}

function closing(text, open) {
  for (let at = open, depth = 0; at < text.length; ++at) {
    if (text[at] === '{') ++depth;
    if (text[at] === '}' && --depth === 0) return at;
  }
  throw new Error(`no end of ${text.slice(open)}`);
}

const unescape = (text) => text.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/gs, (whole, hex, letter) => {
  if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
  if (kEscapes[letter] === undefined) throw new Error(`no such escape: ${whole}`);
  return kEscapes[letter];
});
