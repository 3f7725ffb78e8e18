// SPDX-License-Identifier: MIT
//
// `relay explain` beside a relay that runs, and without one: it tells what then happens, by what is known at that moment,
// and changes nothing.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor, kTurn} from './lib/asking.mjs';
import {kAccounts, kRelayKey} from './lib/relay.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

describe('relay explain', {skip: kStraightOnly}, () => {
  let world;
  let body;
  before(async () => {
    world = await openWorld({claude: ['key', 'second', 'oauth'], keyLimits: 'requests-per-minute: 2'});
    body = path.join(world.folder, 'body.json');
    fs.writeFileSync(body, JSON.stringify(kTurn));
  });
  after(() => world?.close());

  const explain = (...args) => world.relay.command('explain', 'POST', '/api/v1/messages', '--body', body, ...args);
  async function explained(...args) {
    const told = await explain('--json', ...args);
    assert.equal(told.stderr, '');
    return JSON.parse(told.stdout);
  }
  // Of the API itself: {status, body}.
  const asked = (text) => new Promise((resolve, reject) => {
    const socketPath = path.join(world.folder, 'data', 'relay.sock');
    const request = http.request({socketPath, method: 'POST', path: '/admin/v1/explain'}, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (piece) => { answer += piece; })
        .on('end', () => resolve({status: response.statusCode, body: JSON.parse(answer)})).on('error', reject);
    });
    request.on('error', reject).end(text);
  });
  const notesOf = (explanation, step) => explanation.steps.find(({name}) => name === step).notes;

  it('tells a request that is served, and sends nothing', async () => {
    const told = await explain('--key', 'alice');
    assert.deepEqual([told.code, told.stderr], [0, '']);
    const lines = told.stdout.split('\n');
    assert.equal(lines[0], 'served by claude/team-api (route claude, key alice, model claude-opus-5-5)');
    assert.match(told.stdout, /requests-per-minute: 0 of 2 used, 2 left/);
    assert.match(told.stdout, /alice-max: a subscription, which serves the vendor's own client alone/);
    assert.match(told.stdout, /x-api-key: \*\*\*/);
    for (const secret of [kRelayKey, ...Object.values(kAccounts.claude).map(({value}) => value)]) {
      assert.equal(told.stdout.includes(secret), false);
    }
    assert.equal((await world.mock.requests()).length, 0);
  });

  it('sees what the relay knows at that moment', async () => {
    const subscription = await explained('--key', 'alice', '--header', 'user-agent: claude-cli/2.1');
    assert.equal(subscription.account, 'claude/team-api');
    assert.equal((await world.relay.command('accounts', 'pause', 'claude/team-api')).code, 0);
    const paused = await explained('--key', 'alice');
    assert.equal(paused.account, 'claude/spare-api');
    assert.deepEqual(notesOf(paused, 'account-select').map(({account, outcome, why}) => [account, outcome, why]),
      [['spare-api', 'chosen', undefined], ['team-api', 'barred', 'paused'], ['alice-max', 'barred', 'client']]);
    assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200);
    const [request] = await world.mock.requests();
    assert.equal(request.credential.value, kAccounts.claude.second.value);
    const kept = await explained('--key', 'alice');
    assert.deepEqual([kept.account, kept.sticky], ['claude/spare-api', 'kept']);
    assert.equal((await world.relay.command('accounts', 'resume', 'claude/team-api')).code, 0);
    assert.equal((await explained('--key', 'alice')).account, 'claude/spare-api');
  });

  it('tells keys that may see it how their answers came about', async () => {
    const made = await world.relay.command('keys', 'make', 'bob', '--decisions', '--limits', 'requests-per-minute=3');
    assert.equal(made.code, 0, made.stderr);
    const ask = (key) => askFor(world, 'claude', {unstreamed: true, headers: {'x-api-key': key}});
    const decisionOf = async (answer) => (await answer).headers['x-relay-decision'];
    const bob = made.stdout.trim();
    assert.equal(await decisionOf(ask(bob)), 'route=claude; account=team-api; sticky=new; attempts=1');
    assert.equal(await decisionOf(ask('cr_nobody_is_known_by_it')), undefined);
    assert.equal((await explained('--key', 'bob')).then, 'claude/spare-api');
    await world.mock.script({match: {credential: kAccounts.claude.key.value}, faults: ['status-429;retry-after=600'], repeat: true});
    const moved = await ask(bob);
    assert.equal(moved.status, 200);
    assert.equal(moved.headers['x-relay-decision'],
      'route=claude; account=spare-api; sticky=moved; attempts=2; tried=team-api:429; cache-lost=71');
    // The next one is on its account, and explain says so, and of the other why it is not.
    const explanation = await explained('--key', 'bob');
    assert.deepEqual([explanation.account, explanation.sticky], ['claude/spare-api', 'kept']);
    assert.match(notesOf(explanation, 'account-select')[1].text, /^team-api: at its limit, for another (9m|10m) \d+s \(429 /);
    assert.equal(await decisionOf(ask(bob)), 'route=claude; account=spare-api; sticky=kept; attempts=1');
    assert.equal(await decisionOf(ask(bob)), 'route=claude; refused=rate-limit');
    const seen = await world.mock.requests();
    assert.equal(seen.some(({rawHeaders}) => rawHeaders.includes('x-relay-decision')), false);
  });

  it('tells a refusal before it comes, with exit code 1', async () => {
    assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200);
    for (let i = 0; i < 3; ++i) {
      const told = await explain('--key', 'alice');
      assert.equal(told.code, 1);
      assert.match(told.stdout, /^refused by rate-limit with 429 rate_limit_error \(route claude, key alice\):\n {2}key 'alice' is at its limit of 2 requests a minute; again in \d+ s\n/);
    }
    assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 429);
  });

  it('takes a key from a variable, and names none that is not there', async () => {
    const unset = await explain('--key-env', 'NOT_SET_AT_ALL');
    assert.deepEqual([unset.code, unset.stderr], [2, 'relay: the variable NOT_SET_AT_ALL of --key-env is not set\n']);
    assert.equal((await explained('--key-env', 'RELAY_KEY')).key, 'alice');
    const unknown = await explained('--key', 'nobody');
    assert.deepEqual([unknown.refusal.status, unknown.refusal.by], [401, 'auth']);
    assert.equal(notesOf(unknown, 'auth')[0].text, "there is no relay key 'nobody'");
  });

  it('explains the request that is given, or none', async () => {
    const made = await world.relay.command('keys', 'make', 'carol');
    assert.equal(made.code, 0, made.stderr);
    const request = {target: '/api/v1/messages', key: 'carol', headers: [['user-agent', 'curl']], body: JSON.stringify(kTurn)};
    const whole = await asked(JSON.stringify(request));
    assert.deepEqual([whole.status, whole.body.key, whole.body.model], [200, 'carol', kTurn.model]);
    for (const [change, what] of [
      [{body: kTurn}, /^'body' must be a text/], [{headers: {'user-agent': 'curl'}}, /^'headers' must be a list of pairs/],
      [{kez: 'alice'}, /^unknown field 'kez'/], [{headers: [['Host', 'other.test']]}, /^the header 'Host' is of the connection/],
    ]) {
      const refused = await asked(JSON.stringify({...request, ...change}));
      assert.equal(refused.status, 400);
      assert.match(refused.body.error.message, what);
    }
    const header = await explain('--key', 'alice', '--header', 'expect: 100-continue');
    assert.equal(header.code, 2);
    assert.match(header.stderr, /^relay: --header: the header 'expect' is of the connection/);
  });

  it('takes a body as large as clients send, however often it must be escaped', async () => {
    const file = path.join(world.folder, 'large.json');
    const large = (bytes) => {
      const text = JSON.stringify({...kTurn, system: '"'.repeat(bytes / 2)});
      fs.writeFileSync(file, text);
      return text.length;
    };
    const ask = () => world.relay.command('explain', 'POST', '/api/v1/messages', '--json', '--key', 'carol', '--body', file);
    const size = large(3 << 20);
    const told = await ask();
    assert.deepEqual([told.code, told.stderr], [0, '']);
    const explanation = JSON.parse(told.stdout);
    assert.deepEqual([explanation.served, explanation.request['body-bytes']], [true, size]);
    // Up to what the README says; the listener takes less.
    large(39 << 20);
    assert.deepEqual(JSON.parse((await ask()).stdout).refusal.status, 413);
    large(42 << 20);
    const larger = await ask();
    assert.deepEqual([larger.code, larger.stderr],
      [2, `relay: the body ${file} is too large to ask a relay of; --offline takes any\n`]);
  });

  it('tells by relay.yaml alone, while a relay runs and without one', async () => {
    const offline = await explain('--key', 'alice', '--offline');
    assert.equal(offline.code, 0, offline.stderr);
    assert.match(offline.stderr, /alone/);
    assert.match(offline.stdout, /requests-per-minute: 0 of 2 used/);
    assert.equal(/--body/.test(offline.stderr), false, offline.stderr);
    const bare = await world.relay.command('explain', 'POST', '/api/v1/messages', '--key', 'alice', '--offline');
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, /has no body; --body FILE names one/);
    await world.relay.stop();
    const alone = await explain('--key', 'alice');
    assert.equal(alone.code, 0, alone.stderr);
    assert.match(alone.stderr, /no relay runs/);
    assert.equal(alone.stdout, offline.stdout);
    const bytes = path.join(world.folder, 'bytes');
    fs.writeFileSync(bytes, Buffer.from([0x7b, 0xff, 0xfe, 0x7d]));
    const binary = await world.relay.command('explain', 'POST', '/api/v1/messages', '--body', bytes);
    assert.deepEqual([binary.code, binary.stderr],
      [2, `relay: the body ${bytes} is no text of UTF-8; --offline takes any bytes\n`]);
    const wrong = await world.relay.command('explain', 'POST');
    assert.deepEqual([wrong.code, wrong.stderr], [2, "relay: 'explain' needs METHOD PATH: relay explain METHOD PATH\n"]);
  });
});
