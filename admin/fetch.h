// SPDX-License-Identifier: MIT
// One GET from a command of this program, with a loop of its own: to the control socket of a
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

// Both wait up to `patience` in all. Errors (kRelay or kUpstream): nobody answers there, or not in
// time; `what` is for people.
Result<Fetched> FetchUnix(const std::string& socket_path, const std::string& target,
                          Duration patience);
Result<Fetched> FetchUrl(const Url& base, const std::string& target, Duration patience);

}  // namespace relay
