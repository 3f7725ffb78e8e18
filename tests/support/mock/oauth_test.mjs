// SPDX-License-Identifier: MIT
//
// The mock's OAuth: that it refuses what the vendors refuse, and takes back what they take back.
// Run with `node --test tests/support/mock/oauth_test.mjs`.

import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {after, afterEach, before, describe, it} from 'node:test';

import {startMock} from './server.mjs';

const kVerifier = 'v'.repeat(43);
const kChallenge = createHash('sha256').update(kVerifier).digest('base64url');
const kClaude = {
  page: '/oauth/authorize', token: '/v1/oauth/token', redirect: 'https://platform.claude.com/oauth/code/callback',
  client: '9d1c250a-e61b-44d9-88ed-5944d1962f5e', scope: 'user:profile user:inference',
};
const kGoogle = {
  page: '/o/oauth2/v2/auth', token: '/token', redirect: 'https://codeassist.google.com/authcode',
  client: '681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com',
  scope: 'https://www.googleapis.com/auth/cloud-platform', secret: 'any',
};

let mock;
before(async () => {
  mock = await startMock();
});
after(() => mock.close());
afterEach(() => mock.reset());

const control = async (what, body) => {
  const answer = await fetch(`${mock.controlUrl}/__mock/${what}`, body && {method: 'POST', body: JSON.stringify(body)});
  return {status: answer.status, json: await answer.json()};
};
const authorize = (vendor, change = {}) => {
  const query = {client_id: vendor.client, response_type: 'code', redirect_uri: vendor.redirect, scope: vendor.scope,
    code_challenge: kChallenge, code_challenge_method: 'S256', state: 'a-state', access_type: 'offline', ...change};
  const known = Object.entries(query).filter(([, value]) => value !== null);
  return fetch(`${mock.url}${vendor.page}?${new URLSearchParams(known)}`, {redirect: 'manual'});
};
const codeOf = async (vendor, change) => new URL((await authorize(vendor, change)).headers.get('location')).searchParams.get('code');
const ask = async (vendor, fields, headers = {}) => {
  const all = {client_id: vendor.client, ...(vendor.secret && {client_secret: vendor.secret}), ...fields};
  const asJson = vendor === kClaude;
  const answer = await fetch(mock.url + vendor.token, {method: 'POST', headers: {...headers,
    'content-type': asJson ? 'application/json' : 'application/x-www-form-urlencoded'},
  body: asJson ? JSON.stringify(all) : new URLSearchParams(all)});
  return {status: answer.status, json: await answer.json().catch(() => null)};
};
const redeem = (vendor, code, change = {}) => ask(vendor, {grant_type: 'authorization_code', code,
  redirect_uri: vendor.redirect, code_verifier: kVerifier, ...(vendor === kClaude && {state: 'a-state'}), ...change});
const refresh = (vendor, token, headers) => ask(vendor, {grant_type: 'refresh_token', refresh_token: token}, headers);
const profile = (token, path = '/api/oauth/profile') => fetch(mock.url + path,
  {headers: {authorization: `Bearer ${token}`, 'anthropic-beta': 'oauth-2025-04-20'}});
const assist = async (token, verb, body = {}) => {
  const answer = await fetch(`${mock.url}/v1internal:${verb}`, {method: 'POST', body: JSON.stringify(body),
    headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'}});
  return {status: answer.status, json: await answer.json()};
};

for (const [name, vendor] of [['Claude', kClaude], ['Google', kGoogle]]) {
  describe(`login with ${name}`, () => {
    it('sends the person back with code and state, and the page shows the code', async () => {
      const back = new URL((await authorize(vendor)).headers.get('location'));
      assert.equal(back.origin + back.pathname, vendor.redirect);
      assert.equal(back.searchParams.get('state'), 'a-state');
      const shown = await (await fetch(mock.url + back.pathname + back.search)).text();
      const code = back.searchParams.get('code');
      assert.match(shown, vendor === kClaude ? new RegExp(`${code}#a-state`) : new RegExp(`: ${code}\n`));
    });

    it('refuses a page without what OAuth needs', async () => {
      for (const change of [{client_id: 'another'}, {response_type: 'token'}, {redirect_uri: 'https://elsewhere.example/'}, {scope: 'all'},
        {code_challenge: null}, {code_challenge_method: 'plain'}, {state: null}]) {
        assert.equal((await authorize(vendor, change)).status, 400, JSON.stringify(change));
      }
    });

    it('lets the person say no', async () => {
      await control('oauth', {deny: true});
      const back = new URL((await authorize(vendor)).headers.get('location'));
      assert.equal(back.searchParams.get('error'), 'access_denied');
      assert.equal(back.searchParams.has('code'), false);
    });

    it('gives tokens for a code with its verifier, once', async () => {
      const code = await codeOf(vendor);
      const first = await redeem(vendor, code);
      assert.equal(first.status, 200);
      assert.match(first.json.refresh_token, vendor === kClaude ? /^sk-ant-ort01-/ : /^1\/\//);
      const again = await redeem(vendor, code);
      assert.deepEqual([again.status, again.json.error], [400, 'invalid_grant']);
      // The one who had it first has lost it too.
      assert.equal((await refresh(vendor, first.json.refresh_token)).json.error, 'invalid_grant');
    });

    it('refuses a code with another verifier, address, client or after its time', async () => {
      const changes = [{code_verifier: 'w'.repeat(43)}, {redirect_uri: 'http://localhost:1/'}, {code: 'made-up'},
        ...(vendor === kClaude ? [{state: 'another'}] : [])];
      for (const change of changes) {
        assert.equal((await redeem(vendor, await codeOf(vendor), change)).json.error, 'invalid_grant', JSON.stringify(change));
      }
      await control('oauth', {codeSeconds: 0});
      assert.equal((await redeem(vendor, await codeOf(vendor))).json.error, 'invalid_grant');
    });

    it('ends an access token by its time, by hand and with its family', async () => {
      const use = vendor === kClaude ? profile : (token) => profile(token, '/oauth2/v2/userinfo');
      await control('oauth', {accessSeconds: 0});
      const dead = await redeem(vendor, await codeOf(vendor));
      assert.equal((await use(dead.json.access_token)).status, 401);
      await control('oauth', {accessSeconds: 60});
      const {json} = await refresh(vendor, dead.json.refresh_token);
      assert.equal((await use(json.access_token)).status, 200);
      await control('expire', {credential: json.access_token});
      assert.equal((await use(json.access_token)).status, 401);
      const other = await redeem(vendor, await codeOf(vendor));
      await control('revoke', {credential: other.json.refresh_token});
      assert.equal((await use(other.json.access_token)).status, 401);
      assert.equal((await refresh(vendor, other.json.refresh_token)).json.error, 'invalid_grant');
    });

    it('spends nothing on a scripted status, but on an answer that is lost', async () => {
      const login = await redeem(vendor, await codeOf(vendor));
      const token = login.json.refresh_token;
      assert.equal((await refresh(vendor, token, {'x-mock-fault': 'status-429'})).status, 429);
      assert.equal((await refresh(vendor, token, {'x-mock-fault': 'status-503'})).status, 503);
      await assert.rejects(refresh(vendor, token, {'x-mock-fault': 'reset-before-head'}));
      const after = await refresh(vendor, token);
      assert.equal(after.status, vendor === kClaude ? 400 : 200);
      assert.equal((await control('oauth')).json.families[0].refreshes, vendor === kClaude ? 1 : 2);
    });
  });
}

describe('tokens of Claude', () => {
  it('takes a refresh token once, and the family for its second use', async () => {
    const login = await redeem(kClaude, await codeOf(kClaude));
    const first = await refresh(kClaude, login.json.refresh_token);
    assert.equal(first.status, 200);
    assert.notEqual(first.json.refresh_token, login.json.refresh_token);
    assert.equal((await profile(first.json.access_token)).status, 200);
    assert.equal((await refresh(kClaude, login.json.refresh_token)).json.error, 'invalid_grant');
    assert.equal((await refresh(kClaude, first.json.refresh_token)).json.error, 'invalid_grant');
    assert.equal((await profile(first.json.access_token)).status, 401);
    assert.deepEqual((await control('oauth')).json.families.map(({reused, revoked}) => [reused, revoked]), [[1, true]]);
  });

  it('takes one from before its start as a family of its own', async () => {
    const first = await refresh(kClaude, 'sk-ant-ort01-from-before');
    assert.match(first.json.access_token, /^sk-ant-oat01-/);
    assert.equal((await refresh(kClaude, 'sk-ant-ort01-from-before')).json.error, 'invalid_grant');
  });

  it('forgives a second use within the grace that a test allows', async () => {
    await control('oauth', {graceSeconds: 60});
    await refresh(kClaude, 'sk-ant-ort01-from-before');
    assert.equal((await refresh(kClaude, 'sk-ant-ort01-from-before')).status, 200);
  });

  it('gives a setup token: a year, no refresh token, no profile', async () => {
    const code = await codeOf(kClaude, {scope: 'user:inference'});
    const {json} = await redeem(kClaude, code, {expires_in: 31536000});
    assert.equal(json.expires_in, 31536000);
    assert.equal(json.refresh_token, undefined);
    assert.equal((await profile(json.access_token)).status, 403);
  });

  it('shows who logged in, and the usage windows', async () => {
    const {json} = await redeem(kClaude, await codeOf(kClaude, {login_hint: 'alice@example.com'}));
    assert.equal((await (await profile(json.access_token)).json()).account.email, 'alice@example.com');
    assert.equal((await (await profile(json.access_token, '/api/oauth/usage')).json()).five_hour.utilization, 12);
  });

  it('wants JSON and its own client', async () => {
    const form = await fetch(mock.url + kClaude.token, {method: 'POST', body: new URLSearchParams({grant_type: 'refresh_token'})});
    assert.equal(form.status, 400);
    assert.equal((await ask(kClaude, {grant_type: 'refresh_token', client_id: 'another'})).json.error, 'invalid_client');
  });
});

describe('tokens of Google', () => {
  it('keeps the refresh token and wants the secret', async () => {
    await control('oauth', {googleSecret: 'the-secret'});
    assert.equal((await refresh(kGoogle, '1//mock-token')).json.error, 'invalid_client');
    const right = {...kGoogle, secret: 'the-secret'};
    const first = await refresh(right, '1//mock-token');
    assert.match(first.json.access_token, /^ya29\./);
    assert.equal(first.json.refresh_token, undefined);
    assert.equal((await refresh(right, '1//mock-token')).status, 200);
  });

  it('gives a refresh token only to who asks for one', async () => {
    const {json} = await redeem(kGoogle, await codeOf(kGoogle, {access_type: null}));
    assert.equal(json.refresh_token, undefined);
  });

  it('onboards a newcomer in an operation that takes its time', async () => {
    await control('oauth', {onboarding: {polls: 2, project: 'found-project'}});
    const {json: {access_token: token}} = await redeem(kGoogle, await codeOf(kGoogle));
    const before = await assist(token, 'loadCodeAssist');
    assert.equal(before.json.currentTier, undefined);
    assert.equal(before.json.allowedTiers[0].isDefault, true);
    assert.equal((await assist(token, 'onboardUser', {tierId: 'free-tier', cloudaicompanionProject: 'x'})).status, 412);
    const {json: operation} = await assist(token, 'onboardUser', {tierId: 'free-tier'});
    assert.equal(operation.done, false);
    const poll = async () => (await profile(token, `/v1internal/${operation.name}`)).json();
    assert.equal((await poll()).done, false);
    assert.equal((await poll()).response.cloudaicompanionProject.id, 'found-project');
    const after = await assist(token, 'loadCodeAssist');
    assert.deepEqual([after.json.currentTier.id, after.json.cloudaicompanionProject], ['free-tier', 'found-project']);
  });

  it('tells why somebody may not have it', async () => {
    await control('oauth', {onboarding: {ineligible: 'Not in your country.'}});
    const {json} = await assist('ya29.somebody', 'loadCodeAssist');
    assert.equal(json.ineligibleTiers[0].reasonMessage, 'Not in your country.');
  });
});
