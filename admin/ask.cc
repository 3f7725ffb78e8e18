// SPDX-License-Identifier: MIT
#include "admin/ask.h"

#include <cstdio>
#include <memory>

#include "admin/load.h"
#include "admin/table.h"
#include "core/base/json.h"

namespace relay {
namespace {

// The message of an error's body, or all of it.
std::string MessageOf(const std::string& body) {
  Result<JsonIndex> object = JsonIndex::Parse(body);
  if (!object) return body;
  // What comes from before the API, such as a body that is too large.
  if (std::optional<std::string> plain = object->Find("error").String()) return *plain;
  Result<JsonIndex> error = JsonIndex::Object(object->Find("error"));
  std::optional<std::string> message = error ? error->Find("message").String() : std::nullopt;
  return message.value_or(body);
}

std::string WhyUnanswered(const std::string& folder, const Error& error) {
  const std::string relay = "the relay with the data folder " + folder;
  switch (error.fault) {
    case Fault::kConnect:
      return "no relay runs with the data folder " + folder + " (" + error.what +
             "); start it, or name its folder with --data";
    case Fault::kForbidden:
      return relay + " is another user's (" + error.what + "); ask as the user that it runs as";
    case Fault::kOverloaded:
      return relay + " takes no further connection now (" + error.what + "); try again";
    default:
      return relay + " gave no answer: " + error.what +
             "; what was asked for may be done all the same";
  }
}

}  // namespace

int Complain(const std::string& what) {
  std::fprintf(stderr, "relay: %s\n", what.c_str());
  return kExitFailed;
}

int NotUnderstood(const Error& why) {
  return Complain("the relay's answer is not understood: " + why.what);
}

std::string TextIn(const JsonIndex& answer, std::string_view field) {
  return Printable(answer.Find(field).String().value_or(""));
}

std::string RelayTarget::socket() const {
  return folder + "/" + std::string(kControlSocket);
}

std::expected<RelayTarget, int> FindTarget(const Options& options, const Environment& environment) {
  RelayTarget target;
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
    std::fputs("relay: --data FOLDER asks a relay that runs, without a look into that file\n",
               stderr);
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

std::expected<std::string, int> AskRelay(const Options& options, const Environment& environment,
                                         const FetchRequest& request, Duration patience) {
  std::expected<RelayTarget, int> target = FindTarget(options, environment);
  if (!target) return std::unexpected(target.error());
  return AnswerOf(*target, FetchUnix(target->socket(), request, patience));
}

std::expected<std::string, int> AnswerOf(const RelayTarget& target, Result<Fetched> fetched) {
  if (!fetched) return std::unexpected(Complain(WhyUnanswered(target.folder, fetched.error())));
  if (fetched->status < 200 || fetched->status > 299) {
    return std::unexpected(Complain(MessageOf(fetched->body)));
  }
  return std::move(fetched->body);
}

std::string ShortTime(std::string time) {
  if (time.size() < 16) return time;
  time[10] = ' ';
  return time.substr(0, 16);
}

}  // namespace relay
