// SPDX-License-Identifier: MIT
//
// Requests as the wire tests send them: well-formed, with the relay key, in both vendors' dialects.

import {kRelayKey} from './relay.mjs';
import {ask1, eventsOf} from './wire.mjs';

export const kModel = 'claude-opus-5-5';
export const kTurn = {model: kModel, max_tokens: 64, messages: [{role: 'user', content: 'hi'}]};
export const kAsk = {contents: [{role: 'user', parts: [{text: 'hi'}]}]};
export const kClaudeHeaders = {'content-type': 'application/json', 'anthropic-version': '2023-06-01'};
export const kStreamPath = '/gemini/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse';

/** What differs between the vendors for a test that is told twice. */
export const kDialects = {
  claude: {
    target: '/api/v1/messages', upstream: '/v1/messages', body: {...kTurn, stream: true}, headers: {...kClaudeHeaders, 'x-api-key': kRelayKey},
    unstreamed: {target: '/api/v1/messages', body: kTurn},
    isWhole: (body) => eventsOf(body).at(-1)?.event === 'message_stop',
    isErrorEvent: ({event, data}) => event === 'error' && data.type === 'error' && typeof data.error?.message === 'string',
    isErrorBody: (value) => value.type === 'error' && typeof value.error?.type === 'string' && typeof value.error?.message === 'string',
  },
  gemini: {
    target: kStreamPath, upstream: ':streamGenerateContent', body: kAsk, headers: {'content-type': 'application/json', 'x-goog-api-key': kRelayKey},
    unstreamed: {target: '/gemini/v1beta/models/gemini-2.5-pro:generateContent', body: kAsk},
    isWhole: (body) => eventsOf(body).at(-1)?.data?.candidates?.[0]?.finishReason === 'STOP',
    isErrorEvent: ({event, data}) => event === '' && Number.isInteger(data.error?.code) && typeof data.error?.message === 'string',
    isErrorBody: (value) => Number.isInteger(value.error?.code) && typeof value.error?.status === 'string' && typeof value.error?.message === 'string',
  },
};

/** One request by HTTP/1.1. `headers` come on top; `unstreamed`: without a stream. */
export function askFor(world, service, {headers = {}, body, unstreamed = false, ...options} = {}) {
  const dialect = kDialects[service];
  const {target, body: usual} = unstreamed ? dialect.unstreamed : dialect;
  return ask1(world.relay.port, 'POST', target, {...options, headers: {...dialect.headers, ...headers},
    body: body ?? JSON.stringify(usual)});
}

export const json = (answer) => JSON.parse(answer.body.toString());
