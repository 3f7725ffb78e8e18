// SPDX-License-Identifier: MIT
//
// Which vendor credential a request carries, and what must never have come this far.
// A vendor knows only its own credentials: a relay key, a platform token, a cookie or a hop-by-hop
// header that arrives here has leaked through whatever stands in front.

export class Credentials {
  /** Each list holds the exact credentials that count; an empty list takes any of the right form. */
  constructor({anthropicKeys = [], anthropicTokens = [], googleKeys = [], googleTokens = []} = {}) {
    this.kinds = [
      {kind: 'anthropic-key', form: /^sk-ant-(?!oat|ort)[\w-]{4,}$/, known: anthropicKeys},
      {kind: 'anthropic-oauth', form: /^sk-ant-oat01-[\w-]{4,}$/, known: anthropicTokens},
      {kind: 'google-key', form: /^AIza[\w-]{4,}$/, known: googleKeys},
      {kind: 'google-oauth', form: /^ya29\.[\w.-]{4,}$/, known: googleTokens},
    ];
    this.revoked = new Set();
    this.expiries = new Map();
  }

  /** The credential kind of `value`, or null when no vendor ever issued it. */
  kindOf(value) {
    if (this.revoked.has(value) || this.secondsLeft(value) === 0) return null;
    const found = this.kinds.find(({form}) => form.test(value));
    if (found === undefined) return null;
    return found.known.length === 0 || found.known.includes(value) ? found.kind : null;
  }

  /** Makes a credential that the mock issued itself count until `expires`, beside the ones it was started with. */
  issue(value, expires) {
    const found = this.kinds.find(({form}) => form.test(value));
    if (found.known.length > 0) found.known.push(value);
    this.expiries.set(value, expires);
  }

  /** Lets an access token end now. */
  expire(value) {
    this.expiries.set(value, 0);
  }

  /** How long an issued credential still counts; null for others, which have no end. */
  secondsLeft(value) {
    const expires = this.expiries.get(value);
    return expires === undefined ? null : Math.max(0, Math.ceil((expires - Date.now()) / 1000));
  }

  forgetIssued() {
    for (const {known} of this.kinds) {
      for (const value of this.expiries.keys()) {
        if (known.includes(value)) known.splice(known.indexOf(value), 1);
      }
    }
    this.expiries.clear();
  }

  /**
   * The first credential of the request as {kind, value, place}; kind is null for a wrong one.
   * Null when the request has none. Looks where either vendor looks.
   */
  of(headers, query) {
    const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? '');
    const places = [
      ['x-api-key', headers['x-api-key']],
      ['x-goog-api-key', headers['x-goog-api-key']],
      ['authorization', bearer?.[1]],
      ['query', query.get('key') ?? undefined],
    ];
    for (const [place, value] of places) {
      if (value !== undefined) return {kind: this.kindOf(value), value, place};
    }
    return null;
  }
}

const kForbiddenHeaders = new Set([
  'keep-alive', 'proxy-connection', 'proxy-authorization', 'proxy-authenticate', 'te', 'trailer',
  'upgrade', 'http2-settings', 'cookie', 'cookie2', 'forwarded', 'via', 'x-real-ip', 'api-key',
  'x-client-ip', 'true-client-ip', 'x-original-url', 'x-rewrite-url',
]);
const kForbiddenPrefixes = ['x-forwarded-', 'cf-', 'proxy-'];

/** What of the head should have ended before it came here, in words; an empty list is good. */
export function forbiddenHeaders(rawHeaders, extra) {
  const found = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    const value = rawHeaders[i + 1];
    if (name === 'connection') {
      if (!/^(keep-alive|close)$/i.test(value)) found.push(`header connection: ${value}`);
    } else if (name === 'transfer-encoding') {
      if (value.toLowerCase() !== 'chunked') found.push(`header transfer-encoding: ${value}`);
    } else if (kForbiddenHeaders.has(name) || extra.has(name) ||
               kForbiddenPrefixes.some((prefix) => name.startsWith(prefix))) {
      found.push(`header ${name}`);
    }
  }
  return found;
}

const kSecretStarts = ['cr_', 'hf_'];
const kSecret = /^(cr|hf)_[A-Za-z0-9_-]{6,}/;

/**
 * Secrets of the client side in `buffer`: relay keys, platform tokens, and the exact texts of
 * `forbidden`. Answers their first characters, never more than eight.
 */
export function clientSecrets(buffer, forbidden) {
  const found = [];
  for (const start of kSecretStarts) {
    for (let at = buffer.indexOf(start); at >= 0; at = buffer.indexOf(start, at + 1)) {
      const before = at === 0 ? 0x20 : buffer[at - 1];
      if (isWordByte(before)) continue;
      const match = kSecret.exec(buffer.toString('latin1', at, at + 64));
      if (match !== null) found.push(`${match[0].slice(0, 8)}…`);
    }
  }
  for (const text of forbidden) {
    if (buffer.includes(text)) found.push(`${text.slice(0, 8)}…`);
  }
  return found;
}

function isWordByte(byte) {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) ||
         (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f;
}
