// SPDX-License-Identifier: MIT
//
// relay.yaml changes while the relay serves: nothing that runs is cut, nothing fails, and a file that is not good
// changes nothing.

import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor, json, kClaudeHeaders, kDialects, kTurn} from './lib/asking.mjs';
import {startMock} from './lib/mock.mjs';
import {poisonous} from './lib/poison.mjs';
import {run} from './lib/process.mjs';
import {kAccounts, kRelayBinary, kRelayKey, relayYaml, startRelay} from './lib/relay.mjs';
import {sleep} from './lib/waiting.mjs';
import {assertNothingSecretIn, kStraightOnly} from './lib/ways.mjs';
import {ask1, ask2, connect2, eventsOf, Http1, request1, sha256, within} from './lib/wire.mjs';

const kReloads = process.env.RELAY_LONG ? 1000 : 100;
const kStreams = 200;
const kBob = `cr_${'b0'.repeat(32)}`;


function makeCertificate(folder, name) {
  const [cert, key] = [path.join(folder, 'front.pem'), path.join(folder, 'front-key.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${key}.new`, '-out', `${cert}.new`], {stdio: 'ignore'});
  fs.renameSync(`${key}.new`, key);
  fs.renameSync(`${cert}.new`, cert);
  return {cert, key};
}

/** A call of the admin API over the control socket. */
function control(folder, method, target) {
  return within(30_000, new Promise((resolve, reject) => {
    const request = http.request({socketPath: path.join(folder, 'data', 'relay.sock'), method, path: target}, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => (text += piece));
      response.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject);
    request.end();
  }), target);
}

async function metric(port, name) {
  const {body} = await ask1(port, 'GET', '/metrics');
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\S+)$`, 'm').exec(body.toString())?.[1]);
}

describe('relay.yaml that changes', {skip: kStraightOnly}, () => {
  // The long form asks by a key that has gone a hundred times in less than a minute.
  const usual = {claude: ['key', 'second'], gemini: ['key'], workers: 2, limits: 'wrong-keys: 1000'};
  let folder;
  let mock;
  let relay;
  let certificate;
  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-reload-'));
    certificate = makeCertificate(folder, 'first');
    mock = await startMock({folder});
    relay = await startRelay({folder, upstream: mock.url, tls: certificate, ...usual});
  });
  after(async () => {
    const ended = await relay?.stop();
    await mock?.stop();
    const log = relay?.log() ?? '';
    fs.rmSync(folder, {recursive: true, force: true});
    assert.deepEqual(ended, {code: 0, signal: null}, log.slice(-4000));
    assertNothingSecretIn(log);
    assert.ok(!log.includes('internal error'), log.slice(-4000));
  });

  const file = () => path.join(folder, 'relay.yaml');
  const yaml = (settings = {}) => relayYaml({upstream: mock.url, tls: certificate, ...usual, ...settings});
  const write = (text) => {
    fs.writeFileSync(`${file()}.new`, text);
    fs.renameSync(`${file()}.new`, file());
  };
  const reload = () => control(folder, 'POST', '/admin/v1/config/reload');
  async function reloadTo(settings) {
    write(yaml(settings));
    const outcome = await reload();
    assert.deepEqual(outcome.problems, []);
    return outcome.changes.map(({text}) => text);
  }
  const bob = {keys: [{name: 'bob', key: kBob, limits: 'concurrency: 40'}]};
  const askAs = (key, options = {}) => askFor({relay}, 'claude', {unstreamed: true, ...options, headers: {'x-api-key': key, ...options.headers}});
  const usedBy = (credential) => mock.records({path: '/v1/messages'}).then((all) => all.filter((one) => one.credential?.value === credential).length);

  it('adds and removes a key: its next request is refused, and its stream runs to its end', async () => {
    assert.equal((await askAs(kBob)).status, 401);
    assert.deepEqual(await reloadTo(bob), ["key 'bob' is added"]);
    assert.equal((await askAs(kBob)).status, 200);
    const stream = await Http1.connect(relay.port);
    stream.send(request1('POST', kDialects.claude.target, {...kClaudeHeaders, 'x-api-key': kBob,
      'x-mock-stream': 'seed=1,events=30,bytes=20,delay=30'}, JSON.stringify(kDialects.claude.body)));
    await stream.until(() => stream.soFar('POST')?.body.length > 0, 'the stream');
    assert.deepEqual(await reloadTo({}), ["key 'bob' is removed"]);
    assert.equal((await askAs(kBob)).status, 401);
    assert.equal(stream.soFar('POST').status, 200);
    assert.equal(stream.soFar('POST').whole, false, 'it still runs');
    const answer = await stream.response('POST');
    assert.ok(kDialects.claude.isWhole(answer.body), answer.body.toString().slice(-300));
    // The connection stays, but not the key.
    stream.send(request1('POST', '/api/v1/messages', {...kClaudeHeaders, 'x-api-key': kBob}, JSON.stringify(kTurn)));
    assert.equal((await stream.response('POST')).status, 401);
    stream.destroy();
  });

  it('judges answers by the rules of the cluster from then on', async () => {
    const session = {headers: {'x-claude-code-session-id': '51c9e2de-44a1-4f8b-9d6e-6f1f6b1c0c02'}};
    const lost = (account = 'key') => mock.script([{match: {credential: kAccounts.claude[account].value}, faults: ['status-404']}]);
    await mock.reset();
    await lost();
    assert.equal((await askAs(kRelayKey, session)).status, 404, 'the request is to blame');
    const claudeRules = '{match: {status: 404, error: not_found_error}, action: refused, for: 1h}';
    assert.deepEqual(await reloadTo({claudeRules}), ["cluster 'claude': rules.1 is added"]);
    await mock.reset();
    await lost();
    assert.equal((await askAs(kRelayKey, session)).status, 200);
    const asked = (await mock.records({path: '/v1/messages'})).map((one) => one.credential.value);
    assert.deepEqual(asked, [kAccounts.claude.key.value, kAccounts.claude.second.value]);
    const {accounts} = await control(folder, 'GET', '/admin/v1/accounts');
    const blamed = accounts.find(({cluster, name}) => cluster === 'claude' && name === kAccounts.claude.key.name);
    assert.equal(blamed?.state, 'refused', JSON.stringify(accounts));
    assert.match(blamed.cause, /^404 not_found_error, by the rule at .*relay\.yaml:\d+:\d+$/);
    await control(folder, 'POST', `/admin/v1/accounts/claude/${kAccounts.claude.key.name}/reset`);
    await reloadTo({});
    await lost('second');  // where the session went
    assert.equal((await askAs(kRelayKey, session)).status, 404);
  });

  it('keeps a session on its account and a refused account out, and serves by one that came', async () => {
    await mock.reset();
    const session = {headers: {'x-claude-code-session-id': '3d0b5a1c-9d1e-4a57-8f0e-0a3f5a0f5a11'}};
    const even = {claude: [{kind: 'key', priority: 10}, {kind: 'second', priority: 10}]};
    await reloadTo(even);
    await askAs(kRelayKey, session);
    const [first] = await mock.records({path: '/v1/messages'});
    const three = {claude: [{kind: 'third', priority: 1}, ...even.claude]};
    assert.deepEqual(await reloadTo(three), ["account 'claude/third-api' is added"]);
    await askAs(kRelayKey, session);
    await askAs(kRelayKey);
    let records = await mock.records({path: '/v1/messages'});
    assert.deepEqual(records.map((one) => one.credential.value),
      [first.credential.value, first.credential.value, kAccounts.claude.third.value]);
    // The new one is refused by the vendor, and rests, whatever is reloaded.
    await mock.script([{match: {credential: kAccounts.claude.third.value}, faults: ['status-401']}]);
    assert.equal((await askAs(kRelayKey)).status, 200);
    await reloadTo({...three, drain: '7s'});
    assert.equal((await askAs(kRelayKey)).status, 200);
    records = (await mock.records({path: '/v1/messages'})).filter((one) => one.credential.value === kAccounts.claude.third.value);
    assert.equal(records.length, 2, 'it was not asked again');
    // Removed, it serves no more; the others do.
    await reloadTo({});
    assert.equal((await askAs(kRelayKey)).status, 200);
    assert.equal(await usedBy(kAccounts.claude.third.value), 2);
  });

  it('adds a route', async () => {
    const ask = () => ask1(relay.port, 'POST', '/other/v1/messages', {headers: {...kClaudeHeaders, 'x-api-key': kRelayKey}, body: JSON.stringify(kTurn)});
    assert.equal((await ask()).status, 404);
    const route = `  - name: other
    match: {prefix: /other}
    filters: [{auth: {service: claude}}, {account-select: {}}, {rewrite: {strip-prefix: true}}, {usage-record: {}}]
    cluster: claude
`;
    write(yaml() + route);
    assert.deepEqual((await reload()).changes.map(({text}) => text), ["route 'other' is added"]);
    assert.equal((await ask()).status, 200);
    await reloadTo({});
    assert.equal((await ask()).status, 404);
  });

  it('serves a new certificate by itself, and lets connections with the old one go on', async () => {
    const old = fs.readFileSync(certificate.cert);
    const before2 = await connect2(relay.tlsPort, {ca: old});
    const ask = (session) => ask2(session, 'POST', '/api/v1/messages', {headers: {...kClaudeHeaders, 'x-api-key': kRelayKey}, body: JSON.stringify(kTurn)});
    assert.equal((await ask(before2)).status, 200);
    makeCertificate(folder, 'renewed');
    const renewed = fs.readFileSync(certificate.cert);
    let session = null;
    for (let i = 0; i < 100 && session === null; ++i) {
      session = await connect2(relay.tlsPort, {ca: renewed}).catch(() => sleep(50).then(() => null));
    }
    assert.ok(session, relay.log().slice(-2000));
    assert.equal((await ask(session)).status, 200);
    await assert.rejects(connect2(relay.tlsPort, {ca: old}));
    assert.equal((await ask(before2)).status, 200, 'the old connection');
    session.destroy();
    before2.destroy();
  });

  it('reloads by SIGHUP and when the file changes', async () => {
    for (const how of ['signal', 'file']) {
      write(yaml(bob));
      if (how === 'signal') process.kill(relay.pid, 'SIGHUP');
      for (let i = 0; i < 200 && (await askAs(kBob)).status !== 200; ++i) await sleep(20);
      assert.equal((await askAs(kBob)).status, 200, how);
      await reloadTo({});
    }
  });

  it('says what a file would change, and what came of it, to the commands', async () => {
    const fresh = path.join(folder, 'new.yaml');
    fs.writeFileSync(fresh, yaml({...bob, workers: 3}));
    const diff = await run(kRelayBinary, ['diff', '--config', fresh], {env: {RELAY_DATA: path.join(folder, 'data')}, cwd: folder});
    assert.deepEqual([diff.code, diff.stdout], [0, "key 'bob' is added\nworkers 2 -> 3 (needs a restart)\n"]);
    assert.equal((await askAs(kBob)).status, 401, 'nothing was changed by asking');
    write(fs.readFileSync(fresh));
    const told = await relay.command('reload');
    // On a slow machine the relay has seen the change before the command asks: then the key is not new.
    assert.equal(told.code, 0);
    assert.match(told.stdout, /^(key 'bob' is added\n)?workers 2 -> 3 \(needs a restart\)\nreloaded\n$/);
    assert.equal((await askAs(kBob)).status, 200);
    assert.equal(await metric(relay.port, 'relay_config_restart_needed'), 1);

    write(yaml().replace('services:', 'servces:'));
    for (const command of ['diff', 'reload']) {
      const bad = await relay.command(command);
      assert.equal(bad.code, 2);
      assert.match(bad.stderr, /relay\.yaml:\d+:\d+: unknown key 'servces' in key 'alice' \(did you mean 'services'\?\)/);
      assert.equal(bad.stdout, '');
    }
    const ready = json(await ask1(relay.port, 'GET', '/ready'));
    assert.equal(ready.status, 'ready');
    assert.match(ready.config.refused, /^relay\.yaml:\d+:\d+$/);
    write(`${yaml()}tests:\n  - {request: {path: /nowhere}, expect: {status: 200}}\n`);
    assert.equal((await relay.command('reload')).code, 1, 'a test that fails');
    await reloadTo({});
    assert.equal((await relay.command('diff')).stdout, 'no change\n');
    assert.equal(json(await ask1(relay.port, 'GET', '/ready')).config.refused, undefined);
  });

  it(`refuses 40 poisonous files and puts ${kReloads} good ones in force under ${kStreams} streams: nothing is cut, nothing fails`, async () => {
    const poison = poisonous(yaml());
    assert.equal(poison.length, 40);
    await mock.reset();
    let ends = false;
    const session2 = await connect2(relay.port);
    let streams = 0;
    let longest = 0;
    let reloads = 0;
    const failures = [];

    /** One stream after the other, half of them by HTTP/2, each as the mock sent it. */
    async function streamer(number) {
      const dialect = kDialects[number % 4 === 3 ? 'gemini' : 'claude'];
      for (let round = 0; !ends || round === 0; ++round) {
        const tag = `s${number}r${round}`;
        const begun = reloads;
        const headers = {...dialect.headers, 'x-mock-tag': tag, 'x-mock-stream': `seed=${number + 1},events=40,bytes=24,delay=100`};
        const body = JSON.stringify(dialect.body);
        const answer = number % 2 === 0 ? await ask1(relay.port, 'POST', dialect.target, {headers, body})
          : await ask2(session2, 'POST', dialect.target, {headers, body});
        ++streams;
        longest = Math.max(longest, reloads - begun);
        const [record] = await mock.records({tag, wait: 5000, count: 1});
        if (answer.status !== 200 || !answer.whole || sha256(answer.body) !== record?.responseSha256) {
          failures.push(`${tag}: ${answer.status}, whole: ${answer.whole}, ${answer.body.length} of ${record?.responseBytes} bytes: ${answer.body.toString().slice(-200)}`);
        }
      }
    }
    async function asker(number) {
      const service = number % 2 === 0 ? 'claude' : 'gemini';
      let asked = 0;
      for (; !ends; ++asked) {
        const {status, body} = await askFor({relay}, service, {unstreamed: true});
        if (status !== 200) failures.push(`request: ${status} ${body}`);
      }
      return asked;
    }
    const streamers = Array.from({length: kStreams}, (_, number) => streamer(number));
    const askers = Array.from({length: 4}, (_, number) => asker(number));
    while (await metric(relay.port, 'relay_active_exchanges') < kStreams) await sleep(20);

    let resident = 0;
    for (; reloads < kReloads; ++reloads) {
      const i = reloads;
      if (i % Math.floor(kReloads / 40) === 0 && poison.length > 0) {
        const [name, bytes] = poison.pop();
        write(bytes);
        const {good, problems} = await reload();
        assert.equal(good, false, name);
        assert.match(problems[0], /relay\.yaml(:\d+:\d+)?: /, name);
      }
      // Others come and go; what the streams use is changed, but stays.
      const keys = [{name: `guest-${i % 7}`, key: `${kBob}${i % 7}`, limits: `concurrency: ${i + 1}`}];
      const claude = [{kind: 'key', priority: 10 + i % 3}, ...(i % 2 ? ['third'] : ['second'])];
      await reloadTo({keys, claude, keyLimits: `requests-per-minute: ${100_000 + i}`, timeouts: `idle: ${100 + i}s`});
      if (i % 10 === 0) assert.equal((await askAs(`${kBob}${i % 7}`)).status, 200);
      if (i % 10 === 1) assert.equal((await askAs(`${kBob}${(i - 1) % 7}`)).status, 401);
      if (i === Math.floor(kReloads / 2)) resident = await metric(relay.port, 'process_resident_memory_bytes');
    }
    const grown = await metric(relay.port, 'process_resident_memory_bytes') - resident;
    ends = true;
    await within(60_000, Promise.all(streamers), 'the streams');
    const asked = (await Promise.all(askers)).reduce((sum, one) => sum + one, 0);
    session2.destroy();
    assert.deepEqual(failures, []);
    assert.equal(poison.length, 0);
    assert.ok(streams >= kStreams && asked > 0 && longest > 0, `${streams} streams, ${asked} requests, over ${longest} reloads`);
    assert.ok(grown < 16 << 20, `${grown} bytes more over half of the reloads`);
    assert.deepEqual((await mock.stats()).leaks, []);
    await reloadTo({});
  });
});
