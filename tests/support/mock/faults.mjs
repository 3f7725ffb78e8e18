// SPDX-License-Identifier: MIT
//
// Faults: what they are called, how a request gets them, and the queue that a test fills.
// A fault is a name with an optional number and parameters: `slow-20`, `status-429;retry-after=3`.
// Several are joined by commas. README.md lists all of them.

const kPlain = new Set([
  'none', 'reset-before-body', 'reset-before-head', 'reset-after-head', 'reset-mid-stream',
  'stall-before-head', 'stall-after-head', 'stall-mid-stream', 'garbage', 'garbage-mid-stream',
  'bad-chunk-mid-stream', 'truncated', 'cut-mid-event', 'empty', 'error-event-first',
  'error-event-mid', 'gzip', 'br', 'deflate', 'early-hints', 'close', 'close-idle', 'raw',
  'no-length',
]);
const kNumbered = /^(status|slow|latency|drip)-(\d+)$/;

/** One fault as {name, number, parameters}. Throws on a name that does not exist. */
export function parseFault(text) {
  const [head, ...pairs] = text.trim().split(';');
  const parameters = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 0) parameters[pair.trim()] = '';
    else parameters[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  const numbered = kNumbered.exec(head);
  if (numbered !== null) return {name: numbered[1], number: Number(numbered[2]), parameters};
  if (!kPlain.has(head)) throw new Error(`no fault is called '${head}'`);
  return {name: head, number: 0, parameters};
}

export class Faults {
  constructor(list = []) {
    this.list = list;
  }

  /** From a header value or a script's entry. Throws on an unknown name. */
  static parse(text) {
    return new Faults(text.split(',').filter((part) => part.trim() !== '').map(parseFault));
  }

  get(name) {
    return this.list.find((fault) => fault.name === name);
  }

  has(name) {
    return this.get(name) !== undefined;
  }

  /** The number of a numbered fault (`slow-20` is 20), else 0. */
  number(name) {
    return this.get(name)?.number ?? 0;
  }

  /** The first of `names` that is set, with the index `after` at which it strikes in a stream. */
  midStream(count) {
    const names = ['reset-mid-stream', 'stall-mid-stream', 'garbage-mid-stream',
      'bad-chunk-mid-stream', 'truncated', 'cut-mid-event', 'error-event-mid'];
    const fault = this.list.find(({name}) => names.includes(name));
    if (fault === undefined) return null;
    const half = fault.name === 'truncated' ? count - 1 : Math.ceil(count / 2);
    return {name: fault.name, after: Number(fault.parameters.after ?? half)};
  }

  names() {
    return this.list.map(({name, number}) => (number > 0 ? `${name}-${number}` : name));
  }
}

/** Faults that wait for requests: the first entry that fits and is not used up gives its next. */
export class FaultQueue {
  constructor() {
    this.entries = [];
  }

  /**
   * entry: {match: {path, method, credential, tag, model}, faults: ["status-429", …], repeat}.
   * `path` is a part of the path; the others are equal. With `repeat` the list starts anew when
   * it is used up. Throws on an unknown fault or criterion.
   */
  add({match = {}, faults, repeat = false}) {
    const known = ['path', 'method', 'credential', 'tag', 'model'];
    const unknown = Object.keys(match).find((name) => !known.includes(name));
    if (unknown !== undefined) throw new Error(`no criterion is called '${unknown}'`);
    if (!Array.isArray(faults) || faults.length === 0) throw new Error('faults must be a list');
    const parsed = faults.map((text) => Faults.parse(text));
    this.entries.push({match, repeat, all: parsed, left: [...parsed]});
  }

  take({path, method, credential, tag, model}) {
    const facts = {method, credential, tag, model};
    const entry = this.entries.find(({match, left}) => left.length > 0 &&
      (match.path === undefined || path.includes(match.path)) &&
      Object.keys(facts).every((name) => match[name] === undefined || match[name] === facts[name]));
    if (entry === undefined) return new Faults();
    const faults = entry.left.shift();
    if (entry.left.length === 0 && entry.repeat) entry.left = [...entry.all];
    return faults;
  }

  clear() {
    this.entries = [];
  }

  waiting() {
    return this.entries.reduce((sum, {left}) => sum + left.length, 0);
  }
}
