// SPDX-License-Identifier: MIT
// A request of the relay's own to a vendor: for tokens, profiles, projects. Small, whole, bounded
// in time and size, on a connection of its own.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/async/task.h"
#include "core/config/units.h"
#include "core/http/message.h"
#include "core/net/resolver.h"
#include "core/net/tls_context.h"
#include "upstreams/account.h"

namespace relay {

struct VendorRequest {
  Url url;
  std::string query;  // without '?'
  std::string method = "GET";
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  // May hold a secret in path, query, fields and body; wiped when it dies.
  VendorRequest() = default;
  VendorRequest(VendorRequest&&) = default;
  VendorRequest& operator=(VendorRequest&&) = default;
  ~VendorRequest();
};

struct VendorAnswer {
  int status = 0;
  Head head;
  std::string body;
};

class VendorCalls {
 public:
  static constexpr size_t kMostBytes = size_t{256} << 10;

  // `loop` and `resolver` outlive this, and this outlives its calls.
  VendorCalls(Loop& loop, Resolver& resolver, std::shared_ptr<const TlsClientContext> tls)
      : loop_(loop), resolver_(resolver), tls_(std::move(tls)) {}

  // The whole answer, of any status. `way`: of the account for whose sake it asks; a call goes as
  // the account's requests go, or not at all. Destroying the task ends the connection. Errors
  // (kUpstream): of DialledEndpoint and the dialler; broken off, too long, not before the deadline.
  Task<Result<VendorAnswer>> Call(VendorRequest request, WayOut way, TimePoint deadline);
  Loop& loop() { return loop_; }

 private:
  Loop& loop_;
  Resolver& resolver_;
  const std::shared_ptr<const TlsClientContext> tls_;
};

}  // namespace relay
