// SPDX-License-Identifier: MIT
//
// HTTP/2 by hand: frames as bytes, good ones and bad ones, and whatever comes back. No window is opened and
// nothing is acknowledged unless the test says so.

import net from 'node:net';

import {Changing, within} from './wire.mjs';

export const kType = {data: 0, headers: 1, priority: 2, reset: 3, settings: 4, push: 5, ping: 6, goaway: 7, window: 8, continuation: 9};
export const kFlag = {endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32};
/** RFC 9113 §7. */
export const kCode = {none: 0, protocol: 1, internal: 2, flowControl: 3, streamClosed: 5, frameSize: 6, refused: 7, cancel: 8, compression: 9, calm: 11};
export const kSetting = {tableSize: 1, push: 2, streams: 3, window: 4, frameSize: 5};

const kPreface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** One frame. `length`: what its header says, if that is to be a lie. */
export function frame(type, flags, stream, payload = Buffer.alloc(0), length = payload.length) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

export function u32(...numbers) {
  const bytes = Buffer.alloc(4 * numbers.length);
  numbers.forEach((number, i) => bytes.writeUInt32BE(number >>> 0, 4 * i));
  return bytes;
}

/** settings: [[id, value]…] */
export function settings(list = [], flags = 0) {
  const bytes = Buffer.alloc(6 * list.length);
  list.forEach(([id, value], i) => {
    bytes.writeUInt16BE(id, 6 * i);
    bytes.writeUInt32BE(value, 6 * i + 2);
  });
  return frame(kType.settings, flags, 0, bytes);
}

export const ping = (payload = Buffer.alloc(8)) => frame(kType.ping, 0, 0, payload);
export const reset = (stream, code = kCode.cancel) => frame(kType.reset, 0, stream, u32(code));
export const openWindow = (stream, by) => frame(kType.window, 0, stream, u32(by));
export const data = (stream, bytes, end = false) => frame(kType.data, end ? kFlag.endStream : 0, stream, Buffer.from(bytes));
export const priority = (stream, on = 0, weight = 16) => frame(kType.priority, 0, stream, Buffer.concat([u32(on), Buffer.from([weight])]));

function integer(value, prefixBits, first) {
  const most = (1 << prefixBits) - 1;
  if (value < most) return [first | value];
  const bytes = [first | most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

function string(text) {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from(integer(bytes.length, 7, 0)), bytes]);
}

/** A header block (RFC 7541) of plain literals, which no table keeps. fields: [[name, value]…], latin1. */
export const block = (fields) => Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), string(name), string(value)]));
/** A literal that goes into the table of the relay's decoder, and the first entry of that. */
export const kept = (name, value) => Buffer.concat([Buffer.from([0x40]), string(name), string(value)]);
export const kNewestKept = Buffer.from([0x80 | 62]);

/** HEADERS, in one frame. */
export function headers(stream, fields, {end = true, endHeaders = true} = {}) {
  const payload = Buffer.isBuffer(fields) ? fields : block(fields);
  return frame(kType.headers, (end ? kFlag.endStream : 0) | (endHeaders ? kFlag.endHeaders : 0), stream, payload);
}

export const continuation = (stream, payload, end = false) => frame(kType.continuation, end ? kFlag.endHeaders : 0, stream, payload);

/** The status of an answer's header block, whose encoder may keep no table. */
function statusOf(bytes) {
  let at = 0;
  while ((bytes[at] & 0xe0) === 0x20) ++at;
  if (bytes[at] & 0x80) return [200, 204, 206, 304, 400, 404, 500][(bytes[at] & 0x7f) - 8];
  const length = bytes[at + 1] & 0x7f;
  const value = bytes.subarray(at + 2, at + 2 + length);
  if (!(bytes[at + 1] & 0x80)) return Number(value.toString('latin1'));
  // RFC 7541, appendix B: digits have codes of five and six bits.
  const bits = [...value].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let status = '';
  for (let bit = 0; status.length < 3;) {
    const short = parseInt(bits.slice(bit, bit + 5), 2);
    status += short < 3 ? short : parseInt(bits.slice(bit, bit + 6), 2) - 0x16;
    bit += short < 3 ? 5 : 6;
  }
  return Number(status);
}

export class Http2Raw extends Changing {
  /** list: what our SETTINGS say beside that the relay's encoder keeps no table; null: no preface, nothing. */
  static async connect(port, list = []) {
    const client = new Http2Raw();
    client.socket = net.connect({port, host: '127.0.0.1', noDelay: true});
    client.socket.on('data', (bytes) => client.read(bytes));
    client.socket.on('end', () => client.over('end'));
    client.socket.on('error', (error) => client.over(error.code));
    client.socket.on('close', () => client.over('closed'));
    await within(5000, new Promise((resolve, reject) => {
      client.socket.once('connect', resolve);
      client.socket.once('error', reject);
    }), 'connect');
    if (list !== null) client.send(kPreface, settings([[kSetting.tableSize, 0], ...list]));
    return client;
  }

  constructor() {
    super();
    /** Of the GOAWAY that is no notice: {code, last, at}; null while there is none. */
    this.goaway = null;
    this.endedAt = null;
    this.ended = null;
    /** By stream: {status, bytes, end, reset}. */
    this.streams = new Map();
    this.pings = 0;
    this.held = Buffer.alloc(0);
  }

  /** Resolves when the system has it, or the peer is gone. */
  send(...frames) {
    return new Promise((resolve) => this.socket.write(Buffer.concat(frames), () => resolve()));
  }

  /** No byte is read from now on, or again. */
  pause(paused = true) {
    if (paused) this.socket.pause();
    else this.socket.resume();
  }

  over(how) {
    this.ended ??= how;
    this.endedAt ??= performance.now();
    this.changed();
  }

  stream(id) {
    if (!this.streams.has(id)) this.streams.set(id, {status: null, bytes: 0, end: false, reset: null});
    return this.streams.get(id);
  }

  read(bytes) {
    this.held = Buffer.concat([this.held, bytes]);
    for (;;) {
      if (this.held.length < 9) break;
      const size = 9 + this.held.readUIntBE(0, 3);
      if (this.held.length < size) break;
      this.take(this.held[3], this.held[4], this.held.readUInt32BE(5) & 0x7fffffff, this.held.subarray(9, size));
      this.held = this.held.subarray(size);
    }
    this.changed();
  }

  take(type, flags, id, payload) {
    const end = (flags & kFlag.endStream) !== 0;
    if (type === kType.goaway) {
      const [last, code] = [payload.readUInt32BE(0) & 0x7fffffff, payload.readUInt32BE(4)];
      if (code !== kCode.none || last !== 0x7fffffff) this.goaway ??= {code, last, at: performance.now()};
    } else if (type === kType.ping) {
      ++this.pings;
    } else if (type === kType.reset) {
      this.stream(id).reset = payload.readUInt32BE(0);
    } else if (type === kType.headers) {
      const status = statusOf(payload);
      if (status >= 200) Object.assign(this.stream(id), {status, end});
    } else if (type === kType.data) {
      const stream = this.stream(id);
      stream.bytes += payload.length;
      stream.end ||= end;
    }
  }

  /** Until a stream is answered to its end, or reset, or all is over. */
  async answer(id, what = `stream ${id}`) {
    await this.until(() => this.stream(id).end || this.stream(id).reset !== null || this.ended !== null, what);
    return this.stream(id);
  }

  destroy() {
    this.socket.destroy();
  }
}
