// SPDX-License-Identifier: MIT
//
// The side door for tests: what arrived, what it added up to, and which faults come next.
// It lies below /__mock on the mock's own port and on the control port.

export const kControlPrefix = '/__mock/';

/** Answers one control request; `mock` is {journal, queue, credentials, tokens, forbidden, forbiddenHeaders, reset()}. */
export async function answerControl(mock, method, path, query, body, respond) {
  const what = path.slice(kControlPrefix.length);
  const input = () => JSON.parse(body.toString());
  try {
    switch (`${method} ${what.replace(/^requests\/\d+\/body$/, 'requests/#/body')}`) {
      case 'GET health': return respond(200, {status: 'ok'});
      case 'GET stats':
        return respond(200, {...mock.journal.stats(), scripted: mock.queue.waiting(), connections: mock.connections()});
      case 'GET requests': return respond(200, await findRequests(mock, Object.fromEntries(query)));
      case 'GET requests/#/body': {
        const kept = mock.journal.bodies.get(Number(/\d+/.exec(what)[0]));
        return kept === undefined ? respond(404, {error: 'no such body'}) : respond(200, kept);
      }
      case 'POST script':
        for (const entry of [input()].flat()) mock.queue.add(entry);
        return respond(200, {scripted: mock.queue.waiting()});
      case 'POST revoke':
        for (const token of [input().credential].flat()) mock.tokens.grants.revoke(token);
        return respond(200, {});
      case 'POST expire':
        for (const token of [input().credential].flat()) mock.credentials.expire(token);
        return respond(200, {});
      case 'GET oauth': return respond(200, mock.tokens.grants.describe());
      case 'POST oauth':
        mock.tokens.grants.set(input());
        return respond(200, mock.tokens.grants.describe());
      case 'POST forbid': {
        const {texts = [], headers = []} = input();
        mock.forbidden.push(...texts);
        for (const name of headers) mock.forbiddenHeaders.add(name.toLowerCase());
        return respond(200, {});
      }
      case 'POST reset':
        mock.reset();
        return respond(200, {});
      default: return respond(404, {error: `no control call '${method} ${path}'`});
    }
  } catch (error) {
    return respond(400, {error: error.message});
  }
}

/** With `wait-ended=ms` waits until every record that fits is closed, at least `count` (default 1). */
async function findRequests(mock, {'wait-ended': wait, count = 1, ...criteria}) {
  const deadline = Date.now() + Number(wait ?? 0);
  for (;;) {
    const found = mock.journal.find(criteria);
    const settled = found.length >= Number(count) && found.every(({endedAt}) => endedAt !== null);
    if (settled || Date.now() >= deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
