// SPDX-License-Identifier: MIT
//
// The token endpoints of both vendors. Refresh tokens rotate for Anthropic and are good for one use,
// as there; Google's stay. A test may revoke a token by the control API.

const kAnthropicClient = '9d1c250a-e61b-44d9-88ed-5944d1962f5e';

export class TokenEndpoints {
  constructor(credentials) {
    this.credentials = credentials;
    this.spent = new Set();
    this.issued = 0;
  }

  static handles(path) {
    return ['/v1/oauth/token', '/token', '/tokeninfo', '/oauth2/v2/userinfo', '/oauth2/v3/userinfo'].includes(path);
  }

  answer(call) {
    if (call.path === '/v1/oauth/token') return this.anthropicToken(call);
    if (call.path === '/token') return this.googleToken(call);
    return this.googleIdentity(call);
  }

  anthropicToken(call) {
    const fields = parse(call);
    if (call.method !== 'POST' || fields === null) return refuse(call, 'invalid_request');
    if (fields.client_id !== kAnthropicClient) return refuse(call, 'invalid_client', 401);
    if (fields.grant_type === 'refresh_token') {
      const token = fields.refresh_token ?? '';
      if (!/^sk-ant-ort01-[\w-]{4,}$/.test(token) || this.spent.has(token)) return refuse(call, 'invalid_grant');
      this.spent.add(token);
    } else if (fields.grant_type !== 'authorization_code' || !fields.code || !fields.code_verifier) {
      return refuse(call, 'invalid_grant');
    }
    const number = ++this.issued;
    const access = `sk-ant-oat01-mock-issued-${number}`;
    this.credentials.issue(access);
    return call.reply.json(200, {token_type: 'Bearer', access_token: access, expires_in: 28800,
      refresh_token: `sk-ant-ort01-mock-issued-${number}`, scope: 'user:inference user:profile',
      organization: {uuid: '5f2a7c3e-0000-4000-8000-00000000abcd'},
      account: {uuid: '0d9e1c2b-0000-4000-8000-000000000001', email_address: 'mock@example.com'}});
  }

  googleToken(call) {
    const fields = parse(call);
    if (call.method !== 'POST' || fields === null) return refuse(call, 'invalid_request');
    if (!fields.client_id || !fields.client_secret) return refuse(call, 'invalid_client', 401);
    const isRefresh = fields.grant_type === 'refresh_token';
    if (isRefresh && (!/^1\/\/[\w-]{4,}$/.test(fields.refresh_token ?? '') || this.spent.has(fields.refresh_token))) {
      return refuse(call, 'invalid_grant');
    }
    if (!isRefresh && (fields.grant_type !== 'authorization_code' || !fields.code)) return refuse(call, 'invalid_grant');
    const access = `ya29.mock-issued-${++this.issued}`;
    this.credentials.issue(access);
    return call.reply.json(200, {access_token: access, expires_in: 3599, token_type: 'Bearer',
      scope: 'https://www.googleapis.com/auth/cloud-platform',
      ...(!isRefresh && {refresh_token: '1//mock-refresh-token'})});
  }

  googleIdentity(call) {
    const {credential} = call.record;
    const token = credential?.value ?? parse(call)?.access_token;
    if (token === undefined || this.credentials.kindOf(token) !== 'google-oauth') return refuse(call, 'invalid_token', 401);
    return call.reply.json(200, {id: '1234567890', email: 'mock@example.com', verified_email: true,
      aud: 'mock-client', expires_in: 3599});
  }
}

function refuse(call, error, status = 400) {
  return call.reply.json(status, {error, error_description: `The mock refuses: ${error}.`});
}

/** The fields of a JSON or form body; null for neither. */
function parse(call) {
  const type = call.headers['content-type'] ?? '';
  const text = call.body.toString();
  try {
    if (type.startsWith('application/json')) return JSON.parse(text);
    if (type.startsWith('application/x-www-form-urlencoded')) return Object.fromEntries(new URLSearchParams(text));
  } catch {
    return null;
  }
  return null;
}
