// SPDX-License-Identifier: MIT
//
// How the relay speaks HTTP to clients: what it takes, refuses, passes and keeps for itself. Each row of
// "the ten facts that break relays" that needs no real client is here.

import assert from 'node:assert/strict';
import {after, before, describe, it} from 'node:test';

import {askFor, json, kAsk, kClaudeHeaders, kDialects, kStreamPath, kTurn} from './lib/asking.mjs';
import {kAccounts, kRelayKey} from './lib/relay.mjs';
import {kStraightOnly, openWorld, passingHeaders} from './lib/ways.mjs';
import {ask1, ask2, connect2, eventsOf, Http1, request1} from './lib/wire.mjs';

const kKey = {'x-api-key': kRelayKey};
const kOther = `cr_${'00'.repeat(32)}`;
const kBody = JSON.stringify(kTurn);
const kMessages = '/api/v1/messages';
const kHeaders = {...kClaudeHeaders, ...kKey};

function suite(title, settings, tests) {
  describe(title, {skip: kStraightOnly}, () => {
    const box = {};
    before(async () => {
      box.world = await openWorld(settings);
    });
    after(() => box.world?.close());
    tests({
      ask: (method, target, options) => ask1(box.world.relay.port, method, target, options),
      connect: () => Http1.connect(box.world.relay.port),
      box,
      /** What reached the mock since the last call. */
      async upstream(count = 0) {
        const records = await box.world.upstream.requests({count, wait: count ? 5000 : 0});
        assert.deepEqual((await box.world.upstream.stats()).leaks, []);
        await box.world.upstream.reset();
        return records;
      },
    });
  });
}

suite('keys', {claude: ['key'], gemini: ['key']}, ({ask, upstream}) => {
  const kPlaces = {
    'x-api-key': {'x-api-key': kRelayKey},
    'a bearer': {authorization: `Bearer ${kRelayKey}`},
    'a bearer in other letters': {Authorization: `bearer ${kRelayKey}`},
    'x-goog-api-key': {'x-goog-api-key': kRelayKey},
    'api-key': {'api-key': kRelayKey},
    'two headers at once': {'x-api-key': kRelayKey, authorization: `Bearer ${kRelayKey}`},
    'beside a platform\'s token': {'x-api-key': kRelayKey, authorization: 'Bearer hf_abcdefghijklmnop'},
    'beside a foreign key': {authorization: `Bearer ${kRelayKey}`, 'x-api-key': 'sk-ant-api03-of-the-client'},
  };
  for (const [place, headers] of Object.entries(kPlaces)) {
    it(`are taken from ${place}, and removed`, async () => {
      const answer = await ask('POST', kMessages, {headers: {...kClaudeHeaders, ...headers}, body: kBody});
      assert.equal(answer.status, 200, `${answer.body}`);
      const [record] = await upstream(1);
      assert.deepEqual([record.credential.place, record.credential.value], ['x-api-key', kAccounts.claude.key.value]);
      assert.equal(record.rawHeaders.some((text) => /sk-ant-api03-of-the-client|hf_/.test(text)), false);
    });
  }

  it('are taken from the query of a Gemini path, and removed', async () => {
    const target = `/gemini/v1beta/models/gemini-2.5-pro:generateContent?a=1&key=${kRelayKey}&b=2`;
    const answer = await ask('POST', target, {headers: {'content-type': 'application/json'}, body: JSON.stringify(kAsk)});
    assert.equal(answer.status, 200, `${answer.body}`);
    const [record] = await upstream(1);
    assert.equal(record.path, '/v1beta/models/gemini-2.5-pro:generateContent?a=1&b=2');
    assert.deepEqual([record.credential.place, record.credential.value], ['x-goog-api-key', kAccounts.gemini.key.value]);
  });

  it('that are wrong or missing get one and the same 401, which is final', async () => {
    const bodies = [];
    for (const headers of [{}, {'x-api-key': kOther}, {authorization: `Bearer ${kOther}`}, {'x-api-key': `${kRelayKey}0`},
      {'x-api-key': kRelayKey.slice(0, -1)}, {'x-api-key': kRelayKey.toUpperCase()}, {'x-api-key': `${kRelayKey},${kOther}`}]) {
      const answer = await ask('POST', kMessages, {headers: {...kClaudeHeaders, ...headers}, body: kBody});
      assert.equal(answer.status, 401);
      assert.equal(answer.headers['x-should-retry'], 'false');
      const value = json(answer);
      assert.equal(value.error.type, 'authentication_error');
      assert.equal(value.request_id, answer.headers['x-relay-request-id']);
      bodies.push(value.error.message);
    }
    assert.equal(new Set(bodies).size, 1, `${bodies}`);
    const google = await ask('POST', kStreamPath, {headers: {'content-type': 'application/json', 'x-goog-api-key': kOther}, body: '{}'});
    assert.deepEqual([google.status, json(google).error.code, json(google).error.status], [401, 401, 'UNAUTHENTICATED']);
    assert.deepEqual(await upstream(), []);
  });
});

suite('what passes', {claude: ['key'], gemini: ['key'], passthrough: '/v1/files'}, ({ask, upstream, box}) => {
  it('R9: is every header but those that end at a relay, in order', async () => {
    const headers = [['content-type', 'application/json'], ['Anthropic-Version', '2026-10-21'], ['X-New', 'a'], ['x-api-key', kRelayKey],
      ['X-NEW', 'b'], ['anthropic-beta', 'one-2026-01-01,two-2026-01-01'], ['Connection', 'keep-alive, X-Hop'], ['X-Hop', '1'], ['Keep-Alive', 'timeout=5'],
      ['TE', 'trailers'], ['Cookie', 'a=1'], ['Proxy-Authorization', 'Basic YTpi'], ['Upgrade', 'h2c'], ['X-Forwarded-For', '10.0.0.1'],
      ['X-Real-IP', '10.0.0.1'], ['Via', '1.1 front'], ['Forwarded', 'for=10.0.0.1'], ['CF-Connecting-IP', '10.0.0.1'], ['session_id', 'under_score'], ['X-Last', 'yes']];
    const answer = await ask('POST', `${kMessages}?beta=true&x=%20y`, {headers, body: kBody});
    assert.equal(answer.status, 200, `${answer.body}`);
    const [record] = await upstream(1);
    assert.equal(record.path, '/v1/messages?beta=true&x=%20y');
    assert.deepEqual(passingHeaders(record.rawHeaders), [['content-type', 'application/json'], ['anthropic-version', '2026-10-21'], ['x-new', 'a'],
      ['x-new', 'b'], ['anthropic-beta', 'one-2026-01-01,two-2026-01-01'], ['session_id', 'under_score'], ['x-last', 'yes']]);
    const sent = Object.fromEntries(record.rawHeaders.flatMap((name, i) => i % 2 ? [] : [[name.toLowerCase(), record.rawHeaders[i + 1]]]));
    assert.equal(sent['accept-encoding'], 'identity');
    assert.equal(sent.host, `127.0.0.1:${box.world.upstream.port}`);
    for (const name of ['set-cookie', 'anthropic-organization-id', 'alt-svc']) assert.equal(answer.headers[name], undefined, name);
    assert.match(answer.headers['request-id'], /^req_/);
    assert.match(answer.headers['x-relay-request-id'], /^req_/);
  });

  it('is a body that no schema knows: a system role, its output_config, tools that load later, any model', async () => {
    const body = JSON.stringify({model: 'claude-of-tomorrow-9', max_tokens: 1, thinking: {type: 'adaptive', display: 'omitted'}, safeguards: [{a: [[]]}],
      context_management: {edits: [{type: 'clear_thinking_20251015', keep: 'all'}]}, metadata: {user_id: '{"device_id":"0","account_uuid":"","session_id":"e2ff4b14-0000-4000-8000-000000000001"}'},
      messages: [{role: 'user', content: 'hi'}, {role: 'system', content: [{type: 'text', text: '# Environment'}], output_config: {effort: 'medium'}}],
      tools: [{name: 'Later', defer_loading: true}], diagnostics: null}, null, 1);
    const answer = await ask('POST', kMessages, {headers: kHeaders, body});
    assert.deepEqual([answer.status, json(answer).model], [200, 'claude-of-tomorrow-9']);
    const [record] = await upstream(1);
    assert.equal(record.body, body);
  });

  it('is a Gemini model that nobody has heard of', async () => {
    const answer = await ask('POST', '/gemini/v1beta/models/gemini-9-tomorrow:generateContent', {headers: kDialects.gemini.headers, body: JSON.stringify(kAsk)});
    assert.equal(json(answer).modelVersion, 'gemini-9-tomorrow');
    await upstream(1);
  });

  it('R11: is the vendor\'s own 400, unchanged and asked once', async () => {
    const answer = await ask('POST', kMessages, {headers: kHeaders, body: JSON.stringify({...kTurn, messages: []})});
    assert.deepEqual([answer.status, json(answer).error.message], [400, 'messages: at least one message is required']);
    assert.equal((await upstream(1)).length, 1);
  });

  for (const coding of ['gzip', 'br', 'deflate']) {
    it(`is an answer that comes as ${coding} all the same, untouched`, async () => {
      for (const service of ['claude', 'gemini']) {
        const answer = await askFor(box.world, service, {headers: {'x-mock-fault': coding}});
        const [record] = await upstream(1);
        assert.deepEqual([answer.status, answer.whole, answer.headers['content-encoding']], [200, true, coding]);
        assert.equal(answer.body.length, record.responseBytes);
      }
    });
  }

  it('follows an interim answer, which ends at the relay', async () => {
    const answer = await askFor(box.world, 'claude', {headers: {'x-mock-fault': 'early-hints'}});
    assert.deepEqual([answer.status, answer.whole], [200, true]);
    await upstream(1);
  });

  it('is what a route lists under passthrough, and nothing else', async () => {
    assert.equal((await ask('GET', '/api/v1/files/abc?limit=2', {headers: kHeaders})).status, 404);
    assert.deepEqual((await upstream(1)).map(({path}) => path), ['/v1/files/abc?limit=2']);
    for (const path of ['/api/v1/organizations', '/api/v1/filesystem', '/api/v1', '/api', '/gemini/v1internal:unheardOf', '/elsewhere']) {
      const answer = await ask('POST', path, {headers: kHeaders, body: '{}'});
      assert.equal(answer.status, 404, path);
    }
    assert.deepEqual(await upstream(), []);
  });

  it('is found below each prefix and alias', async () => {
    for (const path of ['/api/v1/messages', '/claude/v1/messages', '/api/messages', '/claude/messages', '//api///v1//messages', '/api//messages']) {
      assert.equal((await ask('POST', path, {headers: kHeaders, body: kBody})).status, 200, path);
      assert.deepEqual((await upstream(1)).map((record) => record.path), ['/v1/messages'], path);
    }
    for (const [method, path] of [['GET', '/api/v1/models?limit=1000'], ['GET', '/claude/v1/models/claude-opus-5-5'], ['POST', '/api/v1/messages/count_tokens?beta=true']]) {
      assert.equal((await ask(method, path, {headers: kHeaders, body: method === 'POST' ? kBody : null})).status, 200, path);
      assert.deepEqual((await upstream(1)).map((record) => record.path), [path.replace(/^\/(api|claude)/, '')]);
    }
  });

  it('R3: is no path with dot segments or hidden slashes', async () => {
    for (const path of ['/api/../api/v1/messages', '/api/./v1/messages', '/api/%2e%2e/v1/messages', '/api/.%2E/x', '/api%2fv1/messages', '/api/v1%5cmessages', '/api/v1/messages%00',
      '/api\\v1/messages', '/api/v1/messages%zz']) {
      const answer = await ask('POST', path, {headers: kHeaders, body: kBody});
      assert.equal(answer.status, 400, path);
    }
    assert.deepEqual(await upstream(), []);
  });
});

suite('HTTP/1.1', {limits: 'body-bytes: 1MiB, header-bytes: 32KiB'}, ({ask, connect, upstream, box}) => {
  it('answers HEAD without a body, and the connection goes on', async () => {
    const connection = await connect();
    connection.send(Buffer.concat([request1('HEAD', '/api/api/hello'), request1('HEAD', '/'), request1('HEAD', '/health'),
      request1('HEAD', '/nowhere'), request1('HEAD', kMessages), request1('HEAD', '/api/v1/models', kHeaders), request1('GET', '/health')]));
    const statuses = [];
    for (let i = 0; i < 6; ++i) statuses.push((await connection.response('HEAD')).status);
    assert.deepEqual(statuses.slice(0, 4), [200, 200, 200, 404]);
    const health = await connection.response('GET');
    assert.deepEqual([health.status, json(health).status], [200, 'ok'], 'what follows is the answer to the last request');
    connection.destroy();
    await upstream();
  });

  it('answers GET …/api/hello quickly', async () => {
    assert.equal((await ask('GET', '/api/api/hello')).status, 200);
    assert.deepEqual(await upstream(), []);
  });

  it('R8: answers pipelined requests in order, one at a time', async () => {
    const connection = await connect();
    const say = (text) => request1('POST', kMessages, {...kHeaders, 'x-mock-fault': `latency-${Math.round(60 - 10 * text)}`},
      JSON.stringify({...kTurn, messages: [{role: 'user', content: `mock:say(number ${text})`}]}));
    connection.send(Buffer.concat([1, 2, 3, 4, 5].map(say)));
    for (let i = 1; i <= 5; ++i) {
      assert.equal(json(await connection.response('POST')).content[0].text, `number ${i}`);
    }
    connection.destroy();
    await upstream(5);
  });

  it('R7: ends a pipeline at Connection: close', async () => {
    const connection = await connect();
    connection.send(Buffer.concat([request1('GET', '/health', {Connection: 'close'}), request1('POST', kMessages, kHeaders, kBody)]));
    const answer = await connection.response();
    assert.deepEqual([answer.status, answer.headers.connection], [200, 'close']);
    await connection.end();
    assert.equal(connection.held.length, 0);
    assert.deepEqual(await upstream(), []);
  });

  it('speaks HTTP/1.0 with its one connection a request', async () => {
    const connection = await connect();
    connection.send('GET /health HTTP/1.0\r\n\r\n');
    const answer = await connection.response();
    assert.equal(answer.status, 200);
    await connection.end();
  });

  it('R10: lets a request go on that expects it, once its key is good', async () => {
    const good = await connect();
    good.send(request1('POST', kMessages, {...kHeaders, Expect: '100-continue', 'Content-Length': String(kBody.length)}));
    await good.until(() => good.held.includes('\r\n\r\n'));
    assert.match(good.held.toString(), /^HTTP\/1\.1 100 /);
    good.send(kBody);
    const answer = await good.response('POST');
    assert.deepEqual([answer.interim, answer.status], [[100], 200]);
    good.destroy();
    const bad = await connect();
    bad.send(request1('POST', kMessages, {...kClaudeHeaders, 'x-api-key': kOther, Expect: '100-continue', 'Content-Length': String(kBody.length)}));
    const refused = await bad.response('POST');
    assert.deepEqual([refused.interim, refused.status], [[], 401]);
    bad.destroy();
    assert.equal((await ask('POST', kMessages, {headers: {...kHeaders, Expect: 'the-unexpected'}, body: kBody})).status, 417);
    assert.equal((await upstream(1)).length, 1);
  });

  it('R5: refuses what is too large: 413, 414, 431', async () => {
    const announced = await connect();
    announced.send(request1('POST', kMessages, {...kHeaders, 'Content-Length': String(2 << 20)}));
    const at = await announced.response('POST');
    assert.deepEqual([at.status, json(at).error.type], [413, 'request_too_large'], 'at once, before the body');
    announced.destroy();
    const chunked = await connect();
    chunked.send(request1('POST', kMessages, kHeaders, null, {chunks: Array(40).fill(Buffer.alloc(50_000, 0x20))}));
    assert.equal((await chunked.response('POST')).status, 413);
    chunked.destroy();
    assert.equal((await ask('GET', `/health?${'x'.repeat(17 << 10)}`)).status, 414);
    const many = Object.fromEntries(Array.from({length: 101}, (_, i) => [`x-${i}`, '1']));
    assert.equal((await ask('GET', '/health', {headers: many})).status, 431);
    assert.equal((await ask('GET', '/health', {headers: {'x-long': 'y'.repeat(33 << 10)}})).status, 431);
    assert.deepEqual(await upstream(), []);
  });

  it('R3: refuses what is no request: 400, and closes', async () => {
    const kNoRequests = {
      'length and chunks': `POST ${kMessages} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'two lengths': `POST ${kMessages} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}`,
      'bare LF': 'GET /health HTTP/1.1\nHost: a\n\n',
      'a space before the colon': 'GET /health HTTP/1.1\r\nHost : a\r\n\r\n',
      'a folded line': 'GET /health HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n',
      'no host': 'GET /health HTTP/1.1\r\n\r\n',
      'two hosts': 'GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n',
      'a fragment': 'GET /health#x HTTP/1.1\r\nHost: a\r\n\r\n',
      'a NUL': 'GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n',
      'a bad chunk': `POST ${kMessages} HTTP/1.1\r\nHost: a\r\nx-api-key: ${kRelayKey}\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`,
      'no protocol of ours': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n',
    };
    for (const [what, bytes] of Object.entries(kNoRequests)) {
      const connection = await connect();
      connection.send(Buffer.concat([Buffer.from(bytes, 'latin1'), request1('GET', '/health')]));
      const answer = await connection.response();
      assert.equal(answer.status, 400, what);
      await connection.end(what);
      assert.equal(connection.held.length, 0, `${what}: something follows`);
    }
    for (const method of ['CONNECT', 'TRACE']) {
      const answer = await ask(method, method === 'CONNECT' ? 'example.com:443' : '/health');
      assert.equal(answer.status, 405, method);
    }
    assert.deepEqual(await upstream(), []);
  });

  it('R6: answers early to a body that it will not read, and parses none of it', async () => {
    const connection = await connect();
    const smuggled = request1('GET', '/health');
    connection.send(Buffer.concat([request1('POST', kMessages, {...kClaudeHeaders, 'Content-Length': String(smuggled.length)}), smuggled,
      request1('GET', '/ready')]));
    assert.equal((await connection.response('POST')).status, 401);
    const next = await connection.response().catch(() => null);
    if (next !== null) assert.equal(json(next).status, 'ready');
    connection.destroy();
    assert.deepEqual(await upstream(), []);
  });

  it('R33: sends a stream\'s events as they come, not when it ends', async () => {
    for (const service of ['claude', 'gemini']) {
      const {target, headers, body} = kDialects[service];
      const connection = await connect();
      connection.send(request1('POST', target, {...headers, 'x-mock-fault': 'stall-mid-stream;after=2'}, JSON.stringify(body)));
      await connection.until(() => eventsOf(connection.soFar('POST')?.body ?? '').length === 2, 'two events of a stream that never ends');
      connection.destroy();
      await upstream(1);
    }
  });
});

suite('HTTP/2', {front: true, limits: 'body-bytes: 1MiB'}, ({upstream, box}) => {
  const kWaysIn = {
    'with prior knowledge': () => connect2(box.world.relay.port),
    'by ALPN': async () => connect2(box.world.relay.tlsPort, {ca: (await import('node:fs')).readFileSync(box.world.certificate.cert)}),
  };
  for (const [way, open] of Object.entries(kWaysIn)) {
    it(`serves many streams of one session ${way}`, async () => {
      const session = await open();
      const answers = await Promise.all(Array.from({length: 60}, (_, i) => ask2(session, 'POST', kMessages, {headers: kHeaders,
        body: JSON.stringify({...kTurn, stream: i % 2 === 0, messages: [{role: 'user', content: `mock:say(n${i})`}]})})));
      answers.forEach(({status, whole, body}, i) => {
        const said = i % 2 ? json({body}).content[0].text
          : eventsOf(body).filter(({event}) => event === 'content_block_delta').map(({data}) => data.delta.text).join('');
        assert.deepEqual([status, whole, said], [200, true, `n${i}`]);
      });
      assert.equal((await ask2(session, 'HEAD', '/api/api/hello')).status, 200);
      assert.equal((await ask2(session, 'GET', '/health')).status, 200);
      session.destroy();
      assert.equal((await upstream(60)).length, 60);
    });

    it(`refuses as HTTP/1.1 does ${way}`, async () => {
      const session = await open();
      const refused = await ask2(session, 'POST', kMessages, {headers: {...kClaudeHeaders, 'x-api-key': kOther}, body: kBody});
      assert.deepEqual([refused.status, refused.headers['x-should-retry'], json(refused).error.type], [401, 'false', 'authentication_error']);
      const head = await ask2(session, 'HEAD', '/nowhere');
      assert.deepEqual([head.status, head.body.length], [404, 0]);
      assert.equal((await ask2(session, 'POST', kMessages, {headers: kHeaders, body: Array(40).fill(Buffer.alloc(52_429))})).status, 413);
      assert.equal((await ask2(session, 'POST', '/api/../x', {headers: kHeaders, body: kBody})).status, 400);
      session.destroy();
      assert.deepEqual(await upstream(), []);
    });
  }

  it('takes HTTP/1.1 on the port with TLS, too', async () => {
    const ca = (await import('node:fs')).readFileSync(box.world.certificate.cert);
    const answer = await ask1(box.world.relay.tlsPort, 'POST', kMessages, {headers: kHeaders, body: kBody, tls: {ca, ALPNProtocols: ['http/1.1']}});
    assert.equal(answer.status, 200);
    await upstream(1);
  });
});

suite('limits of a key', {keyLimits: 'requests-per-minute: 3, concurrency: 2'}, ({ask, connect, upstream}) => {
  it('refuse what is beyond them, say until when, and do not count what costs nothing', async () => {
    const held = [];
    for (let i = 0; i < 2; ++i) {
      const connection = await connect();
      connection.send(request1('POST', kMessages, {...kHeaders, 'x-mock-fault': 'stall-mid-stream'}, JSON.stringify({...kTurn, stream: true})));
      await connection.until(() => connection.soFar('POST')?.body.length > 0);
      held.push(connection);
    }
    const third = await ask('POST', kMessages, {headers: kHeaders, body: kBody});
    assert.deepEqual([third.status, json(third).error.type], [429, 'rate_limit_error'], 'a third at once');
    held.forEach((connection) => connection.destroy());
    await upstream(2);
    for (let i = 0; i < 30; ++i) {
      assert.equal((await ask('POST', '/api/v1/messages/count_tokens', {headers: kHeaders, body: kBody})).status, 200);
    }
    assert.equal((await ask('GET', '/api/v1/models', {headers: kHeaders})).status, 200);
    await upstream(31);
    let last;
    for (let i = 0; i < 3; ++i) last = await ask('POST', kMessages, {headers: kHeaders, body: kBody});
    assert.equal(last.status, 429, 'a fourth in this minute');
    // Starts are counted by whole seconds, so the minute ends up to one later.
    const wait = Number(last.headers['retry-after']);
    assert.equal(wait >= 1 && wait <= 61, true, `retry-after: ${wait}`);
    const google = await ask('POST', kStreamPath, {headers: kDialects.gemini.headers, body: JSON.stringify(kAsk)});
    assert.deepEqual([google.status, json(google).error.status], [429, 'RESOURCE_EXHAUSTED'], 'the limit is the key\'s, not the service\'s');
    assert.match(JSON.stringify(json(google).error.details), /"retryDelay":"\d+s"/);
    await upstream();
  });
});

suite('sessions', {claude: [{kind: 'key', priority: 10}, {kind: 'second', priority: 10}]}, ({ask, upstream}) => {
  const kSessions = {
    'its header': (id) => ({headers: {'x-claude-code-session-id': id}, body: kTurn}),
    'metadata.user_id': (id) => ({headers: {}, body: {...kTurn, metadata: {user_id: JSON.stringify({device_id: '0', account_uuid: '', session_id: id})}}}),
  };
  for (const [where, make] of Object.entries(kSessions)) {
    it(`stay with one account by ${where}, while others use both`, async () => {
      const used = new Set();
      for (let session = 0; session < 12; ++session) {
        const {headers, body} = make(`e2ff4b14-0000-4000-8000-0000000000${10 + session}`);
        for (let i = 0; i < 3; ++i) {
          assert.equal((await ask('POST', kMessages, {headers: {...kHeaders, ...headers}, body: JSON.stringify(body)})).status, 200);
        }
        const accounts = new Set((await upstream(3)).map(({credential}) => credential.value));
        assert.equal(accounts.size, 1);
        used.add([...accounts][0]);
      }
      assert.equal(used.size, 2);
    });
  }
});

suite('subscriptions', {claude: ['oauth'], gemini: ['oauth']}, ({ask, upstream}) => {
  it('serve the vendor\'s own client, with the beta that they need', async () => {
    const answer = await ask('POST', kMessages, {headers: {...kHeaders, 'user-agent': 'claude-cli/2.1.330 (external, cli)', 'anthropic-beta': 'a-2026-01-01, b-2026-01-01'}, body: kBody});
    assert.equal(answer.status, 200, `${answer.body}`);
    const [record] = await upstream(1);
    assert.deepEqual([record.credential.place, record.credential.value], ['authorization', kAccounts.claude.oauth.value]);
    const beta = record.rawHeaders[record.rawHeaders.findIndex((name) => name.toLowerCase() === 'anthropic-beta') + 1];
    assert.match(beta, /^a-2026-01-01, ?b-2026-01-01, ?oauth-2025-04-20$/);
  });

  it('serve nobody else, and say so', async () => {
    for (const [target, headers, body] of [[kMessages, kHeaders, kBody], [kStreamPath, kDialects.gemini.headers, JSON.stringify(kAsk)]]) {
      const answer = await ask('POST', target, {headers: {...headers, 'user-agent': 'curl/8'}, body});
      assert.equal(answer.status, 403, `${answer.body}`);
      assert.equal(answer.headers['x-should-retry'], 'false');
      assert.match(json(answer).error.message, /subscription|client/i);
    }
    assert.deepEqual(await upstream(), []);
  });
});

suite('silence of an upstream', {}, ({connect, upstream}) => {
  it('gets Claude\'s clients a ping after 15 s, and Gemini\'s nothing, then the answer', {timeout: 40_000}, async () => {
    const asked = await Promise.all(['claude', 'gemini'].map(async (service) => {
      const {target, headers, body} = kDialects[service];
      const connection = await connect();
      connection.send(request1('POST', target, {...headers, 'x-mock-fault': 'latency-17000'}, JSON.stringify(body)));
      const answer = await connection.response('POST', 30_000);
      connection.destroy();
      return [service, answer];
    }));
    for (const [service, answer] of asked) {
      assert.deepEqual([answer.status, answer.whole], [200, true]);
      assert.match(answer.headers['content-type'], /^text\/event-stream/);
      assert.equal(kDialects[service].isWhole(answer.body), true);
      assert.equal(/^:/m.test(answer.body.toString()), false, 'a comment line kills Gemini clients');
      assert.equal(eventsOf(answer.body)[0].event, service === 'claude' ? 'ping' : '');
    }
    await upstream(2);
  });
});
