// SPDX-License-Identifier: MIT
//
// Codes, refresh tokens and access tokens, and what becomes of them. All tokens that go back to one login
// are a family. A code is good once; a refresh token of Anthropic's is good once too, and coming a second
// time it takes its whole family with it (RFC 9700 §4.14.2), as does a code (RFC 6749 §4.1.2).

import {createHash, randomBytes, randomUUID} from 'node:crypto';

const kRefreshForms = {anthropic: /^sk-ant-ort01-[\w-]{4,}$/, google: /^1\/\/[\w-]{4,}$/};
const kAccount = '0d9e1c2b-0000-4000-8000-000000000001';
const kSettings = {
  accessSeconds: null,  // how long access tokens live; null: as the vendors' do, 28800 and 3599
  codeSeconds: 600,
  graceSeconds: 0,  // how long a spent refresh token still gives new ones
  deny: false,  // the person says no
  email: 'mock@example.com',
  googleSecret: null,  // the only client secret that counts
  onboarding: null,  // {polls, project, tier, ineligible}: Code Assist does not know the user yet
};

export class Grants {
  constructor(credentials) {
    this.credentials = credentials;
    this.issued = 0;
    this.reset();
  }

  reset() {
    this.settings = {...kSettings};
    this.codes = new Map();
    this.refreshTokens = new Map();
    this.families = [];
    this.strangers = new Map();  // access tokens that were not issued here
    this.credentials.forgetIssued();
  }

  /** Throws on a setting that does not exist. */
  set(settings) {
    for (const [name, value] of Object.entries(settings)) {
      if (!(name in kSettings)) throw new Error(`no setting is called '${name}'`);
      this.settings[name] = value;
    }
  }

  makeCode(about) {
    const code = `code-${randomBytes(24).toString('base64url')}`;
    this.codes.set(code, {...about, until: Date.now() + this.settings.codeSeconds * 1000, family: null});
    return code;
  }

  /** What a token request is worth: {family} or {error}, in words of RFC 6749 §5.2. */
  redeem(vendor, fields, {matchState}) {
    if (fields.grant_type === 'authorization_code') return this.redeemCode(vendor, fields, matchState);
    if (fields.grant_type === 'refresh_token') return this.redeemRefresh(vendor, fields);
    return {error: 'unsupported_grant_type'};
  }

  redeemCode(vendor, fields, matchState) {
    const code = this.codes.get(fields.code ?? '');
    if (code === undefined || code.vendor !== vendor) return {error: 'invalid_grant'};
    if (code.family !== null) {
      this.revokeFamily(code.family);
      return {error: 'invalid_grant'};
    }
    const challenge = createHash('sha256').update(fields.code_verifier ?? '').digest('base64url');
    const fits = code.clientId === fields.client_id && code.redirect === fields.redirect_uri &&
      code.challenge === challenge && Date.now() < code.until && (!matchState || code.state === fields.state);
    if (!fits) return {error: 'invalid_grant'};
    code.family = this.makeFamily(vendor, {email: code.email, scope: code.scope, offline: code.offline});
    return {family: code.family};
  }

  redeemRefresh(vendor, fields) {
    const token = fields.refresh_token ?? '';
    if (!kRefreshForms[vendor].test(token)) return {error: 'invalid_grant'};
    // A token that the mock did not issue is one of a login before it was started.
    if (!this.refreshTokens.has(token)) this.refreshTokens.set(token, {family: this.makeFamily(vendor, {}), spentAt: null});
    const {family, spentAt} = this.refreshTokens.get(token);
    if (family.vendor !== vendor || family.revoked || this.credentials.revoked.has(token)) return {error: 'invalid_grant'};
    if (spentAt !== null) {
      if (Date.now() < spentAt + this.settings.graceSeconds * 1000) return {family, again: true};
      family.reused += 1;
      this.revokeFamily(family);
      return {error: 'invalid_grant'};
    }
    family.presented = token;
    family.refreshes += 1;
    return {family};
  }

  makeFamily(vendor, {email = this.settings.email, scope, offline = true}) {
    const defaults = vendor === 'anthropic' ? ['user:inference', 'user:profile'] : ['https://www.googleapis.com/auth/cloud-platform'];
    const family = {vendor, email, scope: scope ?? defaults, offline, refreshes: 0, reused: 0, revoked: false, polls: 0,
      presented: null, account: email === kSettings.email ? kAccount : randomUUID(), access: [], refresh: []};
    this.families.push(family);
    return family;
  }

  /** New tokens of a family: {access, refresh, seconds}; refresh is null where none is given. */
  issue(family, {rotates, keepsRefresh, seconds}) {
    const number = ++this.issued;
    const anthropic = family.vendor === 'anthropic';
    const life = seconds ?? this.settings.accessSeconds ?? (anthropic ? 28800 : 3599);
    const access = `${anthropic ? 'sk-ant-oat01-' : 'ya29.'}mock-issued-${number}`;
    this.credentials.issue(access, Date.now() + life * 1000);
    family.access.push(access);
    let refresh = null;
    if (keepsRefresh) {
      refresh = `${anthropic ? 'sk-ant-ort01-' : '1//'}mock-issued-${number}`;
      this.refreshTokens.set(refresh, {family, spentAt: null});
      family.refresh.push(refresh);
    }
    if (rotates && family.presented !== null) {
      const spent = this.refreshTokens.get(family.presented);
      spent.spentAt ??= Date.now();
      family.presented = null;
    }
    return {access, refresh, seconds: life};
  }

  revokeFamily(family) {
    family.revoked = true;
    for (const access of family.access) this.credentials.revoked.add(access);
  }

  /** Of any token; a refresh token takes its family with it. */
  revoke(token) {
    this.credentials.revoked.add(token);
    const refresh = this.refreshTokens.get(token);
    if (refresh !== undefined) this.revokeFamily(refresh.family);
  }

  /** Whose access token it is: {email, account, scope}; scope is null where nobody here issued it. */
  holderOf(access) {
    const family = this.families.find((one) => one.access.includes(access));
    if (family !== undefined) return family;
    if (!this.strangers.has(access)) {
      this.strangers.set(access, {email: this.settings.email, account: kAccount, scope: null, polls: 0});
    }
    return this.strangers.get(access);
  }

  /** For the control API. */
  describe() {
    return {settings: this.settings, families: this.families.map(({vendor, email, scope, refreshes, reused, revoked, access, refresh}) =>
      ({vendor, email, scope, refreshes, reused, revoked, access, refresh}))};
  }
}
