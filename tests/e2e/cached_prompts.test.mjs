// SPDX-License-Identifier: MIT
//
// What a session has cached on its account: told while it stays, and what is lost when it moves.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {after, before, describe, it} from 'node:test';

import {askFor, kTurn} from './lib/asking.mjs';
import {kAccounts} from './lib/relay.mjs';
import {kStraightOnly, openWorld} from './lib/ways.mjs';

const kToken = 'metrics-token-of-the-tests';
const kUsage = 'input=1,output=2,cache-read=40000,cache-write=12000';
const kSession = {'x-claude-code-session-id': 'a-session', 'x-mock-usage': kUsage};

describe('prompts that are cached', {skip: kStraightOnly}, () => {
  let world;
  let body;
  before(async () => {
    world = await openWorld({workers: 2, claude: ['key', 'second'], metricsToken: kToken});
    body = path.join(world.folder, 'body.json');
    fs.writeFileSync(body, JSON.stringify(kTurn));
  });
  after(() => world?.close());

  async function explained() {
    const told = await world.relay.command('explain', 'POST', '/api/v1/messages', '--body', body, '--key', 'alice',
      '--header', 'x-claude-code-session-id: a-session');
    assert.deepEqual([told.code, told.stderr], [0, '']);
    return told.stdout;
  }
  async function lostTokens() {
    const answer = await fetch(`${world.relay.url}/metrics`, {headers: {authorization: `Bearer ${kToken}`}});
    return /^relay_cache_lost_tokens_total\{cluster="claude"\} (\d+)$/m.exec(await answer.text())?.[1];
  }
  const ask = (unstreamed) => askFor(world, 'claude', {unstreamed, headers: kSession});

  it('are known from the usage of the answer, streamed or not', async () => {
    for (const unstreamed of [true, false]) {
      assert.equal((await ask(unstreamed)).status, 200);
      assert.match(await explained(),
        /team-api: chosen: the session is on it, where 52000 tokens of its prompt are cached for another [45]m \d+s\n/);
    }
    assert.equal(await lostTokens(), '0');
  });

  it('are lost by a move, which says what that costs', async () => {
    assert.equal((await world.relay.command('accounts', 'pause', 'claude/team-api')).code, 0);
    assert.match(await explained(), /spare-api: chosen: the session moves to it from team-api\n/);
    assert.match(await explained(),
      /leaves team-api, where 52000 tokens of its prompt are cached for another [45]m \d+s: to read them anew costs \$0\.1976 more\n/);
    assert.equal(await lostTokens(), '0');
    assert.equal((await ask(true)).status, 200);
    assert.equal((await world.mock.requests()).at(-1).credential.value, kAccounts.claude.second.value);
    assert.equal(await lostTokens(), '52000');
    assert.match(await explained(), /spare-api: chosen: the session is on it, where 52000 tokens/);
    assert.equal((await ask(true)).status, 200);
    assert.equal(await lostTokens(), '52000');
  });

  it('stand in the log where they are lost, once', async () => {
    await world.relay.stop();
    const said = world.relay.log().split('\n').filter((line) => line.includes('session left its cache'));
    assert.equal(said.length, 1);
    const {cluster, account, tokens, usd} = JSON.parse(said[0]);
    assert.deepEqual({cluster, account, tokens, usd}, {cluster: 'claude', account: 'spare-api', tokens: 52000, usd: 0.1976});
  });
});
