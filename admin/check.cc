// SPDX-License-Identifier: MIT
#include "admin/check.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "admin/endpoints.h"
#include "admin/load.h"
#include "admin/rehearsal.h"
#include "admin/services.h"

namespace relay {
namespace {

// Of a test: its bodies are small.
constexpr uint64_t kMemory = uint64_t{1} << 30;
// What a test sends whose key is no key's name.
constexpr std::string_view kUnknownKey = "cr_unknown_key_of_a_test";

RehearsedRequest RequestOf(const TestConfig& test, const Config& config) {
  RehearsedRequest request;
  request.method = test.method;
  request.target = test.path;
  request.headers = test.headers;
  bool known = config.FindKey(test.key) != nullptr;
  if (known) request.key = test.key;
  if (!known && !test.key.empty()) request.headers.emplace_back("x-api-key", kUnknownKey);
  if (!test.body.IsNull()) request.body = RenderJson(test.body);
  return request;
}

bool IsAccount(std::string_view seen, std::string_view expected) {
  if (seen == expected) return true;
  size_t slash = seen.find('/');
  return slash != std::string_view::npos && seen.substr(slash + 1) == expected;
}

std::string Or(const std::string& text, std::string_view otherwise) {
  return text.empty() ? std::string(otherwise) : text;
}

// `why`: no answer came; "" where one did.
TestOutcome Judge(const TestConfig& test, const Explanation& seen, const std::string& why) {
  using Kind = TestOutcome::Kind;
  std::string head = test.place.Text() + ": ";
  std::string request = test.method + " " + test.path;
  if (!test.key.empty()) request += " (key " + test.key + ")";
  if (!why.empty()) return {Kind::kFailed, head + "FAILED: " + request + ": " + why};
  const int status = seen.status() == 0 ? 200 : seen.status();
  const std::string route = seen.Get("route");
  const std::string account = seen.Get("account");
  std::string wrong;
  auto differs = [&](std::string_view what, const std::string& got, const std::string& expected) {
    wrong += (wrong.empty() ? "" : "; ") + std::string(what) + " is " + got + ", not " + expected;
  };
  if (!test.route.empty() && test.route != route) {
    differs("route", Or(route, "none"), test.route);
  }
  if (!test.account.empty() && !IsAccount(account, test.account)) {
    differs("account", Or(account, "none"), test.account);
  }
  if (test.status != 0 && test.status != status) {
    differs("status", std::to_string(status), std::to_string(test.status));
  }
  if (!wrong.empty()) {
    if (account.empty() && test.status == 0) {
      wrong += " (the relay answers " + std::to_string(status) + ")";
    }
    return {Kind::kFailed, head + "FAILED: " + request + ": " + wrong};
  }
  std::string what = "route " + Or(route, "none");
  what += account.empty() ? ", answered " + std::to_string(status) : ", account " + account;
  return {Kind::kPassed, head + "ok: " + request + ": " + what};
}

}  // namespace

std::vector<TestOutcome> RunConfigTests(const std::shared_ptr<const Config>& config) {
  std::vector<TestOutcome> outcomes;
  for (const TestConfig& test : config->tests) {
    if (!test.skipped.empty()) {
      outcomes.push_back({TestOutcome::Kind::kSkipped, test.place.Text() +
                                                           ": skipped: " + test.method + " " +
                                                           test.path + ": " + test.skipped});
      continue;
    }
    // Limits, health and stickiness begin anew for each.
    auto services = Services::Make(config, SystemClock::Get(), kMemory);
    if (!services) {
      outcomes.push_back(
          {TestOutcome::Kind::kFailed, test.place.Text() + ": FAILED: " + services.error().what});
      continue;
    }
    RehearsedRequest request = RequestOf(test, *config);
    Explanation seen(request.key);
    ProcessEndpoints endpoints(**services);
    Result<Unit> ended = Rehearse(**services, endpoints, request, seen);
    outcomes.push_back(Judge(test, seen, ended ? "" : ended.error().what));
  }
  return outcomes;
}

int RunCheck(const Options& options, const Environment& environment) {
  Problems problems;
  std::shared_ptr<const Config> config = LoadChecked(options.config, environment, problems);
  if (!Report(*config, problems)) return kExitUsage;
  size_t passed = 0;
  size_t failed = 0;
  size_t skipped = 0;
  for (const TestOutcome& outcome : RunConfigTests(config)) {
    std::printf("%s\n", outcome.line.c_str());
    if (outcome.kind == TestOutcome::Kind::kPassed) ++passed;
    if (outcome.kind == TestOutcome::Kind::kFailed) ++failed;
    if (outcome.kind == TestOutcome::Kind::kSkipped) ++skipped;
  }
  std::printf("%s is good; tests: %zu passed, %zu failed, %zu skipped\n", options.config.c_str(),
              passed, failed, skipped);
  return failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace relay
