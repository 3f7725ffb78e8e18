// SPDX-License-Identifier: MIT
#include "admin/commands.h"

#include <cstdio>
#include <memory>
#include <optional>

#include "admin/fetch.h"
#include "admin/load.h"
#include "admin/usage_report.h"

namespace relay {
namespace {

constexpr Duration kPatience = std::chrono::seconds(4);  // of a container's health check: 5 s

int Complain(const std::string& what) {
  std::fprintf(stderr, "relay: %s\n", what.c_str());
  return kExitFailed;
}

// Where a running relay keeps its control socket, and where it listens, by what the command line,
// the environment or relay.yaml says.
struct Target {
  std::string folder;
  std::optional<HostPort> address;
};

// An int is the exit code after a complaint.
std::expected<Target, int> FindTarget(const Options& options, const Environment& environment) {
  Target target;
  if (!options.data.empty()) {
    target.folder = options.data;
    return target;
  }
  std::optional<std::string> folder = environment("RELAY_DATA");
  if (!options.config_given && folder && folder->starts_with('/')) {
    target.folder = *folder;
    return target;
  }
  Problems problems;
  std::shared_ptr<const Config> config = LoadConfig(options.config, environment, problems);
  if (problems.failed()) {
    Report(*config, problems);
    return std::unexpected(kExitUsage);
  }
  target.folder = DataFolderOf(*config, environment);
  for (const ListenerConfig& listener : config->listeners) {
    if (listener.tls || listener.address.port == 0) continue;
    target.address = listener.address;
    break;
  }
  return target;
}

std::string SocketIn(const std::string& folder) {
  return folder + "/" + std::string(kControlSocket);
}

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

std::expected<std::string, int> FindControlSocket(const Options& options,
                                                  const Environment& environment) {
  std::expected<Target, int> target = FindTarget(options, environment);
  if (!target) return std::unexpected(target.error());
  return SocketIn(target->folder);
}

int RunUsage(const Options& options, const Environment& environment) {
  std::expected<Target, int> target = FindTarget(options, environment);
  if (!target) return target.error();
  std::string path = "/admin/v1/usage?by=" + std::string(NameOf(options.by));
  Result<Fetched> fetched = FetchUnix(SocketIn(target->folder), {.target = path}, kPatience);
  if (!fetched) {
    return Complain("no relay runs with the data folder " + target->folder + " (" +
                    fetched.error().what + "); usage is told by the one that serves");
  }
  if (fetched->status != 200) return Complain("the relay says: " + fetched->body);
  if (options.json) {
    std::printf("%s\n", fetched->body.c_str());
    return kExitOk;
  }
  Result<std::string> table = UsageTable(fetched->body);
  if (!table) return Complain("the relay's answer is not understood: " + table.error().what);
  std::fputs(table->c_str(), stdout);
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
  std::expected<Target, int> target = FindTarget(options, environment);
  if (!target) return target.error();
  std::string socket = SocketIn(target->folder);
  Result<Fetched> fetched = FetchUnix(socket, {.target = "/health"}, kPatience);
  if (fetched || !target->address) return TellHealth(fetched, socket);
  // A relay without a writable data folder has no control socket.
  Url url{false, Reachable(target->address->host), target->address->port, ""};
  return TellHealth(FetchUrl(url, {.target = "/health"}, kPatience), FormatUrl(url));
}

}  // namespace relay
