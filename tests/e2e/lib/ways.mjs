// SPDX-License-Identifier: MIT
//
// The two ways to the mock: straight, and through the relay with a tap before it. A test does the same
// by both; what came of it, what the mock saw, and what the tap saw must agree.

import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import {startMock} from './mock.mjs';
import {kAccounts, kRelayKey, startRelay} from './relay.mjs';
import {startTap} from './tap.mjs';

/** With `straight` only the clients and the mock are tested; run.sh sets it. */
export const kStraightOnly = process.env.E2E_WAYS === 'straight';

const kStraightCredentials = {
  'claude-key': 'sk-ant-api03-straight', 'gemini-key': 'AIza-straight', 'gemini-oauth': 'ya29.straight'};
const kPrefixes = {claude: '/api', gemini: '/gemini'};

/**
 * Starts mock, relay and tap. claude, gemini: kinds of account; tls: the relay speaks TLS (and h2) to the
 * mock; trusted: whose certificate it trusts; named: it knows the mock as localhost; front: it has a listener with TLS, too. The rest are settings of relayYaml.
 */
export async function openWorld({claude = ['key'], gemini = ['key'], tls = false, trusted = tls, named = false, front = false, ...settings} = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'e2e-world-'));
  const certificate = tls || front ? makeCertificate(folder) : undefined;
  const mock = await startMock({folder});
  const upstream = tls ? await startMock({folder: fs.mkdtempSync(path.join(folder, 'tls-')), tls: certificate}) : mock;
  let relay = null;
  let tap = null;
  if (!kStraightOnly) {
    relay = await startRelay({folder, upstream: named ? upstream.url.replace('127.0.0.1', 'localhost') : upstream.url, claude, gemini, ca: trusted ? certificate.cert : undefined,
      tls: front ? certificate : undefined, ...settings});
    tap = await startTap(relay.port);
  }
  const world = {folder, mock, upstream, relay, tap, certificate, accounts: {claude, gemini}};
  world.close = () => closeWorld(world);
  return world;
}

async function closeWorld({folder, mock, upstream, relay, tap}) {
  tap?.stop();
  const runs = relay?.child.exitCode === null && relay.child.signalCode === null;
  const ended = runs ? await relay.stop() : undefined;
  await mock.stop();
  if (upstream !== mock) await upstream.stop();
  fs.rmSync(folder, {recursive: true, force: true});
  if (relay === null) return;
  if (ended !== undefined) assert.deepEqual(ended, {code: 0, signal: null}, `the relay did not drain:\n${relay.log()}`);
  assertNothingSecretIn(relay.log());
}

/** Texts that the tests send and get, none of which may stand in a log. */
const kNeverLogged = [kRelayKey, ...Object.values(kAccounts).flatMap(Object.values).map(({value}) => value),
  'cr_', 'Bearer ', 'x-mock-stream=', '?key=', '&key=', 'Hello from the mock', 'Grüß Gott', 'relayed by the tool', 'mock:tool', 'beta=true'];

export function assertNothingSecretIn(log) {
  for (const text of kNeverLogged) {
    const at = log.indexOf(text);
    assert.equal(at, -1, `the log holds '${text}': ${log.slice(Math.max(at - 200, 0), at + 40)}`);
  }
}

function makeCertificate(folder) {
  const [cert, key] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=mock upstream', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', key, '-out', cert], {stdio: 'ignore'});
  return {cert, key};
}

/**
 * Does `work(way)` straight and through the relay; way: {relayed, base(service), credential(service, kind)}.
 * Answers {straight, relayed}, each {outcome, requests (the mock's records), exchanges (the tap's)}.
 */
export async function byBothWays(world, work) {
  const straight = await byOneWay(world, false, work);
  return {straight, relayed: kStraightOnly ? null : await byOneWay(world, true, work)};
}

/** The same by one way only, for what has no counterpart on the other. */
export async function byOneWay(world, relayed, work) {
  const upstream = relayed ? world.upstream : world.mock;
  await upstream.reset();
  world.tap?.clear();
  const outcome = await work({
    relayed,
    base: (service) => relayed ? `http://127.0.0.1:${world.tap.port}${kPrefixes[service]}` : world.mock.url,
    credential: (service, kind) => relayed ? kRelayKey : kStraightCredentials[`${service}-${kind}`],
    upstream,
  });
  const requests = await upstream.requests();
  assert.deepEqual((await upstream.stats()).leaks, [], 'leaked to the upstream');
  return {outcome, requests, exchanges: relayed ? await world.tap.exchanges() : []};
}

const kHopHeaders = new Set(['host', 'connection', 'keep-alive', 'accept-encoding', 'content-length',
  'transfer-encoding', 'authorization', 'x-api-key', 'x-goog-api-key']);

/** The headers that a relay passes, in order, as [lower-case name, value]. */
export function passingHeaders(rawHeaders) {
  const passing = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    if (!kHopHeaders.has(name) && !name.startsWith(':')) passing.push([name, rawHeaders[i + 1]]);
  }
  return passing;
}

/**
 * That both ways came to the same. normalise(text): hides what differs from run to run (ids, folders).
 * ownAnswers: paths (parts) that the relay answers itself. edit(body, record): the body that the relay was
 * to make of a client's (default: the very same bytes); editHeaders(passing) alike.
 */
export function assertSame(world, {straight, relayed}, {normalise = (text) => text, ownAnswers = ['/api/hello'],
  edit = (body) => body, editHeaders = (headers) => headers} = {}) {
  if (relayed === null) return;
  const plain = (value) => JSON.parse(normalise(JSON.stringify(value)));
  assert.deepEqual(plain(relayed.outcome), plain(straight.outcome), 'outcome');
  const counted = (records) => records.filter(({path}) => !ownAnswers.some((part) => path.includes(part)));
  const seen = (records, change) => counted(records).map((record) => plain({
    method: record.method, path: record.path, headers: change(passingHeaders(record.rawHeaders)),
    body: normalise(change === editHeaders ? edit(Buffer.from(record.body)).toString() : record.body)}))
    .map((one) => JSON.stringify(one)).sort();
  assertSameTexts(seen(relayed.requests, (headers) => headers), seen(straight.requests, editHeaders), 'what the upstream saw');
  assertFaithful(world, relayed, {ownAnswers, edit, editHeaders});
}

/** Shows where the first of two long texts parts from the other, not both of them. */
function assertSameTexts(actual, expected, what) {
  assert.equal(actual.length, expected.length, `${what}: how many`);
  for (const [i, text] of actual.entries()) {
    const other = expected[i];
    if (text === other) continue;
    let at = 0;
    while (text[at] === other[at]) ++at;
    const around = (long) => JSON.stringify(long.slice(Math.max(at - 150, 0), at + 150));
    assert.fail(`${what}: they part at character ${at}\n  relayed:  ${around(text)}\n  straight: ${around(other)}`);
  }
}

/** That the relay passed each request and answer as it came, and kept each side's secrets from the other. */
export function assertFaithful(world, relayed, {ownAnswers = ['/api/hello'], edit = (body) => body,
  editHeaders = (headers) => headers} = {}) {
  const accounts = Object.values(kAccounts).flatMap(Object.values).map(({value}) => value);
  for (const {request, response} of relayed.exchanges) {
    assert.notEqual(response, null, `no answer to ${request.method} ${request.path}`);
    assert.notEqual(response.headers['x-relay-request-id'], undefined, `x-relay-request-id on ${request.path}`);
    for (const name of ['set-cookie', 'anthropic-organization-id']) {
      assert.equal(response.headers[name], undefined, `${name} reached the client`);
    }
  }
  const got = world.tap.got();
  for (const secret of accounts) assert.equal(got.includes(secret), false, `the client saw ${secret}`);
  const sent = relayed.exchanges.filter(({request}) => !ownAnswers.some((part) => request.path.includes(part)));
  assert.equal(relayed.requests.length, sent.length, 'as many requests upstream as the client made');
  const left = [...relayed.requests];
  for (const {request, response} of sent) {
    const body = edit(request.body);
    const sha256 = createHash('sha256').update(body).digest('hex');
    const target = request.path.replace(/^\/(api|claude|gemini)(?=\/)/, '');
    const index = left.findIndex((record) => record.method === request.method && record.path === target && record.bodySha256 === sha256);
    assert.notEqual(index, -1, `${request.method} ${target} (${body.length} bytes) did not arrive as it was sent; ` +
      `left: ${left.map(({method, path: to, bodyLength}) => `${method} ${to} (${bodyLength})`).join(', ')}`);
    const [record] = left.splice(index, 1);
    assert.deepEqual(passingHeaders(record.rawHeaders), editHeaders(passingHeaders(request.rawHeaders)), `headers of ${target}`);
    assert.equal(accounts.includes(record.credential?.value), true, 'the upstream got an account of the relay');
    assert.equal(response.status, record.status, `status of ${target}`);
    assert.equal(response.whole, true, `the answer to ${target} is cut off`);
    assert.equal(response.sha256, record.responseSha256, `answer bytes of ${target}`);
  }
}

/** Hides what differs between two runs of a command line client: ids, its home, ports, process numbers. */
export function hideRunDetails(text, homes = []) {
  // Claude Code names folders of its own after its working folder, with dashes.
  for (const home of homes) text = text.replaceAll(home, '<home>').replaceAll(home.replace(/[^A-Za-z0-9]/g, '-'), '<home>');
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>')
    .replaceAll(/\b[0-9a-f]{64}\b/g, '<hex>')
    .replaceAll(/127\.0\.0\.1:\d+(?:\/api\/?|\/gemini\/?)?/g, '<base>')
    .replaceAll(/PGID: \d+/g, 'PGID: <n>')
    .replaceAll(/\b(msg|req|toolu)_01[0-9a-f]{22}/g, '$1_<id>')
    .replaceAll(/call_[0-9a-f]{22}/g, 'call_<id>');
}
