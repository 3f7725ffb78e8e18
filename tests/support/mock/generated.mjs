// SPDX-License-Identifier: MIT
//
// Generated streams: pseudo-random text with characters of one to four bytes, the same for the
// same seed on every machine, cut into writes at places that know nothing of events or characters.

/** xorshift32: small, seeded, the same everywhere. */
export class Random {
  constructor(seed) {
    this.state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  }

  next() {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  below(limit) {
    return this.next() % limit;
  }
}

const kAlphabet = [...'abcdefghijklmnopqrstuvwxyz ,.\n"\\{}:ÄÖÜßéñøЖщλΩ你好世界界語日本語한국어—“”…€🎉🚀👩🏽‍🚀𝔘\u2028\u0001'];

/** Text of at least `bytes` bytes (at most three more). */
export function randomText(random, bytes) {
  let text = '';
  for (let length = 0; length < bytes;) {
    const character = kAlphabet[random.below(kAlphabet.length)];
    text += character;
    length += Buffer.byteLength(character);
  }
  return text;
}

/** `x-mock-stream: seed=7,events=100,bytes=40[,delay=ms][,cut=bytes][,whole]` as numbers. */
export function parseStreamSpec(text) {
  const spec = {seed: 1, events: 100, bytes: 40, delay: 0, cut: 0, whole: false};
  for (const part of text.split(',')) {
    const [name, value] = part.trim().split('=');
    if (!(name in spec)) throw new Error(`x-mock-stream has no '${name}'`);
    spec[name] = name === 'whole' ? true : Number(value);
  }
  return spec;
}

/** The text of each event of a generated stream. */
export function* generatedTexts(spec) {
  const random = new Random(spec.seed);
  for (let i = 0; i < spec.events; ++i) yield randomText(random, spec.bytes);
}

/**
 * The same bytes in pieces of 1 to `cut` bytes, which may hold a part of an event or several.
 * Without `cut` the size is up to twice that of a usual event, so every kind of cut occurs.
 */
export async function* cutAnywhere(pieces, spec) {
  const random = new Random(spec.seed + 1);
  const most = spec.cut > 0 ? spec.cut : 2 * (spec.bytes + 120);
  let held = Buffer.alloc(0);
  let want = 1 + random.below(most);
  let writes = 0;
  for (const piece of pieces) {
    held = held.length === 0 ? piece : Buffer.concat([held, piece]);
    while (held.length >= want) {
      yield held.subarray(0, want);
      held = held.subarray(want);
      want = 1 + random.below(most);
      // A turn of the loop between writes lets most of them leave as packets of their own.
      if (spec.delay > 0) await new Promise((resolve) => setTimeout(resolve, spec.delay));
      else if (++writes % 4 !== 0) await new Promise(setImmediate);
    }
  }
  if (held.length > 0) yield held;
}
