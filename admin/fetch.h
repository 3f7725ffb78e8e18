// SPDX-License-Identifier: MIT
// One request from a command of this program, with a loop of its own: to the control socket of a
// running relay, or to an address.
#pragma once

#include <functional>
#include <string>
#include <string_view>

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
  // Gets each whole line of a good answer as it comes, without its end; such an answer's body is
  // then what stands behind the last of them.
  std::function<void(std::string_view)> on_line = {};
};

// Both wait up to `patience` in all. Errors (kRelay or kUpstream): as ConnectUnix or Dial, or no
// whole answer came in time; `what` is for people.
Result<Fetched> FetchUnix(const std::string& socket_path, const FetchRequest& request,
                          Duration patience);
Result<Fetched> FetchUrl(const Url& base, const FetchRequest& request, Duration patience);

}  // namespace relay
