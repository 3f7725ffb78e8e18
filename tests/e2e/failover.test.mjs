// SPDX-License-Identifier: MIT
//
// Three accounts, of which one is limited, one breaks its connections off and one works: no request fails,
// the bad ones are left alone until their time, and come back by themselves.

import assert from 'node:assert/strict';
import {describe, it} from 'node:test';

import {askFor, json, kAsk, kDialects, kTurn} from './lib/asking.mjs';
import {kAccounts} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

const kRequests = 200;
const kAtOnce = 4;
/** Of the breaker: failures in a row that open it, and its rest; see upstreams/README.md. */
const kBroken = {inARow: 5, restSeconds: 5};
const kLimitSeconds = 3;
const kToken = 'metrics-token-of-the-tests';

const value = (service, kind) => kAccounts[service][kind].value;

/** A session of its own for each request, so that none sticks to where the one before was served. */
function bodyOf(service, i, streamed) {
  const text = `hi, for the ${i}th time`;
  return JSON.stringify(service === 'gemini' ? {...kAsk, contents: [{role: 'user', parts: [{text}]}]}
    : {...kTurn, messages: [{role: 'user', content: text}], ...(streamed && {stream: true})});
}

async function askAsStranger(world, service, i) {
  const streamed = i % 2 === 0;
  const answer = await askFor(world, service, {unstreamed: !streamed, body: bodyOf(service, i, streamed)});
  const whole = answer.whole && (streamed ? kDialects[service].isWhole(answer.body) : json(answer) !== null);
  return {status: answer.status, whole, body: answer.body.toString()};
}

/** `count` requests, a few at a time. */
async function askMany(world, service, count) {
  const answers = [];
  let next = 0;
  const worker = async () => {
    while (next < count) answers.push(await askAsStranger(world, service, next++));
  };
  await Promise.all(Array.from({length: kAtOnce}, worker));
  return answers;
}

/** How often the mock was asked with each account. */
async function countByAccount(world, service) {
  const counts = {key: 0, second: 0, third: 0};
  for (const {credential} of await world.mock.records()) {
    const kind = Object.keys(counts).find((name) => value(service, name) === credential.value);
    counts[kind] += 1;
  }
  return counts;
}

/** Asks until `account` has served a request; throws after `seconds`. */
async function untilServedBy(world, service, account, seconds) {
  const end = Date.now() + seconds * 1000;
  for (let i = 1000; Date.now() < end; ++i) {
    assert.equal((await askAsStranger(world, service, i)).status, 200);
    const served = (await world.mock.records()).at(-1);
    if (served.credential.value === value(service, account) && served.status === 200) return;
    await sleep(100);
  }
  assert.fail(`'${account}' did not come back within ${seconds} s`);
}

async function stateOf(world, account) {
  const text = await (await fetch(`${world.relay.url}/metrics`, {headers: {authorization: `Bearer ${kToken}`}})).text();
  const line = new RegExp(`^relay_account_state\\{account="[^"]*/${account}",state="([a-z]+)"\\} 1$`, 'm').exec(text);
  return line?.[1];
}

for (const service of Object.keys(kDialects)) {
  describe(`${service}: one account is limited, one resets connections, one works`, {skip: kStraightOnly}, () => {
    it(`R36: ${kRequests} of ${kRequests} requests succeed, and the bad accounts are left alone, then come back`, async () => {
      const kinds = ['key', 'second', 'third'];
      const world = await openWorld({workers: 2, claude: kinds, gemini: kinds, metricsToken: kToken});
      try {
        await world.mock.script([
          {match: {credential: value(service, 'key')}, faults: [`status-429;retry-after=${kLimitSeconds};delay=${kLimitSeconds}s`], repeat: true},
          {match: {credential: value(service, 'second')}, faults: ['reset-before-head'], repeat: true}]);
        const began = Date.now();
        const answers = await askMany(world, service, kRequests);
        const seconds = (Date.now() - began) / 1000;
        const failed = answers.filter(({status, whole}) => status !== 200 || !whole);
        assert.deepEqual([answers.length, failed], [kRequests, []]);

        // Those that were under way when it became known, and one for each time that its rest was over.
        const counts = await countByAccount(world, service);
        assert.equal(counts.third, kRequests);
        const mostLimited = kAtOnce + Math.floor(seconds / kLimitSeconds);
        assert.equal(counts.key >= 1 && counts.key <= mostLimited, true, `the limited one was asked ${counts.key} times in ${seconds} s`);
        const mostBroken = kBroken.inARow - 1 + kAtOnce + Math.floor(seconds / kBroken.restSeconds);
        assert.equal(counts.second >= kBroken.inARow && counts.second <= mostBroken, true,
          `the broken one was asked ${counts.second} times in ${seconds} s`);
        assert.notEqual(await stateOf(world, kAccounts[service].key.name), 'ready');
        assert.notEqual(await stateOf(world, kAccounts[service].second.name), 'ready');
        assert.equal(await stateOf(world, kAccounts[service].third.name), 'ready');

        // Both are well again; the best of them first, and then, while that one is limited, the other.
        await world.mock.reset();
        await untilServedBy(world, service, 'key', kLimitSeconds + 5);
        assert.equal(await stateOf(world, kAccounts[service].key.name), 'ready');
        await world.mock.script({match: {credential: value(service, 'key')}, faults: ['status-429;retry-after=600;delay=600s'], repeat: true});
        await untilServedBy(world, service, 'second', kBroken.restSeconds + 5);
        assert.equal(await stateOf(world, kAccounts[service].second.name), 'ready');
      } finally {
        await world.close();
      }
    });
  });
}
