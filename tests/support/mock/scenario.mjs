// SPDX-License-Identifier: MIT
//
// What a model says here. The text of the last user message chooses:
//   mock:tool(command)   the first turn calls the shell tool with this command, if the client offers
//                        one; the turn after the tool's result tells what it was
//   mock:say(text)       says text
//   mock:think           thinks before it speaks
// Anything else gets the greeting. Answers depend on the request alone, so two ways to the mock can
// be compared byte for byte.

import {createHash} from 'node:crypto';

export const kGreeting = 'Hello from the mock upstream. Grüße, 你好, привет — 🎉 done.';

/** An id that depends on the request body alone. */
export function idOf(prefix, bodySha256, salt = '') {
  const digest = createHash('sha256').update(bodySha256 + salt).digest('hex');
  return prefix + digest.slice(0, 22);
}

/** What to do: {kind: 'tool', command} or {kind: 'text', text, think}. */
export function chooseTurn({userText, toolResult, hasShellTool}) {
  const think = userText.includes('mock:think');
  if (toolResult !== null) return {kind: 'text', text: `The tool said: ${toolResult.trim()}`, think};
  const tool = /mock:tool(?:\(([^)]*)\))?/.exec(userText);
  if (tool !== null && hasShellTool) {
    return {kind: 'tool', command: tool[1] ?? 'echo mock-tool-output', think};
  }
  const say = /mock:say\(([^)]*)\)/.exec(userText);
  return {kind: 'text', text: say?.[1] ?? kGreeting, think};
}

/** The text in pieces of a few characters, never splitting one. */
export function textPieces(text, pieces = 5) {
  const characters = [...text];
  const size = Math.max(1, Math.ceil(characters.length / pieces));
  const result = [];
  for (let at = 0; at < characters.length; at += size) {
    result.push(characters.slice(at, at + size).join(''));
  }
  return result.length > 0 ? result : [''];
}

/** The plainest value that a JSON schema takes; enough for the clients' own classifying calls. */
export function valueOfSchema(schema) {
  if (Array.isArray(schema?.enum)) return schema.enum[0];
  const kind = String(Array.isArray(schema?.type) ? schema.type[0] : schema?.type).toLowerCase();
  switch (kind) {
    case 'object': {
      const value = {};
      for (const [name, inner] of Object.entries(schema.properties ?? {})) {
        value[name] = valueOfSchema(inner);
      }
      return value;
    }
    case 'array': return [];
    case 'integer':
    case 'number': return schema.minimum ?? 1;
    case 'boolean': return false;
    default: return 'mock';
  }
}
