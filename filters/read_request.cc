// SPDX-License-Identifier: MIT
#include "filters/read_request.h"

#include "core/exchange/exchange.h"

namespace relay {
namespace {

Task<Result<Unit>> Read(Exchange& x) {
  Result<Unit> loaded = co_await x.LoadBody();
  if (!loaded) co_return loaded;
  x.facts.body_read = true;
  co_return x.route->upstream->ReadBody(x);
}

}  // namespace

Task<Result<Unit>> ReadRequest(Exchange& x) {
  if (x.facts.body_read) return Result<Unit>(Unit{});
  return Read(x);
}

}  // namespace relay
