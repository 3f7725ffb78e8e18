// SPDX-License-Identifier: MIT
//
// Google's two faces of Gemini: the public API (v1, v1beta; API keys) and Code Assist (v1internal;
// OAuth tokens), which wraps the same requests and answers and belongs to a project.

import {cutAnywhere, generatedTexts, parseStreamSpec} from './generated.mjs';
import {chooseTurn, idOf, textPieces, valueOfSchema} from './scenario.mjs';

const kModels = ['gemini-3-flash-preview', 'gemini-3.1-flash-lite', 'gemini-3.8-flash',
  'gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-embedding-001'];
const kProject = 'mock-project-1234';
const kSignature = 'bW9jay10aG91Z2h0LXNpZ25hdHVyZQ==';

const kStatuses = {
  400: ['INVALID_ARGUMENT', 'Request contains an invalid argument.'],
  401: ['UNAUTHENTICATED', 'Request had invalid authentication credentials. Expected OAuth 2 access ' +
    'token, login cookie or other valid authentication credential.'],
  403: ['PERMISSION_DENIED', 'The caller does not have permission'],
  404: ['NOT_FOUND', 'Requested entity was not found.'],
  429: ['RESOURCE_EXHAUSTED', 'You have exhausted your capacity on this model. Your quota will reset after 2s.'],
  500: ['INTERNAL', 'Internal error encountered.'],
  503: ['UNAVAILABLE', 'The model is overloaded. Please try again later.'],
  529: ['UNAVAILABLE', 'The model is overloaded. Please try again later.'],
};

/** How Google words its errors. Parameters of a 429: delay (default 2s, `none`), reason. */
export const geminiErrors = {
  errorBody(status, parameters = {}) {
    const [name, usual] = kStatuses[status] ?? ['UNKNOWN', `status ${status}`];
    const error = {code: status, message: parameters.message ?? usual, status: name};
    if (status === 429) error.details = quotaDetails(parameters);
    else if (parameters.reason !== undefined) error.details = [errorInfo(parameters.reason, 'googleapis.com')];
    return {headers: {'content-type': 'application/json; charset=UTF-8'}, body: JSON.stringify({error}, null, 2)};
  },
  errorEvent() {
    return Buffer.from(`data: ${JSON.stringify({error: {code: 503, message: kStatuses[503][1], status: 'UNAVAILABLE'}})}\r\n\r\n`);
  },
};

function errorInfo(reason, domain) {
  return {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain};
}

function quotaDetails({reason = 'RATE_LIMIT_EXCEEDED', delay = '2s'}) {
  const details = [errorInfo(reason, 'cloudcode-pa.googleapis.com')];
  if (delay !== 'none') details.push({'@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: delay});
  return details;
}

function refuse(call, status, parameters = {}) {
  const {headers, body} = geminiErrors.errorBody(status, parameters);
  return call.reply.send(status, headers, body);
}

export function isGeminiPath(path) {
  return /^\/v1(beta|alpha)?\/(models|operations)\b/.test(path) || path.startsWith('/v1internal');
}

/** call: {method, path, query, headers, body, record, reply, journal, projects, grants}. */
export async function answerGemini(call) {
  const {credential} = call.record;
  if (call.path.startsWith('/v1internal')) {
    if (credential?.kind !== 'google-oauth' || credential.place !== 'authorization') return refuse(call, 401);
    return answerCodeAssist(call);
  }
  if (credential === null) {
    return refuse(call, 403, {message: "Method doesn't allow unregistered callers (callers without " +
      'established identity). Please use API Key or other form of API consumer identity to call this API.'});
  }
  if (credential.kind !== 'google-key') {
    if (credential.place === 'authorization') return refuse(call, 401);
    return refuse(call, 400, {message: 'API key not valid. Please pass a valid API key.', reason: 'API_KEY_INVALID'});
  }
  return answerPublic(call);
}

async function answerPublic(call) {
  const match = /^\/v1(?:beta|alpha)?\/models(?:\/([^/:]+))?(?::(\w+))?$/.exec(call.path);
  if (match === null) return refuse(call, 404);
  const [, name, verb] = match;
  if (call.method === 'GET' && verb === undefined) return answerModels(call, name);
  if (call.method !== 'POST' || name === undefined) return refuse(call, 404);
  const body = readBody(call);
  if (body === null) return undefined;
  const model = decodeURIComponent(name);
  call.record.model = model;
  switch (verb) {
    case 'generateContent': return generate(call, model, body, (answer) => answer);
    case 'streamGenerateContent': return streamGenerate(call, model, body, (answer) => answer);
    case 'countTokens': return call.reply.json(200, countOf(call));
    case 'embedContent':
      return call.reply.json(200, {embedding: {values: embedding(JSON.stringify(body.content))}});
    case 'batchEmbedContents':
      return call.reply.json(200, {embeddings: (body.requests ?? []).map(({content}) => ({values: embedding(JSON.stringify(content))}))});
    default: return refuse(call, 404);
  }
}

function countOf(call) {
  return {totalTokens: Math.ceil(call.body.length / 4),
    promptTokensDetails: [{modality: 'TEXT', tokenCount: Math.ceil(call.body.length / 4)}]};
}

function embedding(text = '') {
  return [0, 1, 2, 3].map((i) => ((text.length + 1) * (i + 1) % 97) / 97);
}

function answerModels(call, name) {
  const describe = (id) => ({name: `models/${id}`, version: '001', displayName: `Mock ${id}`,
    inputTokenLimit: 1048576, outputTokenLimit: 65536,
    supportedGenerationMethods: ['generateContent', 'countTokens', 'streamGenerateContent']});
  if (name !== undefined) {
    return kModels.includes(name) ? call.reply.json(200, describe(name)) : refuse(call, 404);
  }
  const size = Math.max(1, Number(call.query.get('pageSize') ?? 50));
  const at = Number(call.query.get('pageToken') ?? 0);
  const page = {models: kModels.slice(at, at + size).map(describe)};
  if (at + size < kModels.length) page.nextPageToken = String(at + size);
  return call.reply.json(200, page);
}

function readBody(call) {
  try {
    const body = JSON.parse(call.body.toString());
    if (body !== null && typeof body === 'object') return body;
  } catch {
    // Answered below, as any other body that is no object.
  }
  refuse(call, 400, {message: 'Invalid JSON payload received.'});
  return null;
}

async function answerCodeAssist(call) {
  const {path, record} = call;
  const token = record.credential.value;
  const newcomer = new Newcomer(call);
  const project = call.projects.get(token) ?? newcomer.project ?? kProject;
  if (call.method === 'GET' && path.startsWith('/v1internal/operations/')) return newcomer.poll(project);
  if (call.method !== 'POST') return refuse(call, 404);
  const body = readBody(call);
  if (body === null) return undefined;
  record.project = body.project ?? body.cloudaicompanionProject ?? null;
  if (call.projects.has(token) && record.project !== null && record.project !== project) {
    return refuse(call, 403, {message: `Permission denied on resource project ${record.project}.`, reason: 'USER_PROJECT_DENIED'});
  }
  const traceId = idOf('', record.bodySha256, 'trace').slice(0, 16);
  const wrap = (answer) => ({response: answer, traceId});
  switch (path.slice('/v1internal:'.length)) {
    case 'loadCodeAssist': return newcomer.load(project);
    case 'onboardUser': return newcomer.onboard(body);
    case 'retrieveUserQuota':
      return call.reply.json(200, {buckets: kModels.map((modelId) => ({resetTime: '2030-11-23T00:00:00Z',
        tokenType: 'REQUESTS', modelId, remainingFraction: 0.98}))});
    case 'listExperiments': return call.reply.json(200, {experimentIds: [], flags: []});
    case 'recordCodeAssistMetrics': return call.reply.json(200, {});
    case 'fetchAdminControls': return call.reply.json(200, {});
    case 'getCodeAssistGlobalUserSetting':
    case 'setCodeAssistGlobalUserSetting': return call.reply.json(200, {freeTierDataCollectionOptin: false});
    case 'countTokens': return call.reply.json(200, {totalTokens: Math.ceil(call.body.length / 4)});
    case 'generateContent': return generate(call, body.model, body.request ?? {}, wrap);
    case 'streamGenerateContent': return streamGenerate(call, body.model, body.request ?? {}, wrap);
    default: return refuse(call, 404);
  }
}

/**
 * A user whom Code Assist may not know yet (the setting `onboarding`): without a tier until onboardUser's operation has
 * been asked `polls` times. Gemini CLI, packages/core/src/code_assist/setup.ts.
 */
class Newcomer {
  constructor(call) {
    this.call = call;
    this.settings = call.grants.settings.onboarding;
    this.holder = call.grants.holderOf(call.record.credential.value);
  }

  get project() {
    return this.settings?.project;
  }

  get known() {
    return this.settings === null || this.holder.polls >= (this.settings.polls ?? 1);
  }

  load(project) {
    const id = this.settings?.tier ?? 'free-tier';
    const tier = {id, name: 'Gemini Code Assist for individuals', isDefault: true, userDefinedCloudaicompanionProject: id !== 'free-tier'};
    if (this.settings?.ineligible !== undefined) {
      return this.call.reply.json(200, {allowedTiers: [], ineligibleTiers: [{tierId: id, tierName: tier.name,
        reasonCode: 'INELIGIBLE_ACCOUNT', reasonMessage: this.settings.ineligible}]});
    }
    if (!this.known) return this.call.reply.json(200, {allowedTiers: [tier]});
    return this.call.reply.json(200, {currentTier: tier, allowedTiers: [tier], cloudaicompanionProject: project});
  }

  onboard({tierId, cloudaicompanionProject}) {
    if (!tierId) return refuse(this.call, 400, {message: 'tierId is required'});
    if (tierId === 'free-tier' && cloudaicompanionProject !== undefined) {
      return refuse(this.call, 412, {message: 'Precondition check failed.'});
    }
    if (tierId !== 'free-tier' && !cloudaicompanionProject) {
      return refuse(this.call, 400, {message: 'A project is required for this tier.'});
    }
    return this.call.reply.json(200, {name: 'operations/mock-onboarding', done: false});
  }

  poll(project) {
    this.holder.polls += 1;
    const name = this.call.path.slice('/v1internal/'.length);
    if (!this.known) return this.call.reply.json(200, {name, done: false});
    return this.call.reply.json(200, {name, done: true,
      response: {'@type': 'type.googleapis.com/google.internal.cloud.code.v1internal.OnboardUserResponse',
        cloudaicompanionProject: {id: project, name: project}}});
  }
}

/** `x-mock-usage: input=29,output=8,cached=12,thoughts=0`. */
function usageOf(call) {
  const usage = {input: 29, output: 8, cached: 12, thoughts: 0};
  for (const part of (call.headers['x-mock-usage'] ?? '').split(',').filter(Boolean)) {
    const [name, value] = part.trim().split('=');
    usage[name] = Number(value);
  }
  return usage;
}

function usageMetadata(usage) {
  return {promptTokenCount: usage.input, candidatesTokenCount: usage.output,
    totalTokenCount: usage.input + usage.output + usage.thoughts,
    ...(usage.cached > 0 && {cachedContentTokenCount: usage.cached}),
    ...(usage.thoughts > 0 && {thoughtsTokenCount: usage.thoughts})};
}

function partsOf(call, body) {
  const generation = body.generationConfig ?? {};
  const schema = generation.responseJsonSchema ?? generation.responseSchema;
  if (schema !== undefined) return [{text: JSON.stringify(valueOfSchema(schema))}];
  const contents = Array.isArray(body.contents) ? body.contents : [body.contents];
  const parts = contents.at(-1)?.parts ?? [];
  const result = parts.find(({functionResponse}) => functionResponse !== undefined);
  if (result !== undefined && !signatureCameBack(contents)) return null;
  const turn = chooseTurn({
    userText: parts.map(({text}) => text ?? '').join('\n'),
    toolResult: result === undefined ? null : String(result.functionResponse.response?.output ?? ''),
    hasShellTool: (body.tools ?? []).some((tool) =>
      (tool.functionDeclarations ?? []).some(({name}) => name === 'run_shell_command')),
  });
  const thoughts = turn.think ? [{text: 'The mock thinks: 2 + 2 = 4.', thought: true}] : [];
  if (turn.kind === 'tool') {
    return [...thoughts, {functionCall: {name: 'run_shell_command', args: {command: turn.command, description: 'Say something'},
      id: idOf('call_', call.record.bodySha256)}, thoughtSignature: kSignature}];
  }
  return [...thoughts, ...textPieces(turn.text).map((text) => ({text}))];
}

/** Google refuses a tool's result whose call has lost its signature. */
function signatureCameBack(contents) {
  const calls = contents.flatMap(({parts}) => parts ?? []).filter(({functionCall}) => functionCall !== undefined);
  return calls.length === 0 || calls.some(({thoughtSignature}) => thoughtSignature === kSignature);
}

function answerOf(call, model, parts, last, usage) {
  return {candidates: [{content: {role: 'model', parts}, ...(last && {finishReason: 'STOP'}), index: 0}],
    ...(usage !== null && {usageMetadata: usageMetadata(usage)}), modelVersion: model,
    responseId: idOf('', call.record.bodySha256, 'response')};
}

function note(call, model, usage) {
  const {input, output, cached, thoughts} = usage;
  call.journal.use(call.record, model, {input, output, cached, thoughts});
}

async function generate(call, model, body, wrap) {
  const parts = partsOf(call, body);
  if (parts === null) return refuse(call, 400, {message: 'Function call is missing a thought_signature.'});
  const joined = parts.every(({text, thought}) => text !== undefined && !thought)
    ? [{text: parts.map(({text}) => text).join('')}] : parts;
  const usage = usageOf(call);
  await call.reply.json(200, wrap(answerOf(call, model, joined, true, usage)), {'content-type': 'application/json; charset=UTF-8'});
  if (call.record.finished) note(call, model, usage);
}

async function streamGenerate(call, model, body, wrap) {
  const usage = usageOf(call);
  const asEvents = call.query.get('alt') === 'sse';
  const generated = call.headers['x-mock-stream'];
  const spec = generated === undefined ? null : parseStreamSpec(generated);
  const parts = spec === null ? partsOf(call, body) : null;
  if (spec === null && parts === null) return refuse(call, 400, {message: 'Function call is missing a thought_signature.'});
  const count = spec === null ? parts.length : spec.events;
  if (spec !== null) usage.output = spec.events;
  const all = spec === null ? parts : textParts(generatedTexts(spec));
  // The counts grow with the stream, as the vendor's do; the last chunk has the whole.
  const soFar = (index) => ({...usage, output: Math.min(usage.output, Math.ceil(usage.output * (index + 1) / count))});
  let latest = soFar(0);
  function* pieces() {
    let index = 0;
    for (const part of all) {
      latest = soFar(index);
      const answer = wrap(answerOf(call, model, [part], index === count - 1, latest));
      yield Buffer.from(asEvents ? `data: ${JSON.stringify(answer)}\r\n\r\n`
        : `${index === 0 ? '[' : ',\r\n'}${JSON.stringify(answer, null, 2)}${index === count - 1 ? ']' : ''}`);
      index += 1;
    }
  }
  const type = asEvents ? 'text/event-stream' : 'application/json; charset=UTF-8';
  const paced = spec === null || spec.whole ? pieces() : cutAnywhere(pieces(), spec);
  await call.reply.stream({'content-type': type}, paced, count, () => note(call, model, latest));
}

function* textParts(texts) {
  for (const text of texts) yield {text};
}
