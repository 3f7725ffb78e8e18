// SPDX-License-Identifier: MIT
//
// What a client sees when an upstream fails, in both dialects: until an answer has begun another account
// serves; afterwards the client gets an error of its own dialect or a broken connection, never an answer
// that looks whole and is not.

import assert from 'node:assert/strict';
import net from 'node:net';
import {after, before, describe, it} from 'node:test';

import {askFor, json, kDialects} from './lib/asking.mjs';
import {kAccounts} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';
import {ask2, connect2, eventsOf, Http1, request1, sha256} from './lib/wire.mjs';

/** A relay for each test: what one learnt of an account must not decide the next. */
async function inWorld(settings, work) {
  const world = await openWorld({workers: 1, ...settings});
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

const value = (service, kind) => kAccounts[service][kind].value;
const kTwo = {claude: ['key', 'second'], gemini: ['key', 'second']};
const kOne = {claude: ['key'], gemini: ['key']};

function assertRefusal(service, answer, statuses) {
  assert.equal(statuses.includes(answer.status), true, `${answer.status} ${answer.body}`);
  assert.equal(answer.whole, true);
  assert.match(answer.headers['content-type'], /^application\/json/);
  const body = json(answer);
  assert.equal(kDialects[service].isErrorBody(body), true, `${answer.body}`);
  if (service === 'gemini') assert.equal(body.error.code, answer.status);
  for (const accounts of Object.values(kAccounts)) {
    for (const {name, value: secret} of Object.values(accounts)) {
      assert.equal(answer.body.includes(secret) || answer.body.includes(name), false, 'the answer names an account');
    }
  }
}

for (const service of Object.keys(kDialects)) {
  const dialect = kDialects[service];

  describe(`${service}: before an answer has begun`, {skip: kStraightOnly}, () => {
    const kMoves = ['reset-before-body', 'reset-before-head', 'garbage', 'status-401', 'status-403', 'status-429;retry-after=3600', 'status-429;plain',
      'status-500', 'status-503', 'status-529', 'error-event-first', 'stall-before-head'];
    for (const fault of kMoves) {
      it(`R36: ${fault} of one account moves the request to the next, and the client sees none of it`, () => inWorld({...kTwo, timeouts: 'first-byte: 1s'}, async (world) => {
        await world.mock.script({match: {credential: value(service, 'key')}, faults: [fault], repeat: true});
        const answer = await askFor(world, service);
        assert.equal(answer.status, 200, `${answer.body}`);
        assert.equal(dialect.isWhole(answer.body), true, `${answer.body}`);
        for (const name of Object.keys(answer.headers)) {
          assert.equal(/^retry-after|ratelimit-unified/.test(name), false, `${name} speaks of another account`);
        }
        const records = await world.mock.records();
        // Before the body the mock has not looked whose request it is: counted, not named.
        assert.equal(records.at(-1).credential.value, value(service, 'second'));
        assert.equal(records.at(-1).responseSha256, sha256(answer.body));
        assert.equal(records.length <= 3, true, `${records.length} requests upstream`);
      }));
    }

    it('R36: an account that cannot be reached moves the request to the next', async () => {
      const closed = net.createServer();
      await new Promise((resolve) => closed.listen(0, '127.0.0.1', resolve));
      const endpoint = `http://127.0.0.1:${closed.address().port}`;
      await new Promise((resolve) => closed.close(resolve));
      const accounts = [{kind: 'key', endpoint}, 'second'];
      await inWorld({claude: accounts, gemini: accounts}, async (world) => {
        assert.equal((await askFor(world, service)).status, 200);
      });
    });

    it('a limited account is left alone for as long as it said', () => inWorld(kTwo, async (world) => {
      await world.mock.script({match: {credential: value(service, 'key')}, faults: ['status-429;retry-after=600;delay=600s;reason=QUOTA_EXHAUSTED'], repeat: true});
      for (let i = 0; i < 5; ++i) assert.equal((await askFor(world, service)).status, 200);
      const asked = (await world.mock.records()).filter(({credential}) => credential.value === value(service, 'key'));
      assert.equal(asked.length <= 2, true, `asked ${asked.length} times`);
    }));

    it('all accounts limited: 429 with the earliest reset', () => inWorld(kTwo, async (world) => {
      await world.mock.script([
        {match: {credential: value(service, 'key')}, faults: ['status-429;retry-after=600;delay=600s'], repeat: true},
        {match: {credential: value(service, 'second')}, faults: ['status-429;retry-after=120;delay=120s'], repeat: true}]);
      const answer = await askFor(world, service);
      assertRefusal(service, answer, [429]);
      const wait = Number(answer.headers['retry-after']);
      assert.equal(wait > 100 && wait <= 120, true, `retry-after: ${wait}`);
      if (service === 'gemini') assert.match(JSON.stringify(json(answer).error.details), /"retryDelay":"1[012]\ds"/);
    }));

    // Google's 403 is most often about what the request names; that it passes over accounts is tested above.
    for (const [fault, statuses] of [['reset-before-head', [502, 503]], ['garbage', [502, 503]], ['status-401', [503]], ['status-403', service === 'gemini' ? [403] : [503]], ['stall-before-head', [504, 503]]]) {
      it(`${fault} of every account: an error of the dialect that says nothing of accounts`, () => inWorld({...kTwo, timeouts: 'first-byte: 1s'}, async (world) => {
        await world.mock.script({faults: [fault], repeat: true});
        assertRefusal(service, await askFor(world, service), statuses);
      }));
    }

    it('the last account is not parked by a 500 or 529: the next request is served', () => inWorld(kOne, async (world) => {
      for (const fault of ['status-500', 'status-529', 'status-503']) {
        await world.mock.script({faults: Array(3).fill(fault)});
        const answer = await askFor(world, service);
        assertRefusal(service, answer, [500, 502, 503, 529]);
        await world.mock.reset();
        assert.equal((await askFor(world, service)).status, 200, `after ${fault}`);
        await world.mock.reset();
      }
    }));

    for (const fault of ['status-400;message=of-the-request', 'status-404;message=of-the-request', 'status-413;message=of-the-request']) {
      it(`${fault.split(';')[0]} is about the request: passed unchanged, asked once`, () => inWorld(kTwo, async (world) => {
        await world.mock.script({faults: [fault], repeat: true});
        const answer = await askFor(world, service);
        const records = await world.mock.records();
        assert.deepEqual([answer.status, records.length], [Number(fault.slice(7, 10)), 1]);
        assert.match(json(answer).error.message, /of-the-request/);
        assert.equal(records[0].responseSha256, sha256(answer.body));
      }));
    }

    it('R36: a connection that the upstream closed while it was idle costs nothing', () => inWorld(kOne, async (world) => {
      for (let i = 0; i < 6; ++i) {
        const answer = await askFor(world, service, {headers: {'x-mock-fault': i % 2 ? 'close' : 'close-idle'}});
        assert.deepEqual([answer.status, dialect.isWhole(answer.body)], [200, true]);
        if (i % 2 === 0) await sleep(20);
      }
      // One that the mock took in the moment of its closing is not answered, and is asked again.
      assert.equal((await world.mock.records()).filter(({status, finished}) => status === 200 && finished).length, 6);
    }));
  });

  describe(`${service}: after an answer has begun`, {skip: kStraightOnly}, () => {
    let world;
    before(async () => {
      world = await openWorld({...kTwo, timeouts: 'first-byte: 10s, idle: 1s'});
    });
    after(() => world?.close());

    const ask = async (fault, options) => {
      await world.mock.reset();
      const answer = await askFor(world, service, {headers: {'x-mock-fault': fault}, ...options});
      const records = await world.mock.records({count: 1});
      return {answer, records};
    };

    // What was cut between two events gets an error event; a Gemini client would take a clean end after it
    // for success (facts: @google/genai), so its connection breaks as well.
    for (const fault of ['reset-mid-stream;after=2', 'truncated;after=2', 'stall-mid-stream;after=2', 'bad-chunk-mid-stream;after=2']) {
      it(`R35: ${fault} ends in an error event, not in what looks like an end`, async () => {
        const {answer, records} = await ask(fault);
        const events = eventsOf(answer.body);
        assert.equal(answer.status, 200);
        assert.equal(records.length, 1, 'nothing is asked twice once an answer has begun');
        assert.equal(dialect.isErrorEvent(events.at(-1)), true, `${answer.body}`);
        assert.equal(events.filter((event) => dialect.isErrorEvent(event)).length, 1);
        assert.equal(events.length, 3, 'the two events that came, and the error');
        assert.equal(answer.whole, service === 'claude', 'how the connection ends');
      });
    }

    it('R35: cut-mid-event breaks the connection: an event would land in the middle of another', async () => {
      const {answer} = await ask('cut-mid-event;after=2');
      assert.equal(answer.whole, false);
      assert.equal(answer.body.includes('"error"'), false);
      assert.equal(dialect.isWhole(answer.body), false);
    });

    it('error-event-mid passes as the vendor said it', async () => {
      const {answer, records} = await ask('error-event-mid;after=2');
      assert.equal(sha256(answer.body), records[0].responseSha256);
      assert.equal(eventsOf(answer.body).some((event) => dialect.isErrorEvent(event)), true);
      assert.equal(records.length, 1);
    });

    it('garbage-mid-stream passes as it is, and is no good end', async () => {
      const {answer} = await ask('garbage-mid-stream;after=2');
      assert.equal(answer.status, 200);
      assert.equal(dialect.isWhole(answer.body), false);
      assert.equal(!answer.whole || dialect.isErrorEvent(eventsOf(answer.body).at(-1)), true, `${answer.body}`);
    });

    it('an empty stream is no good answer', async () => {
      const {answer} = await ask('empty');
      const good = answer.status === 200 && dialect.isWhole(answer.body);
      const told = answer.status >= 500 || eventsOf(answer.body).some((event) => dialect.isErrorEvent(event));
      assert.equal(good || told, true, `${answer.status} ${answer.body}`);
    });

    for (const fault of ['reset-mid-stream', 'truncated', 'stall-mid-stream', 'bad-chunk-mid-stream']) {
      it(`${fault} of a JSON answer never looks whole`, async () => {
        const {answer} = await ask(fault, {unstreamed: true}).catch((error) => ({answer: {whole: false, status: 0, error}}));
        // An answer of which the head alone came may still be another account's, or the relay's own error.
        const told = answer.status >= 500 && dialect.isErrorBody(json(answer));
        assert.equal(!answer.whole || told, true, `${answer.status} ${answer.body}`);
      });
    }

    for (const fault of ['reset-after-head', 'stall-after-head']) {
      it(`${fault} of a stream that has said nothing is answered by another account or an error`, async () => {
        await world.mock.reset();
        await world.mock.script({faults: [fault]});
        const answer = await askFor(world, service);
        const events = eventsOf(answer.body);
        assert.equal((answer.status === 200 && dialect.isWhole(answer.body)) || (events.length > 0 && dialect.isErrorEvent(events.at(-1))) || answer.status >= 500,
          true, `${answer.status} ${answer.body}`);
      });
    }

    it('HTTP/2 clients get the same: the error event, or a reset', async () => {
      const session = await connect2(world.relay.port);
      const by2 = async (fault) => {
        await world.mock.reset();
        return ask2(session, 'POST', dialect.target, {headers: {...dialect.headers, 'x-mock-fault': fault}, body: JSON.stringify(dialect.body)});
      };
      const cut = await by2('reset-mid-stream;after=2');
      assert.equal(dialect.isErrorEvent(eventsOf(cut.body).at(-1)), true, `${cut.body}`);
      assert.equal(cut.whole, service === 'claude');
      const inside = await by2('cut-mid-event;after=2');
      assert.deepEqual([inside.whole, inside.code === 0], [false, false]);
      const good = await by2('none');
      assert.deepEqual([good.whole, dialect.isWhole(good.body)], [true, true], 'the session goes on');
      session.destroy();
    });

    it('the next request on the same connection is answered by itself', async () => {
      const connection = await Http1.connect(world.relay.port);
      const say = (fault) => request1('POST', dialect.unstreamed.target, {...dialect.headers, 'x-mock-fault': fault}, JSON.stringify(dialect.unstreamed.body));
      connection.send(say('status-404'));
      assert.equal((await connection.response('POST')).status, 404);
      connection.send(say('none'));
      assert.equal((await connection.response('POST')).status, 200);
      connection.destroy();
    });
  });

  describe(`${service}: an upstream by HTTP/2`, {skip: kStraightOnly}, () => {
    let world;
    before(async () => {
      world = await openWorld({...kTwo, tls: true, timeouts: 'first-byte: 10s, idle: 1s'});
    });
    after(() => world?.close());

    it('that resets a stream before its head is asked again, on another account or connection', async () => {
      await world.upstream.script({faults: ['reset-before-head']});
      const answer = await askFor(world, service);
      assert.deepEqual([answer.status, dialect.isWhole(answer.body)], [200, true]);
      await world.upstream.reset();
    });

    for (const fault of ['reset-mid-stream;after=2', 'truncated;after=2', 'stall-mid-stream;after=2']) {
      it(`${fault} ends in an error event`, async () => {
        const answer = await askFor(world, service, {headers: {'x-mock-fault': fault}});
        assert.equal(dialect.isErrorEvent(eventsOf(answer.body).at(-1)), true, `${answer.body}`);
        assert.equal(answer.whole, service === 'claude');
      });
    }

    it('serves neighbours of a stream that fails on the same connection', async () => {
      const answers = await Promise.all(Array.from({length: 20}, (_, i) =>
        askFor(world, service, {headers: {'x-mock-fault': i % 4 === 0 ? 'reset-mid-stream;after=2' : 'slow-5'}})));
      answers.forEach(({body}, i) => assert.equal(dialect.isWhole(body), i % 4 !== 0, `${i}`));
    });
  });
}

describe('an upstream whose certificate is not trusted', {skip: kStraightOnly}, () => {
  it('gets no request', async () => {
    const world = await openWorld({...kOne, tls: true, trusted: false});
    try {
      assertRefusal('claude', await askFor(world, 'claude'), [502, 503]);
      assert.deepEqual(await world.upstream.records({wait: 0}), []);
    } finally {
      await world.close();
    }
  });
});
