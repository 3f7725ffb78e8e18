// SPDX-License-Identifier: MIT
// Google's Code Assist API, which Gemini CLI speaks with a login: the public API's requests and
// answers in an envelope of its own ({"model","project","request"}, {"response"}), and calls about
// the user. Put between it and the public API in both directions, without rewriting what is inside.
// Sources: Gemini CLI 0.61 (packages/core/src/code_assist), captures of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "upstreams/provider.h"

namespace relay {

// The project that a client learns where no account has one.
inline constexpr std::string_view kNoProject = "relay-api-key";

// Makes every project of the body the account's: `project`, loadCodeAssist's
// `cloudaicompanionProject`, `metadata.duetProject`. An account without one leaves them.
void SpliceProject(const Account& account, const Exchange& x, bool generates, Edits& edits);

// A call about the user, as an account that is only a key of the public API can answer it: free of
// quota, experiments and controls. Nothing for calls that need the vendor.
std::optional<Reply> AnswerLocally(std::string_view verb, const Account& account,
                                   const Exchange& x);

// Changes of a request's body, into call.edits (or call.body where a filter has edited it).
// Code Assist's to the public API's. Errors: no request in it (kClient, kMalformed).
Result<Unit> UnwrapRequest(const Exchange& x, bool counts, Call& call);
// The public API's to Code Assist's.
Result<Unit> WrapRequest(const Account& account, const Exchange& x, bool counts, Call& call);

enum class Envelope : uint8_t { kAdd, kRemove };
// What an answer is, and what it becomes.
enum class AnswerForm : uint8_t {
  kEvents,         // an SSE stream
  kEventsToArray,  // an SSE stream that becomes a JSON array in pieces
  kJson,
};
// Holds at most one line of a stream; of JSON nothing. Errors inside a stream pass as they are.
std::unique_ptr<AnswerTransform> MakeEnvelopeTransform(Envelope envelope, AnswerForm form);

}  // namespace relay
