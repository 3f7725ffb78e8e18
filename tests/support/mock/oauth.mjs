// SPDX-License-Identifier: MIT
//
// Both vendors' OAuth as HTTP: the page where a person agrees, the token endpoint, and Google's view of
// who that is. What a grant is worth is decided in grants.mjs.

import {Grants} from './grants.mjs';

const kAnthropic = {
  vendor: 'anthropic',
  clientId: '9d1c250a-e61b-44d9-88ed-5944d1962f5e',
  callback: '/oauth/code/callback',
  scopes: ['org:create_api_key', 'user:profile', 'user:inference', 'user:sessions:claude_code',
    'user:mcp_servers', 'user:file_upload'],
};
const kGoogle = {
  vendor: 'google',
  clientId: '681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com',
  callback: '/authcode',
  scopes: ['cloud-platform', 'userinfo.email', 'userinfo.profile'].map((name) => `https://www.googleapis.com/auth/${name}`),
};
const kAnthropicOrganization = '5f2a7c3e-0000-4000-8000-00000000abcd';
const kSetupTokenSeconds = 31_536_000;

export class TokenEndpoints {
  constructor(credentials) {
    this.grants = new Grants(credentials);
  }

  reset() {
    this.grants.reset();
  }

  static handles(path) {
    return ['/oauth/authorize', kAnthropic.callback, '/v1/oauth/token', '/o/oauth2/v2/auth', kGoogle.callback, '/token',
      '/tokeninfo', '/oauth2/v2/userinfo', '/oauth2/v3/userinfo'].includes(path);
  }

  answer(call) {
    switch (call.path) {
      case '/oauth/authorize': return this.authorize(call, kAnthropic);
      case '/o/oauth2/v2/auth': return this.authorize(call, kGoogle);
      case kAnthropic.callback: return showCode(call, '#');
      case kGoogle.callback: return showCode(call, null);
      case '/v1/oauth/token': return this.anthropicToken(call);
      case '/token': return this.googleToken(call);
      default: return this.googleIdentity(call);
    }
  }

  /** The person agrees at once (or not: settings.deny), and is sent back with a code. RFC 6749 §4.1.1, RFC 7636 §4.3. */
  authorize(call, {vendor, clientId, callback, scopes}) {
    const asked = Object.fromEntries(call.query);
    const complain = (what) => call.reply.send(400, {'content-type': 'text/plain'}, `Invalid OAuth request: ${what}\n`);
    if (call.method !== 'GET') return complain('method');
    if (asked.client_id !== clientId) return complain('client_id');
    if (asked.response_type !== 'code') return complain('response_type');
    if (!URL.canParse(asked.redirect_uri ?? '') || !isCallback(new URL(asked.redirect_uri), callback)) {
      return complain('redirect_uri');
    }
    const scope = asked.scope?.split(' ') ?? [];
    if (scope.length === 0 || !scope.every((one) => scopes.includes(one))) return complain('scope');
    if (asked.code_challenge_method !== 'S256' || !/^[\w-]{43}$/.test(asked.code_challenge ?? '')) {
      return complain('code_challenge');
    }
    if (!asked.state) return complain('state');
    const back = new URL(asked.redirect_uri);
    if (this.grants.settings.deny) {
      back.searchParams.set('error', 'access_denied');
    } else {
      back.searchParams.set('code', this.grants.makeCode({vendor, clientId, scope, redirect: asked.redirect_uri,
        challenge: asked.code_challenge, state: asked.state, email: asked.login_hint ?? this.grants.settings.email,
        offline: vendor === 'anthropic' || asked.access_type === 'offline'}));
    }
    back.searchParams.set('state', asked.state);
    return call.reply.send(302, {location: back.href}, '');
  }

  anthropicToken(call) {
    if (refusesFirst(call)) return call.reply.json(200, {});
    const fields = parse(call, 'application/json');
    if (call.method !== 'POST' || fields === null) return refuse(call, 'invalid_request');
    if (fields.client_id !== kAnthropic.clientId) return refuse(call, 'invalid_client', 401);
    const {expires_in: asked} = fields;
    if (asked !== undefined && asked !== kSetupTokenSeconds) return refuse(call, 'invalid_request');
    const grant = this.grants.redeem('anthropic', fields, {matchState: true});
    if (grant.error !== undefined) return refuse(call, grant.error);
    const isSetup = asked !== undefined;
    const issued = this.grants.issue(grant.family, {rotates: true, keepsRefresh: !isSetup, seconds: asked});
    return call.reply.json(200, {token_type: 'Bearer', access_token: issued.access, expires_in: issued.seconds,
      ...(issued.refresh !== null && {refresh_token: issued.refresh}), scope: grant.family.scope.join(' '),
      organization: {uuid: kAnthropicOrganization, name: 'Mock'},
      account: {uuid: grant.family.account, email_address: grant.family.email}});
  }

  googleToken(call) {
    if (refusesFirst(call)) return call.reply.json(200, {});
    const fields = parse(call, 'application/x-www-form-urlencoded');
    if (call.method !== 'POST' || fields === null) return refuse(call, 'invalid_request');
    const {googleSecret} = this.grants.settings;
    if (!fields.client_id || !fields.client_secret || (googleSecret && fields.client_secret !== googleSecret)) {
      return refuse(call, 'invalid_client', 401);
    }
    const grant = this.grants.redeem('google', fields, {matchState: false});
    if (grant.error !== undefined) return refuse(call, grant.error);
    const isCode = fields.grant_type === 'authorization_code';
    const issued = this.grants.issue(grant.family, {rotates: false, keepsRefresh: isCode && grant.family.offline});
    return call.reply.json(200, {access_token: issued.access, expires_in: issued.seconds, token_type: 'Bearer',
      scope: grant.family.scope.join(' '), ...(issued.refresh !== null && {refresh_token: issued.refresh})});
  }

  googleIdentity(call) {
    const {credential} = call.record;
    const token = credential?.value ?? parse(call, 'application/x-www-form-urlencoded')?.access_token;
    if (token === undefined || this.grants.credentials.kindOf(token) !== 'google-oauth') {
      return refuse(call, 'invalid_token', 401);
    }
    const {email} = this.grants.holderOf(token);
    return call.reply.json(200, {id: '1234567890', email, verified_email: true, aud: kGoogle.clientId,
      expires_in: this.grants.credentials.secondsLeft(token) ?? 3599});
  }
}

/** Claude's callback page shows `code#state`, to be copied; Google's shows the code. */
function showCode(call, separator) {
  const {code, state, error} = Object.fromEntries(call.query);
  const shown = error ?? (separator === null ? code : `${code}${separator}${state}`);
  return call.reply.send(200, {'content-type': 'text/plain'}, `Paste this into the program: ${shown}\n`);
}

/** The vendor's own page, or a port of the person's own machine (RFC 8252 §7.3). */
function isCallback(url, path) {
  return url.pathname === path || (['localhost', '127.0.0.1'].includes(url.hostname) && url.protocol === 'http:');
}

/**
 * A scripted status is a refusal: nothing has been spent. Any other fault loses an answer that was given, so that
 * a refresh token has been rotated and nobody knows the new one.
 */
function refusesFirst(call) {
  return call.reply.faults.has('status');
}

const kDescriptions = {
  invalid_grant: 'Refresh token not found or invalid',
  invalid_client: 'The OAuth client was not found.',
};

function refuse(call, error, status = 400) {
  return call.reply.json(status, {error, error_description: kDescriptions[error] ?? `The mock refuses: ${error}.`});
}

/** The fields of a body of that type; null for another. */
function parse(call, type) {
  if (!(call.headers['content-type'] ?? '').startsWith(type)) return null;
  const text = call.body.toString();
  if (type !== 'application/json') return Object.fromEntries(new URLSearchParams(text));
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
