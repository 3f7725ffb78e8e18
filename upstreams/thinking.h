// SPDX-License-Identifier: MIT
// Takes out of a request's history what another account signed and this one will not read. Only
// where the vendor refused it for that, and as the vendor says that it is done. Each takes time and
// memory as the request is long. False, with nothing edited, where there is nothing to take out, or
// more than 10,000 blocks or parts: the vendor's refusal stands then.
#pragma once

#include "core/base/json.h"

namespace relay {

// Of Anthropic Messages. Every thinking block of the history goes, since a block counts only with
// those before it; so does a message that holds nothing else. In the midst of tool calls, thinking
// with a set budget must be switched off for this request, and what would clear it with it.
// Sources: platform.claude.com/docs/en/build-with-claude: preserved-thinking (and its page on
// blocks bound to a different conversation), thinking-tool-workflows; the error "Expected
// `thinking` …".
bool TakeOutClaudeThinking(const JsonIndex& request, Edits& edits);

// Of Gemini's `contents`. A function call keeps the mark by which Google takes history that another
// model wrote, since without a signature newer models refuse it; elsewhere the signature goes, and
// with it a part that holds nothing else, as the last one of a stream does.
// Source: ai.google.dev/gemini-api/docs/thought-signatures. `request` is the object with
// `contents`.
bool TakeOutGeminiThinking(const JsonIndex& request, Edits& edits);

}  // namespace relay
