// SPDX-License-Identifier: MIT
//
// One answer on its way out, over HTTP/1.1 or HTTP/2 alike, with the faults that a test asked for.
// The vendors' modules say what to answer; only this file knows how an answer goes wrong.

import {createHash} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import zlib from 'node:zlib';

const kGarbage = Buffer.from('\x00\x17\xff\xfe!! this is not what you asked for \x80\x81\r\n\r\n',
  'latin1');

export class Reply {
  /** raw: the TCP socket below; vendor: {errorBody(status, faults), errorEvent()}. */
  constructor({request, response, raw, record, faults, vendor, latencyMs}) {
    Object.assign(this, {request, response, raw, record, faults, vendor, latencyMs});
    this.hash = createHash('sha256');
    this.gone = new Promise((resolve) => (this.leave = resolve));
    this.closed = false;
  }

  get http2() {
    return this.response.stream !== undefined;
  }

  /** Called once by the server when the transport of this exchange is over. */
  onClose() {
    this.closed = true;
    this.record.responseSha256 = this.hash.copy().digest('hex');
    this.leave();
  }

  /** Waits, or resets, or answers in the vendor's place, before a head. True: nothing more to do. */
  async faultBeforeHead() {
    const {faults} = this;
    const wait = this.latencyMs + faults.number('latency');
    if (wait > 0) await Promise.race([sleep(wait), this.gone]);
    if (this.closed) return true;
    if (faults.has('reset-before-head')) return this.reset();
    if (faults.has('stall-before-head')) return this.stall();
    if (faults.has('raw')) return this.sendRaw(rawBytes(faults.get('raw').parameters));
    if (faults.has('garbage')) return this.sendRaw(kGarbage);
    if (faults.has('early-hints')) {
      this.response.writeEarlyHints({link: '</mock.css>; rel=preload; as=style'});
    }
    const status = faults.number('status');
    if (status > 0) {
      const {body, headers} = this.vendor.errorBody(status, faults.get('status').parameters);
      await this.send(status, {'content-type': 'application/json', ...headers}, body);
      return true;
    }
    return false;
  }

  /** A whole JSON answer. */
  async json(status, value, headers = {}) {
    if (await this.faultBeforeHead()) return;
    await this.send(status, {'content-type': 'application/json', ...headers},
      Buffer.from(JSON.stringify(value)));
  }

  /** A whole answer with a length, or what the faults make of it. */
  async send(status, headers, body) {
    body = Buffer.from(body);
    const head = {...headers};
    const coding = this.coding();
    if (coding !== null && body.length > 0) {
      body = coding.whole(body);
      head['content-encoding'] = coding.name;
    }
    if (!this.faults.has('no-length')) head['content-length'] = String(body.length);
    this.writeHead(status, head);
    if (this.faults.has('reset-after-head')) return this.resetAfterHead();
    if (this.faults.has('stall-after-head')) return this.stall();
    const strike = this.faults.midStream(2);
    if (strike !== null && strike.name !== 'error-event-mid') {
      await this.write(body.subarray(0, Math.ceil(body.length / 2)));
      if (strike.name === 'stall-mid-stream') return this.stall();
      if (strike.name === 'reset-mid-stream') return this.resetAfterHead();
      return this.cut();
    }
    if (this.request.method !== 'HEAD') await this.write(body);
    this.end();
  }

  /**
   * A stream of `pieces` (buffers; an async or plain iterable). `count` is how many there are.
   * `onPiece(index)` is called when the piece with that index has been handed over.
   */
  async stream(headers, pieces, count, onPiece = () => {}) {
    if (await this.faultBeforeHead()) return;
    const head = {...headers};
    const coding = this.coding();
    const packer = coding?.stream((chunk) => this.write(chunk));
    if (coding !== null) head['content-encoding'] = coding.name;
    this.writeHead(200, head);
    if (this.faults.has('reset-after-head')) return this.resetAfterHead();
    if (this.faults.has('stall-after-head')) return this.stall();
    if (this.faults.has('empty')) return this.end();
    const write = packer === undefined ? (piece) => this.write(piece) : packer.write;
    if (this.faults.has('error-event-first')) {
      await write(this.vendor.errorEvent());
      return this.finish(packer);
    }
    const slow = this.faults.number('slow');
    const strike = this.faults.midStream(count);
    let index = 0;
    for await (const piece of pieces) {
      if (this.closed) return;
      if (strike !== null && index === strike.after) return this.strike(strike.name, piece, write, packer);
      if (slow > 0 && index > 0) await Promise.race([sleep(slow), this.gone]);
      await write(piece);
      this.record.events = index + 1;
      onPiece(index);
      index += 1;
    }
    await this.finish(packer);
  }

  async strike(name, piece, write, packer) {
    switch (name) {
      case 'reset-mid-stream': return this.resetAfterHead();
      case 'stall-mid-stream': return this.stall();
      case 'truncated': return this.finish(packer);
      case 'error-event-mid':
        await write(this.vendor.errorEvent());
        return this.finish(packer);
      case 'garbage-mid-stream':
        await write(kGarbage);
        return this.finish(packer);
      case 'cut-mid-event':
        await write(piece.subarray(0, Math.ceil(piece.length / 2)));
        return this.cut();
      case 'bad-chunk-mid-stream':
        if (this.http2) return this.resetAfterHead();
        // What was good so far leaves first, as a packet of its own.
        await Promise.race([sleep(20), this.gone]);
        if (!this.closed) this.raw.write('zz\r\nnot a chunk\r\n');
        return this.cut();
    }
  }

  writeHead(status, headers) {
    this.record.status = status;
    if (this.faults.has('close') && !this.http2) headers.connection = 'close';
    this.response.writeHead(status, headers);
    this.response.flushHeaders();
  }

  /** Hands bytes over, in pieces if the fault `drip-N` is set; waits while the peer does not read. */
  async write(bytes) {
    const drip = this.faults.number('drip');
    if (drip === 0) return this.writeOnce(bytes);
    for (let at = 0; at < bytes.length && !this.closed; at += drip) {
      await this.writeOnce(bytes.subarray(at, at + drip));
      await new Promise(setImmediate);
    }
  }

  async writeOnce(bytes) {
    if (this.closed || bytes.length === 0) return;
    this.hash.update(bytes);
    this.record.responseBytes += bytes.length;
    if (this.response.write(bytes)) return;
    await Promise.race([new Promise((resolve) => this.response.once('drain', resolve)), this.gone]);
  }

  async finish(packer) {
    if (packer !== undefined) await packer.end();
    this.end();
  }

  end() {
    if (this.closed) return;
    this.record.finished = true;
    this.response.end();
    if (this.faults.has('close-idle') && !this.http2) {
      this.response.once('finish', () => setTimeout(() => this.raw.destroy(), 20));
    }
  }

  /** Nothing more is sent until the peer goes. */
  async stall() {
    await this.gone;
    return true;
  }

  /** RST: of the stream on HTTP/2, of the connection else. */
  reset() {
    if (this.http2) this.response.stream.close(2 /* INTERNAL_ERROR */);
    else this.raw.resetAndDestroy();
    return true;
  }

  /** As reset(), once what was written before has had time to arrive. */
  async resetAfterHead() {
    await Promise.race([sleep(30), this.gone]);
    if (!this.closed) this.reset();
  }

  /** Ends the transport in an orderly way in the middle of the message. */
  async cut() {
    await Promise.race([sleep(10), this.gone]);
    if (this.closed) return;
    if (this.http2) this.response.stream.close(2);
    else this.raw.destroy();
  }

  /** Bytes in place of a response; on HTTP/2, where they need a frame, as a body of no known type. */
  async sendRaw(bytes) {
    if (this.http2) {
      this.writeHead(200, {});
      await this.write(bytes);
      this.end();
      return true;
    }
    this.raw.write(bytes);
    this.record.responseBytes += bytes.length;
    if (this.faults.get('raw')?.parameters.keep !== undefined) return this.stall();
    await Promise.race([sleep(30), this.gone]);
    this.raw.destroy();
    return true;
  }

  coding() {
    const name = ['gzip', 'br', 'deflate'].find((one) => this.faults.has(one));
    return name === undefined ? null : kCodings[name];
  }
}

function rawBytes({b64, text}) {
  if (b64 !== undefined) return Buffer.from(b64, 'base64');
  return Buffer.from((text ?? '').replaceAll('\\r', '\r').replaceAll('\\n', '\n'), 'latin1');
}

/** A packer writes each piece so that the peer can decode it at once, as vendors do for streams. */
function packerOf(make, flushKind) {
  return (write) => {
    const packer = make();
    let out = [];
    packer.on('data', (chunk) => out.push(chunk));
    const drain = async () => {
      const chunks = out;
      out = [];
      for (const chunk of chunks) await write(chunk);
    };
    return {
      async write(piece) {
        packer.write(piece);
        await new Promise((resolve) => packer.flush(flushKind, resolve));
        await drain();
      },
      async end() {
        const ended = new Promise((resolve) => packer.once('end', resolve));
        packer.end();
        await ended;
        await drain();
      },
    };
  };
}

const kCodings = {
  gzip: {
    name: 'gzip',
    whole: (body) => zlib.gzipSync(body),
    stream: packerOf(() => zlib.createGzip(), zlib.constants.Z_SYNC_FLUSH),
  },
  deflate: {
    name: 'deflate',
    whole: (body) => zlib.deflateSync(body),
    stream: packerOf(() => zlib.createDeflate(), zlib.constants.Z_SYNC_FLUSH),
  },
  br: {
    name: 'br',
    whole: (body) => zlib.brotliCompressSync(body),
    stream: packerOf(() => zlib.createBrotliCompress(), zlib.constants.BROTLI_OPERATION_FLUSH),
  },
};
