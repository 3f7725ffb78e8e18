// SPDX-License-Identifier: MIT
//
// Who is told, over a webhook, when an account is refused, a budget runs low or a changed relay.yaml is not good; and
// that a receiver which is away holds up no request.

import assert from 'node:assert/strict';
import {createHmac} from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor} from './lib/asking.mjs';
import {startRelay} from './lib/relay.mjs';
import {sleep, until} from './lib/waiting.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';
import {ask1} from './lib/wire.mjs';

const kSecret = 'alert-signature-secret';
const kPatience = 20_000;

/** Keeps what is posted to it; answers with `status`. */
async function openReceiver() {
  const receiver = {posts: [], status: 200};
  receiver.server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      receiver.posts.push({path: request.url, headers: request.headers, body: Buffer.concat(pieces).toString()});
      response.writeHead(receiver.status).end();
    });
  });
  await new Promise((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
  receiver.url = `http://127.0.0.1:${receiver.server.address().port}`;
  receiver.close = () => {
    receiver.server.closeAllConnections();
    return new Promise((resolve) => receiver.server.close(resolve));
  };
  return receiver;
}

describe('alerts', {skip: kStraightOnly}, () => {
  let world;
  let receiver;
  let settings;
  before(async () => {
    receiver = await openReceiver();
    settings = {claude: ['key', 'second'], keys: [{name: 'bob', key: 'cr_alerts-bob-key', limits: 'cost-total: 0.0001'}],
      more: `alerts:
  - {name: ops, url: "${receiver.url}/json", secret: ${kSecret}, quiet: 0s}
  - {name: chat, url: "${receiver.url}/slack", format: slack, on: [refused]}
  - {name: nobody, url: "http://127.0.0.1:1/", on: [refused, limited]}`};
    world = await openWorld(settings);
  });
  after(async () => {
    await world?.close();
    await receiver?.close();
  });

  const told = () => receiver.posts.filter(({path}) => path === '/json').map(({body}) => JSON.parse(body));
  /** The alert of that event and phase about that subject, once it has come. */
  async function waitFor(event, phase, subject) {
    return until(() => told().find((alert) => alert.event === event && alert.phase === phase && alert.subject === subject),
      () => `${phase} ${event} ${subject}:\n${JSON.stringify(told(), null, 1)}\n${world.relay.log()}`, kPatience);
  }
  const ask = (headers = {}) => askFor(world, 'claude', {unstreamed: true, headers});

  it('come signed, in the words of who is told, and say what is wrong', async () => {
    await world.mock.script({match: {path: '/v1/messages'}, faults: ['status-401']});
    assert.equal((await ask()).status, 200, 'the other account serves');
    const alert = await waitFor('refused', 'began', 'account claude/team-api');
    assert.equal(alert.severity, 'critical');
    assert.match(alert.summary, /is refused by its vendor, and needs a person: 401/);
    const post = receiver.posts.find(({path}) => path === '/json');
    const [, time, signature] = post.headers['x-relay-signature'].match(/^t=(\d+),v1=([0-9a-f]{64})$/);
    assert.equal(signature, createHmac('sha256', kSecret).update(`${time}.${post.body}`).digest('hex'));
    const chat = await until(() => receiver.posts.find(({path}) => path === '/slack'), () => world.relay.log(), kPatience);
    assert.match(JSON.parse(chat.body).text, /^account claude\/team-api is refused/);
    assert.equal(chat.headers['x-relay-signature'], undefined);
  });

  it('tell of a budget that is spent', async () => {
    assert.equal((await ask({'x-api-key': 'cr_alerts-bob-key'})).status, 200);
    const alert = await waitFor('budget', 'began', 'key bob');
    assert.match(alert.summary, /^key bob has spent \d+% of its cost-total: \$/);
  });

  it('tell of a relay.yaml that was refused, and that it is good again', async () => {
    const file = path.join(world.folder, 'relay.yaml');
    const good = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, `${good}\nnonsense: true\n`);
    const alert = await waitFor('config', 'began', 'the changed relay.yaml');
    assert.match(alert.details, /nonsense/);
    fs.writeFileSync(file, good);
    await waitFor('config', 'ended', 'the changed relay.yaml');
  });

  it('are not told again after a restart', async () => {
    const before = told().length;
    assert.deepEqual(await world.relay.stop(), {code: 0, signal: null});
    world.relay = await startRelay({folder: world.folder, upstream: world.upstream.url, gemini: ['key'], ...settings});
    // A look comes each second. What begins now is told, and only that.
    await sleep(1500);
    const file = path.join(world.folder, 'relay.yaml');
    const good = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, `${good}\nnonsense: true\n`);
    await until(() => told().length > before, () => world.relay.log(), kPatience);
    assert.deepEqual(told().slice(before).map(({event, subject}) => [event, subject]), [['config', 'the changed relay.yaml']]);
    fs.writeFileSync(file, good);
    await until(() => told().at(-1).phase === 'ended', () => world.relay.log(), kPatience);
    assert.match((await world.relay.command('accounts', 'list')).stdout, /claude\/team-api .*401/);
  });

  it('are tried again, listed and tested by the command, without the URL', async () => {
    const test = await world.relay.command('alerts', 'test');
    assert.equal(test.code, 1, test.stdout);
    assert.match(test.stdout, /alert 'ops': sent \(200\)\nalert 'chat': sent \(200\)\nalert 'nobody': not sent \(/);
    assert.equal(told().at(-1).event, 'test');
    const one = await world.relay.command('alerts', 'test', 'chat');
    assert.equal(one.code, 0, one.stderr);
    const none = await world.relay.command('alerts', 'test', 'opps');
    assert.equal(none.code, 1);
    assert.match(none.stderr, /there is no alert 'opps'/);
    const list = await world.relay.command('alerts', 'list');
    assert.match(list.stdout, /nobody +127\.0\.0\.1 +refused,limited +1 /);
    assert.doesNotMatch(list.stdout + world.relay.log(), /\/slack|\/json/);
    const metrics = (await ask1(world.relay.port, 'GET', '/metrics')).body.toString();
    assert.match(metrics, /relay_alerts_total\{alert="ops",result="sent"\} [1-9]/);
    assert.match(metrics, /relay_alerts_total\{alert="nobody",result="sent"\} 0/);
  });
});
