// SPDX-License-Identifier: MIT
//
// Keys that a running relay is given by its commands: each change holds at the next request, none is lost under load, and
// nothing on the disk or in the log tells a key or an account.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor, json} from './lib/asking.mjs';
import {kAccounts, kRelayKey, startRelay} from './lib/relay.mjs';
import {assertNothingSecretIn, kStraightOnly, openWorld} from './lib/ways.mjs';

const kRounds = process.env.RELAY_LONG ? 50 : 3;
const kParallel = 200;

describe('relay keys', {skip: kStraightOnly}, () => {
  let world;
  const secrets = [kRelayKey, ...Object.values(kAccounts).flatMap(Object.values).map(({value}) => value)];
  before(async () => {
    world = await openWorld({workers: 2});
  });
  after(() => world?.close());

  /** A command that must come out well; what it prints. */
  async function keys(...args) {
    const told = await world.relay.command('keys', ...args);
    assert.equal(told.code, 0, told.stderr);
    return told.stdout;
  }
  async function make(...args) {
    const key = (await keys('make', ...args)).trim();
    assert.match(key, /^cr_[0-9a-f]{64}$/);
    secrets.push(key);
    return key;
  }
  const ask = (key, model = 'claude-opus-5-5') => askFor(world, 'claude', {unstreamed: true, headers: {'x-api-key': key},
    body: JSON.stringify({model, max_tokens: 64, messages: [{role: 'user', content: 'hi'}]})});
  const statusOf = async (...args) => (await ask(...args)).status;

  it('makes a key that may do what was said, at once', async () => {
    const key = await make('bob', '--services', 'claude', '--models', 'deny=claude-opus-*', '--limits', 'requests-per-minute=2');
    assert.equal(await statusOf(key, 'claude-haiku-4-5'), 200);
    assert.equal(await statusOf(key), 403, 'the model is denied');
    const gemini = await askFor(world, 'gemini', {unstreamed: true, headers: {'x-goog-api-key': key}});
    assert.equal(gemini.status, 403);
    assert.equal(await statusOf(key, 'claude-haiku-4-5'), 200);
    const spent = await ask(key, 'claude-haiku-4-5');
    assert.equal(spent.status, 429, spent.body.toString());
    await keys('set', 'bob', '--limits', 'requests-per-minute=none', '--models', 'none');
    assert.equal(await statusOf(key), 200);
    const [bob] = JSON.parse(await keys('list', '--json')).keys.filter(({name}) => name === 'bob');
    assert.deepEqual([bob.state, bob.source, bob.terms], ['active', 'store', {services: ['claude']}]);
    assert.match(bob['last-used'], /^20/);
  });

  it('rotates, deletes, restores, and disables what relay.yaml declares', async () => {
    const first = await make('carol');
    const second = (await keys('rotate', 'carol', '--overlap', '1h')).trim();
    secrets.push(second);
    assert.deepEqual([await statusOf(first), await statusOf(second)], [200, 200]);
    const third = (await keys('rotate', 'carol')).trim();
    secrets.push(third);
    assert.deepEqual([await statusOf(first), await statusOf(second), await statusOf(third)], [401, 401, 200]);
    await keys('delete', 'carol');
    assert.equal(await statusOf(third), 401);
    await keys('restore', 'carol');
    assert.equal(await statusOf(third), 200);
    await keys('disable', 'alice');
    const refused = await ask(kRelayKey);
    assert.equal(refused.status, 403);
    assert.equal(json(refused).error.message, "key 'alice' is disabled");
    await keys('enable', 'alice');
    assert.equal(await statusOf(kRelayKey), 200);
  });

  it('refuses in words, with the nearest name and the exit code of the design', async () => {
    const wrong = await world.relay.command('keys', 'disable', 'alcie');
    assert.deepEqual([wrong.code, wrong.stderr], [1, "relay: there is no key 'alcie' (did you mean 'alice'?)\n"]);
    const usage = await world.relay.command('keys', 'mkae', 'x');
    assert.equal(usage.code, 2);
    assert.match(usage.stderr, /did you mean 'make'\?/);
  });

  it(`a key that is disabled amidst ${kParallel} parallel requests stays so (${kRounds} rounds)`, async () => {
    const key = await make('dora');
    for (let round = 0; round < kRounds; ++round) {
      let disabled = false;
      const late = [];
      let asked = 0;
      const clients = Array.from({length: kParallel}, async () => {
        for (let i = 0; i < 3; ++i) {
          const after = disabled;
          ++asked;
          const status = await statusOf(key);
          assert.ok(status === 200 || status === 403, `status ${status}`);
          if (after && status !== 403) late.push(status);
        }
      });
      // Others change the same key at the same time; none of the changes may undo another.
      const limit = 1000 + round;
      const changes = [keys('set', 'dora', '--limits', `requests-per-minute=${1_000_000 + round}`),
        keys('disable', 'dora').then(() => { disabled = true; }),
        keys('set', 'dora', '--limits', `concurrency=${limit}`)];
      await Promise.all(changes);
      assert.equal(await statusOf(key), 403, 'the next request after the command has returned');
      await Promise.all(clients);
      assert.deepEqual(late, [], `${asked} requests`);
      const dora = JSON.parse(await keys('show', 'dora', '--json'));
      assert.equal(dora.state, 'disabled');
      assert.deepEqual(dora.terms.limits, {'requests-per-minute': 1_000_000 + round, concurrency: limit});
      await keys('enable', 'dora');
      assert.equal(await statusOf(key), 200);
    }
  });

  it('keeps keys over a restart and a change of the encryption key', async () => {
    const key = await make('erin');
    const file = path.join(world.folder, 'data', 'encryption.key');
    const before = fs.readFileSync(file, 'utf8');
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    const rekeyed = await world.relay.command('rekey');
    assert.equal(rekeyed.code, 0, rekeyed.stderr);
    assert.notEqual(fs.readFileSync(file, 'utf8'), before);
    assert.equal(await statusOf(key), 200);
    assert.deepEqual(await world.relay.stop(), {code: 0, signal: null});
    world.relay = await startRelay({folder: world.folder, upstream: world.mock.url, claude: ['key'], gemini: ['key'], workers: 2});
    assert.equal(await statusOf(key), 200);
    secrets.push(before.trim(), fs.readFileSync(file, 'utf8').trim());
  });

  it('carries all of it over to another store, by a file that only the passphrase opens', async () => {
    const key = await make('frank', '--limits', 'concurrency=7');
    assert.equal(await statusOf(key), 200);
    const used = JSON.parse((await world.relay.command('usage', '--json')).stdout);
    await world.relay.stop();
    const [file, words] = ['relay.state', 'passphrase'].map((name) => path.join(world.folder, name));
    fs.writeFileSync(words, 'correct horse battery staple\n');
    const exported = await world.relay.command('state', 'export', file, '--passphrase-file', words);
    assert.equal(exported.code, 0, exported.stderr);
    const bytes = fs.readFileSync(file);
    for (const secret of secrets) assert.equal(bytes.indexOf(secret), -1);
    assert.equal(bytes.indexOf('frank'), -1);

    const other = fs.mkdtempSync(path.join(world.folder, 'other-'));
    const start = () => startRelay({folder: other, upstream: world.mock.url, claude: ['key'], gemini: ['key'], workers: 2});
    let relay = await start();
    await relay.stop();
    const refused = async (...args) => {
      const told = await relay.command('state', 'import', ...args);
      assert.equal(told.code, 1);
      return told.stderr;
    };
    fs.writeFileSync(path.join(other, 'wrong'), 'another passphrase');
    assert.match(await refused(file, '--passphrase-file', path.join(other, 'wrong')), /passphrase is another one/);
    const imported = await relay.command('state', 'import', file, '--passphrase-file', words);
    assert.equal(imported.code, 0, imported.stderr);
    assert.match(await refused(file, '--passphrase-file', words), /not empty; --replace/);
    relay = await start();
    assert.match(await refused(file, '--passphrase-file', words, '--replace'), /a relay runs/);
    assert.deepEqual(JSON.parse((await relay.command('usage', '--json')).stdout), used);
    const straight = world.relay;
    world.relay = relay;
    assert.equal(await statusOf(key), 200, 'the key is valid there');
    world.relay = straight;
    await relay.stop();
    world.relay = await startRelay({folder: world.folder, upstream: world.mock.url, claude: ['key'], gemini: ['key'], workers: 2});
  });

  it('R52, R59: no file but relay.yaml and the key file, and no log line, holds a key or an account', async () => {
    assertNothingSecretIn(world.relay.log());
    await world.relay.stop();
    const data = path.join(world.folder, 'data');
    const files = fs.readdirSync(data, {recursive: true}).map((name) => path.join(data, name)).filter((name) => fs.statSync(name).isFile());
    assert.ok(files.some((name) => name.endsWith('relay.db')), files.join(' '));
    for (const name of files) {
      const bytes = fs.readFileSync(name);
      for (const secret of secrets) {
        if (name.endsWith('encryption.key')) continue;
        assert.equal(bytes.indexOf(secret), -1, `${name} holds ${secret}`);
        // Neither without its prefix, nor as bytes.
        const hex = secret.match(/^cr_([0-9a-f]{64})$/)?.[1] ?? secret.match(/^[0-9a-f]{64}$/)?.[0];
        if (hex) assert.equal(bytes.indexOf(Buffer.from(hex, 'hex')), -1, `${name} holds ${secret}`);
        if (hex) assert.equal(bytes.indexOf(hex), -1, `${name} holds ${secret}`);
      }
    }
  });
});
