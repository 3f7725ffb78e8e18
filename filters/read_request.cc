// SPDX-License-Identifier: MIT
#include "filters/read_request.h"

#include "core/exchange/exchange.h"
#include "core/exchange/explanation.h"

namespace relay {
namespace {

Task<Result<Unit>> Read(Exchange& x) {
  Result<Unit> loaded = co_await x.LoadBody();
  if (!loaded) co_return loaded;
  x.facts.body_read = true;
  Result<Unit> read = x.route->upstream->ReadBody(x);
  if (x.explanation != nullptr && !x.ask.model.empty()) x.explanation->Set("model", x.ask.model);
  co_return read;
}

}  // namespace

Task<Result<Unit>> ReadRequest(Exchange& x) {
  if (x.facts.body_read) return Result<Unit>(Unit{});
  return Read(x);
}

}  // namespace relay
