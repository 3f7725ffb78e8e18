// SPDX-License-Identifier: MIT
// A request on its way through everything that serves, codec, routes, filters and the choice of an
// account, up to where the upstream would be asked. All of it looks at what there is, and takes,
// counts and sends nothing (core/exchange/explanation.h). The clock stands still meanwhile.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/services.h"
#include "core/base/json.h"
#include "core/exchange/explanation.h"
#include "core/exchange/worker.h"

namespace relay {

struct RehearsedRequest {
  std::string method = "POST";
  std::string target;  // path and query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string key;  // by name: whose part is played; "": what the request itself brings
  std::string body;

  bool operator==(const RehearsedRequest&) const = default;
  // {"method":…,"target":…,"headers":[["name","value"]…],"key":…,"body":…}, each a text but the
  // headers, and each but the target may be left out. Bytes that are not UTF-8 are not kept.
  std::string Json() const;
  // Errors (kClient, kMalformed): what is not that, or holds more, or a header that cannot be.
  static Result<RehearsedRequest> Parse(std::string_view json);
  // Errors (kClient, kMalformed): HTTP cannot carry it, or it belongs to the connection and the
  // body's length, so that whoever writes the request writes it.
  static Result<Unit> CheckHeader(std::string_view name, std::string_view value);
};

// Fills an explanation whose key is the request's. The services may serve meanwhile; blocks for the
// moment that it takes. It comes to the first listener, by the limits and trusted proxies of that,
// and has no address but what the request's X-Forwarded-For says.
// Errors: a request that is not one of HTTP, or a filter that waits for something.
Result<Unit> Rehearse(Services& services, Endpoints& endpoints, const RehearsedRequest& request,
                      Explanation& explanation);

}  // namespace relay
