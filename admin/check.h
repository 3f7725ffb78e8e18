// SPDX-License-Identifier: MIT
// `relay check`: what is wrong with relay.yaml, and whether the tests in it come out. A test goes
// the way of a real request, through the codec, the routes and the filters, up to where the
// upstream would be asked.
#pragma once

#include <string>
#include <vector>

#include "admin/options.h"
#include "core/config/root.h"

namespace relay {

struct TestOutcome {
  enum class Kind : uint8_t { kPassed, kFailed, kSkipped } kind = Kind::kFailed;
  std::string line;  // "relay.yaml:130:5: ok: POST /api/v1/messages: route claude, …"
};

// The tests of a configuration that LoadChecked found good, in order. None disturbs another.
std::vector<TestOutcome> RunConfigTests(const std::shared_ptr<const Config>& config);

// Returns the exit code: 0, 1 when a test fails, 2 for a wrong relay.yaml.
int RunCheck(const Options& options, const Environment& environment);

}  // namespace relay
