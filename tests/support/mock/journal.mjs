// SPDX-License-Identifier: MIT
//
// What the mock saw: one record for each request, and the totals over all of them.
// A record is opened when the head has come and closed when the exchange is over, so a test can
// watch a request that is still in flight. Bodies are kept up to a bound, hashes always.

const kMaxRecords = 50_000;
const kMaxKeptBody = 1024 * 1024;
const kMaxKeptBodies = 128 * 1024 * 1024;
const kMaxLeaks = 200;

/** Milliseconds since the epoch, with a fraction; monotonic within this process. */
export function now() {
  return performance.timeOrigin + performance.now();
}

export class Journal {
  constructor() {
    this.reset();
  }

  /** Forgets everything; ids go on, so an exchange in flight cannot be taken for a new one. */
  reset() {
    this.records = [];
    this.bodies = new Map();
    this.keptBytes = 0;
    this.leaks = [];
    this.requests = 0;
    this.inFlight = 0;
    this.maxInFlight = 0;
    this.cancelled = 0;
    this.statuses = {};
    this.usage = {};
    this.byCredential = {};
    this.generation = (this.generation ?? 0) + 1;
  }

  /** Opens the record of a request whose head has come. */
  open(fields) {
    const record = {
      id: (this.nextId = (this.nextId ?? 0) + 1),
      startedAt: now(),
      ...fields,
      bodyLength: 0,
      bodySha256: null,
      bodyComplete: false,
      credential: null,
      model: null,
      faults: [],
      leaks: [],
      status: null,
      usage: null,
      responseBytes: 0,
      responseSha256: null,
      events: 0,
      finished: false,
      cancelled: false,
      endedAt: null,
      cancelledAfterMs: null,
    };
    Object.defineProperty(record, 'generation', {value: this.generation});
    this.records.push(record);
    if (this.records.length > kMaxRecords) this.forget(this.records.shift());
    this.requests += 1;
    this.inFlight += 1;
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight);
    return record;
  }

  forget(record) {
    const body = this.bodies.get(record.id);
    if (body === undefined) return;
    this.keptBytes -= body.length;
    this.bodies.delete(record.id);
  }

  keepBody(record, body) {
    if (record.generation !== this.generation || body.length > kMaxKeptBody) return;
    this.bodies.set(record.id, body);
    this.keptBytes += body.length;
    for (const id of this.bodies.keys()) {
      if (this.keptBytes <= kMaxKeptBodies) break;
      this.forget({id});
    }
  }

  /** `what` says in words what leaked and where; it stands in the record and in the totals. */
  leak(record, what) {
    record.leaks.push(what);
    if (record.generation !== this.generation || this.leaks.length >= kMaxLeaks) return;
    this.leaks.push({id: record.id, tag: record.tag, path: record.pathname, what});
  }

  /** Usage that has gone out so far; a later call replaces the values it names. */
  use(record, model, usage) {
    record.usage = {...(record.usage ?? {}), ...usage};
    record.model ??= model;
  }

  /** Closes the record. `cancelled`: the peer went away before the answer was complete. */
  close(record, cancelled) {
    if (record.endedAt !== null) return;
    record.endedAt = now();
    record.cancelled = cancelled;
    if (cancelled) record.cancelledAfterMs = record.endedAt - record.startedAt;
    if (record.generation !== this.generation) return;
    this.inFlight -= 1;
    if (cancelled) this.cancelled += 1;
    this.count(this.statuses, String(record.status ?? 'none'));
    const who = (this.byCredential[record.credential?.value ?? 'none'] ??= {requests: 0, statuses: {}});
    who.requests += 1;
    this.count(who.statuses, String(record.status ?? 'none'));
    if (record.usage === null) return;
    const total = (this.usage[record.model ?? 'unknown'] ??= {requests: 0});
    total.requests += 1;
    for (const [name, value] of Object.entries(record.usage)) {
      total[name] = (total[name] ?? 0) + value;
    }
  }

  count(counts, name) {
    counts[name] = (counts[name] ?? 0) + 1;
  }

  stats() {
    return {
      requests: this.requests,
      inFlight: this.inFlight,
      maxInFlight: this.maxInFlight,
      cancelled: this.cancelled,
      leaks: this.leaks,
      statuses: this.statuses,
      credentials: this.byCredential,
      usage: this.usage,
    };
  }

  /** Records that fit every given criterion (strings): id, tag, path (a part of it), method. */
  find({id, tag, path, method}) {
    return this.records.filter((record) =>
      (id === undefined || record.id === Number(id)) &&
      (tag === undefined || record.tag === tag) &&
      (path === undefined || record.path.includes(path)) &&
      (method === undefined || record.method === method));
  }
}
