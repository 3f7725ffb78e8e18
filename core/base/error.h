// SPDX-License-Identifier: MIT
// Errors as values. An Error says whose doing it was, what kind of fault, and whether
// another try elsewhere can help; one function per dialect turns it into status and body.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace relay {

// Whose doing a failure is. Decides who is told and whether an account is blamed.
enum class Party : uint8_t { kClient, kUpstream, kRelay };

enum class Fault : uint8_t {
  kMalformed,        // bytes or body that break their protocol: 400, or 502 from upstream
  kUnauthenticated,  // no key or a wrong one: 401
  kForbidden,        // a good key that may not do this: 403
  kNotFound,         // no such path: 404
  kMethod,           // CONNECT, TRACE and the like: 405
  kBodyTooLarge,     // 413
  kTargetTooLong,    // 414
  kExpectation,      // an Expect other than 100-continue: 417
  kHeadTooLarge,     // 431
  kRateLimited,      // 429
  kBudgetSpent,      // 429 billing_error
  kNoAccount,        // 503: no account can serve
  kOverloaded,       // 503 or 529: the vendor's or our own shortage
  kConnect,          // could not reach: name, TCP
  kProxy,            // the outbound proxy: not reached, broken off, or it will not have us
  kTls,              // handshake or certificate
  kReset,            // connection or stream broken off
  kTruncated,        // ended too early, cleanly
  kUnprocessed,      // the peer did nothing of the request: it may be sent again at once
  kTimeout,          // a deadline passed
  kCancelled,        // the other side left, or the relay stops
  kInternal,         // a bug of ours: 500
};

struct Error {
  Party party = Party::kRelay;
  Fault fault = Fault::kInternal;
  std::string what;        // English, short, says what to do; holds no secret
  bool retryable = false;  // another account or connection may succeed
};

template <class T>
using Result = std::expected<T, Error>;

// The value of an operation that has none.
struct Unit {};

inline std::unexpected<Error> Fail(Party party, Fault fault, std::string what,
                                   bool retryable = false) {
  return std::unexpected(Error{party, fault, std::move(what), retryable});
}

}  // namespace relay
