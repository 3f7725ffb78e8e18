// SPDX-License-Identifier: MIT
// A vendor's API. Only claude.cc, gemini.cc and code_assist.cc know one.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/config/root.h"
#include "core/exchange/exchange.h"
#include "upstreams/account.h"
#include "upstreams/account_pool.h"
#include "upstreams/rules.h"

namespace relay {

// One attempt, ready to be sent with one account.
struct Call {
  const AccountEndpoint* endpoint = nullptr;  // one of the account's two
  Head head;                                  // everything but the body and its length
  Edits edits;  // the whole change of the body: the chain's and the account's own
  std::optional<std::string> body;             // replaces the request's body before the edits
  std::optional<Reply> local;                  // answered here: nothing is sent
  std::unique_ptr<AnswerTransform> transform;  // of a 2xx answer
  std::string_view content_type;               // what `transform` makes; "": as the upstream's
  bool streams = false;                        // an SSE stream is asked for
};

class Provider {
 public:
  explicit Provider(Rules rules) : rules_(std::move(rules)) {}
  virtual ~Provider() = default;
  virtual std::string_view name() const = 0;
  virtual Dialect DialectOf(std::string_view path) const = 0;
  virtual std::optional<Ask> Recognise(std::string_view method, std::string_view path) const = 0;
  // Completes x.ask and x.json from head and body, which is loaded. Errors: a body that breaks
  // JSON's rules (kClient, kMalformed).
  virtual Result<Unit> ReadBody(Exchange& x) const = 0;
  // The vendor's own client, which a subscription may serve (by User-Agent: a policy, no proof).
  virtual bool IsVendorClient(const Head& request) const = 0;
  // The models that share a limit with this one, by a name of theirs; "" for "".
  virtual std::string FamilyOf(std::string_view model) const = 0;
  // The one kind of account for which the call exists, if it does not for both.
  virtual std::optional<Account::Kind> OnlyKind(const Exchange&) const { return {}; }
  // `credential`: the account's of this moment. Errors: a request that cannot be put to this
  // account (kClient).
  virtual Result<Call> Prepare(const Account& account, const Secret& credential,
                               const Exchange& x) const = 0;
  // Takes the thinking that another account signed out of a call that Prepare made. False, with
  // nothing changed: there is none, or the call is not made by edits.
  virtual bool TakeOutThinking(const Exchange& x, Call& call) const = 0;
  // What an answer says of its account's windows; of what it says nothing, nothing is known.
  virtual UsageWindows WindowsOf(const Head&, TimePoint, WallTime) const { return {}; }
  // Null where nothing is counted.
  virtual std::unique_ptr<UsageMeter> Meter(const Exchange& x) const = 0;

  // By the rules. `body`: the first 64 KiB of an answer that is not 2xx.
  Judgement Judge(const Head& answer, std::string_view body, TimePoint now, WallTime wall) const;
  // The first event of a stream.
  Judgement JudgeEvent(std::string_view event, std::string_view data, TimePoint now,
                       WallTime wall) const;

 protected:
  virtual VendorError ReadError(const Head& answer, std::string_view body, TimePoint now,
                                WallTime wall) const = 0;
  // Nothing: the event is no error.
  virtual std::optional<VendorError> ReadErrorEvent(std::string_view event, std::string_view data,
                                                    TimePoint now, WallTime wall) const = 0;

 private:
  Rules rules_;
};

// `rules`: a cluster's own, asked before those of rules.yaml.
std::unique_ptr<Provider> MakeClaude(std::vector<AccountRule> rules = {});
std::unique_ptr<Provider> MakeGemini(std::vector<AccountRule> rules = {});
std::unique_ptr<Provider> MakeProvider(ProviderKind kind, std::vector<AccountRule> rules = {});

// A client's field of that name never goes upstream as it came.
bool EndsHere(std::string_view name);
// What every upstream request starts from: the client's fields in order, without what ends here
// (hop-by-hop, credentials, cookies, forwarding marks, Host, Content-Length), and with
// `accept-encoding: identity`. The target has no `key` in its query. Fields are x.request's, which
// must live as long.
Head BaseHead(const Exchange& x, const Url& endpoint);
// The path to send, without the endpoint's own: x.sent_path, an alias put right.
std::string SentPath(const Exchange& x);
// A value of the query as it stands, not decoded; "" if there is none.
std::string_view QueryValue(std::string_view query, std::string_view name);

// Parses the body into x.json, which must be an object.
Result<Unit> ReadJson(Exchange& x);
// The value at a path of x.json; absent where there is none or the way is no object.
JsonValue ValueAt(const JsonIndex& json, std::initializer_list<std::string_view> names);
// A stand-in for a session id: equal for requests that begin with the same two values.
std::string PrefixSession(const JsonValue& system, const JsonValue& first_message);

// Seconds or an HTTP date; nothing when absent or senseless. RFC 9110 §10.2.3.
std::optional<Duration> RetryAfter(const Head& answer, WallTime wall);
// RFC 3339, "2026-11-24T05:20:00Z" with any offset and fraction.
std::optional<WallTime> ParseTimestamp(std::string_view text);
// A moment of the calendar on the monotonic clock.
TimePoint OnClock(WallTime when, TimePoint now, WallTime wall);

}  // namespace relay
