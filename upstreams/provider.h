// SPDX-License-Identifier: MIT
// A vendor's API. Only claude.cc and gemini.cc know one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/config/root.h"
#include "core/exchange/exchange.h"
#include "upstreams/account.h"
#include "upstreams/account_pool.h"

namespace relay {

// One attempt, ready to be sent with one account.
struct Call {
  Head head;    // everything but the body; content_length is set by the cluster
  Edits edits;  // the whole change of the body: the chain's and the account's own
  std::optional<std::string> body;  // replaces the request's body altogether
  std::optional<Reply> local;       // answered here: nothing is sent
  std::unique_ptr<AnswerTransform> transform;
};

class Provider {
 public:
  virtual ~Provider() = default;
  virtual std::string_view name() const = 0;
  virtual Dialect DialectOf(std::string_view path) const = 0;
  virtual std::optional<Ask> Recognise(std::string_view method, std::string_view path) const = 0;
  // Completes x.ask from head and body. Errors: a body that breaks JSON's rules.
  virtual Result<Unit> ReadBody(Exchange& x) const = 0;
  // The vendor's own client, which a subscription may serve (by User-Agent: a policy, no proof).
  virtual bool IsVendorClient(const Head& request) const = 0;
  virtual Result<Call> Prepare(const Account& account, const Exchange& x) const = 0;
  // `body`: the first 64 KiB of an answer that is not 2xx, or the first event of a stream.
  virtual Judgement Judge(const Head& answer, std::string_view body, TimePoint now,
                          WallTime wall) const = 0;
  virtual Judgement JudgeEvent(std::string_view event, std::string_view data) const = 0;
  virtual std::unique_ptr<UsageMeter> Meter(const Exchange& x, const Head& answer) const = 0;
};

std::unique_ptr<Provider> MakeClaude();
std::unique_ptr<Provider> MakeGemini();
std::unique_ptr<Provider> MakeProvider(ProviderKind kind);

// What every upstream request starts from: the client's fields in order, without what ends here
// (hop-by-hop, credentials, cookies, forwarding marks, Host, Content-Length, Accept-Encoding).
Head BaseHead(const Exchange& x, const Url& endpoint);
// Seconds or an HTTP date; nothing when absent or senseless. RFC 9110 §10.2.3.
std::optional<Duration> RetryAfter(const Head& answer, WallTime wall);

}  // namespace relay
