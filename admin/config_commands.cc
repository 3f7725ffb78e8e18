// SPDX-License-Identifier: MIT
// `relay reload` and `relay diff`: both ask the relay that runs, which reads the file with its own
// environment.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "admin/commands.h"
#include "admin/fetch.h"
#include "admin/load.h"
#include "core/base/json.h"
#include "core/base/percent.h"

namespace relay {
namespace {

// A check runs every test of the file.
constexpr Duration kPatience = std::chrono::minutes(2);

std::string SocketOf(const Options& options, const Environment& environment) {
  std::string folder = options.data;
  if (folder.empty()) {
    // Only where its state lives counts here. Whether it is good is for the relay to say, which
    // may have other variables.
    Problems ignored;
    std::shared_ptr<const Config> config = LoadConfig(options.config, environment, ignored);
    folder = DataFolderOf(*config, environment);
  }
  return folder + "/" + std::string(kControlSocket);
}

std::string TextOf(const JsonValue& value) {
  return value.String().value_or("");
}

// What the relay says of a file, for people. Returns the exit code.
int Tell(const std::string& body, std::string_view done, std::string_view without_changes) {
  Result<JsonIndex> outcome = JsonIndex::Parse(body);
  if (!outcome) {
    std::fprintf(stderr, "relay: the relay's answer is not understood\n");
    return kExitFailed;
  }
  int problems = 0;
  for (JsonArray list(outcome->Find("problems")); JsonValue problem = list.Next(); ++problems) {
    std::fprintf(stderr, "%s\n", TextOf(problem).c_str());
  }
  if (problems > 0) {
    return outcome->Find("tests_failed").Bool().value_or(false) ? kExitFailed : kExitUsage;
  }
  for (JsonArray list(outcome->Find("notes")); JsonValue note = list.Next();) {
    std::fprintf(stderr, "%s\n", TextOf(note).c_str());
  }
  int changes = 0;
  for (JsonArray list(outcome->Find("changes")); JsonValue item = list.Next(); ++changes) {
    Result<JsonIndex> change = JsonIndex::Object(item);
    if (!change) continue;
    bool restart = change->Find("needs_restart").Bool().value_or(false);
    std::printf("%s%s\n", TextOf(change->Find("text")).c_str(),
                restart ? " (needs a restart)" : "");
  }
  if (changes == 0 && !without_changes.empty()) {
    std::printf("%s\n", std::string(without_changes).c_str());
  }
  if (!done.empty()) std::printf("%s\n", std::string(done).c_str());
  return kExitOk;
}

int Ask(const std::string& socket, const FetchRequest& request, std::string_view done,
        std::string_view without_changes) {
  Result<Fetched> fetched = FetchUnix(socket, request, kPatience);
  if (!fetched) {
    std::fprintf(stderr, "relay: no relay answers at %s: %s\n", socket.c_str(),
                 fetched.error().what.c_str());
    return kExitFailed;
  }
  if (fetched->status != 200) {
    std::fprintf(stderr, "relay: the relay says: %s\n", fetched->body.c_str());
    return kExitFailed;
  }
  return Tell(fetched->body, done, without_changes);
}

}  // namespace

int RunReload(const Options& options, const Environment& environment) {
  return Ask(SocketOf(options, environment),
             {.method = "POST", .target = "/admin/v1/config/reload"}, "reloaded", "");
}

int RunDiff(const Options& options, const Environment& environment) {
  std::string target = "/admin/v1/config/diff";
  if (options.config_given) {
    std::error_code ignored;
    target +=
        "?file=" + PercentEncode(std::filesystem::absolute(options.config, ignored).string(), "/");
  }
  return Ask(SocketOf(options, environment), {.target = target}, "", "no change");
}

}  // namespace relay
