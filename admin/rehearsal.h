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

  // {"method":…,"target":…,"headers":[["name","value"]…],"key":…,"body":…}, each but the target may
  // be left out.
  std::string Json() const;
  // Errors (kClient, kMalformed): what is not that.
  static Result<RehearsedRequest> Parse(std::string_view json);
};

// Fills an explanation whose key is the request's. The services may serve meanwhile; blocks for the
// moment that it takes. The client has no address but what the request's X-Forwarded-For says.
// Errors: a request that is not one of HTTP, or a filter that waits for something.
Result<Unit> Rehearse(Services& services, Endpoints& endpoints, const RehearsedRequest& request,
                      Explanation& explanation);

}  // namespace relay
