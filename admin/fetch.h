// SPDX-License-Identifier: MIT
// One request from a command of this program, with a loop of its own: to the control socket of a
// running relay, or to an address.
#pragma once

#include <string>

#include "core/base/error.h"
#include "core/config/units.h"

namespace relay {

struct Fetched {
  int status = 0;
  std::string body;
};

struct FetchRequest {
  std::string method = "GET";
  std::string target;     // "/admin/v1/usage?by=key"
  std::string body = {};  // JSON, if any
};

// Both wait up to `patience` in all. Errors (kRelay or kUpstream): nobody answers there, or not in
// time; `what` is for people.
Result<Fetched> FetchUnix(const std::string& socket_path, const FetchRequest& request,
                          Duration patience);
Result<Fetched> FetchUrl(const Url& base, const FetchRequest& request, Duration patience);

}  // namespace relay
