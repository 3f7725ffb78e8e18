// SPDX-License-Identifier: MIT
//
// The rules of keys: who may use one, from where, with what, how long, and on which account; and what becomes of
// somebody who tries one after the other.

import assert from 'node:assert/strict';
import {describe, it} from 'node:test';

import {askFor, json, kDialects} from './lib/asking.mjs';
import {kAccounts} from './lib/relay.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

const keyOf = (name) => `cr_of_${name}_0123456789`;
const credentialOf = (service, key) => ({[service === 'claude' ? 'x-api-key' : 'x-goog-api-key']: key});
const kRules = {
  disabled: {rules: 'disabled: true', says: /key 'disabled' is disabled/},
  expired: {rules: 'expires: 2026-01-01', says: /key 'expired' has expired/},
  placed: {rules: 'allowed-addresses: [192.0.2.0/24, "2001:db8::/32"]', says: /key 'placed' may not be used from 127\.0\.0\.1/,
    passes: [{'x-forwarded-for': '192.0.2.7'}, {'x-forwarded-for': '203.0.113.5, 2001:db8::9'}],
    fails: [{'x-forwarded-for': '192.0.2.7, 203.0.113.5'}]},
  clients: {rules: 'clients: [claude-code, "MyTool/*"]', says: /these clients only: 'claude-cli\/\*' 'MyTool\/\*'/,
    passes: [{'user-agent': 'claude-cli/2.0.1 (external, cli)'}, {'user-agent': 'MyTool/1'}], fails: [{'user-agent': 'x claude-cli/2'}]},
};
const kBudgets = {
  five: {limits: 'cost-per-5h: 0.000001', says: /key 'five' has spent its budget of \$0\.000001 in 5 hours/, retry: 5 * 3600},
  served: {rules: 'service-limits: {claude: {requests-per-minute: 1}}', says: /key 'served' on claude is at its limit of 1 requests a minute/, retry: 61},
};

async function inWorld(settings, work) {
  const world = await openWorld({trustedProxies: '127.0.0.1', claude: ['key', 'second'], ...settings});
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

const ask = (world, service, name, headers = {}) =>
  askFor(world, service, {unstreamed: true, headers: {...credentialOf(service, keyOf(name)), ...headers}});

describe('a key', {skip: kStraightOnly}, () => {
  it('is refused by its rules, in each dialect, and serves whom they let pass', () => {
    const keys = Object.entries(kRules).map(([name, {rules}]) => ({name, key: keyOf(name), rules}));
    return inWorld({keys}, async (world) => {
      for (const [name, {says, passes = [], fails = []}] of Object.entries(kRules)) {
        for (const service of Object.keys(kDialects)) {
          for (const headers of [{}, ...fails]) {
            const answer = await ask(world, service, name, headers);
            assert.equal(answer.status, 403, `${name}: ${answer.body}`);
            assert.equal(kDialects[service].isErrorBody(json(answer)), true, name);
            assert.equal(answer.headers['x-should-retry'], 'false', name);
            if (headers === undefined || Object.keys(headers).length === 0) assert.match(json(answer).error.message, says);
          }
          for (const headers of passes) {
            const answer = await ask(world, service, name, headers);
            assert.equal(answer.status, 200, `${name} with ${JSON.stringify(headers)}: ${answer.body}`);
          }
        }
      }
    });
  });

  it('has budgets of five hours, and limits of one service', () => {
    const keys = Object.entries(kBudgets).map(([name, {limits, rules}]) => ({name, key: keyOf(name), limits, rules}));
    return inWorld({keys}, async (world) => {
      for (const [name, {says, retry}] of Object.entries(kBudgets)) {
        assert.equal((await ask(world, 'claude', name)).status, 200, name);
        const over = await ask(world, 'claude', name);
        assert.equal(over.status, 429, name);
        assert.match(json(over).error.message, says);
        const wait = Number(over.headers['retry-after']);
        assert.equal(wait > retry - 62 && wait <= retry, true, `${name}: ${wait}`);
      }
      assert.equal((await ask(world, 'gemini', 'served')).status, 200, 'another service');
    });
  });

  it('is served by the account that it is bound to, and by no other', () =>
    inWorld({keys: [{name: 'bound', key: keyOf('bound'), rules: `bind: {claude: ${kAccounts.claude.second.name}}`}]}, async (world) => {
      const second = kAccounts.claude.second.value;
      for (let i = 0; i < 3; ++i) assert.equal((await ask(world, 'claude', 'bound')).status, 200);
      assert.deepEqual((await world.mock.records()).map(({credential}) => credential.value), [second, second, second]);
      await world.mock.script({match: {credential: second}, faults: ['status-429;retry-after=60;delay=60s'], repeat: true});
      const limited = await ask(world, 'claude', 'bound');
      assert.deepEqual([limited.status, json(limited).error.type], [429, 'rate_limit_error'], limited.body.toString());
      assert.equal((await askFor(world, 'claude', {unstreamed: true})).status, 200, 'others go on');
    }));
});

describe('wrong keys', {skip: kStraightOnly}, () => {
  it('are told to wait, by address, while right ones pass', () => inWorld({limits: 'wrong-keys: 3'}, async (world) => {
    const wrong = (service, from) => askFor(world, service,
      {unstreamed: true, headers: {...credentialOf(service, 'cr_guess_0123456789'), 'x-forwarded-for': from}});
    for (let i = 0; i < 3; ++i) assert.equal((await wrong('claude', '203.0.113.1')).status, 401);
    for (const service of Object.keys(kDialects)) {
      const answer = await wrong(service, '203.0.113.1');
      assert.equal(answer.status, 429, answer.body.toString());
      assert.equal(kDialects[service].isErrorBody(json(answer)), true);
      const wait = Number(answer.headers['retry-after']);
      assert.equal(wait >= 1 && wait <= 60, true, `${wait}`);
      assert.equal((await askFor(world, service, {unstreamed: true, headers: {'x-forwarded-for': '203.0.113.1'}})).status, 200);
      assert.equal((await wrong(service, '203.0.113.2')).status, 401, 'another address');
    }
  }));
});
