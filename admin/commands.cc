// SPDX-License-Identifier: MIT
#include "admin/commands.h"

#include <cstdio>

#include "admin/ask.h"
#include "admin/fetch.h"
#include "admin/usage_report.h"
#include "core/base/json.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(4);  // of a container's health check: 5 s

bool Healthy(const Result<Fetched>& fetched) {
  return fetched && fetched->status == 200;
}

int TellHealth(const Result<Fetched>& fetched, const std::string& where) {
  if (!fetched) return Complain("no relay answers at " + where + ": " + fetched.error().what);
  std::printf("%s\n", fetched->body.c_str());
  return Healthy(fetched) ? kExitOk : kExitFailed;
}

// An address that stands for all of the machine is reached at its loopback.
std::string Reachable(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  return host == "::" ? "::1" : host;
}

}  // namespace

int RunUsage(const Options& options, const Environment& environment) {
  std::string path = "/admin/v1/usage?by=" + std::string(NameOf(options.by));
  auto answer = AskRelay(options, environment, {.target = path}, kPatience);
  if (!answer) return answer.error();
  if (options.json) {
    std::printf("%s\n", answer->c_str());
    return kExitOk;
  }
  Result<std::string> table = UsageTable(*answer);
  if (!table) return NotUnderstood(table.error());
  std::fputs(table->c_str(), stdout);
  return kExitOk;
}

int RunRekey(const Options& options, const Environment& environment) {
  auto answer = AskRelay(options, environment, {.method = "POST", .target = "/admin/v1/rekey"});
  if (!answer) return answer.error();
  Result<JsonIndex> done = JsonIndex::Parse(*answer);
  if (!done) return NotUnderstood(done.error());
  std::printf("%lld objects were sealed anew; the encryption key in use is %s\n",
              static_cast<long long>(done->Find("objects").Int().value_or(0)),
              done->Find("key-id").String().value_or("").c_str());
  if (done->Find("given").Bool().value_or(false)) {
    std::printf("secrets.previous-encryption-key is not needed any more\n");
  }
  return kExitOk;
}

int RunHealth(const Options& options, const Environment& environment) {
  if (!options.url.empty()) {
    Parsed<Url> url = ParseUrl(options.url);
    if (!url) {
      std::fprintf(stderr, "relay: --url must be like http://127.0.0.1:3000\n");
      return kExitUsage;
    }
    return TellHealth(FetchUrl(*url, {.target = "/health"}, kPatience), options.url);
  }
  std::expected<RelayTarget, int> target = FindTarget(options, environment);
  if (!target) return target.error();
  std::string socket = target->socket();
  Result<Fetched> fetched = FetchUnix(socket, {.target = "/health"}, kPatience);
  if (fetched || !target->address) return TellHealth(fetched, socket);
  // A relay without a writable data folder has no control socket.
  Url url{false, Reachable(target->address->host), target->address->port, ""};
  return TellHealth(FetchUrl(url, {.target = "/health"}, kPatience), FormatUrl(url));
}

}  // namespace relay
