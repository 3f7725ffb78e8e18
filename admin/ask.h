// SPDX-License-Identifier: MIT
// What commands share that ask a running relay: where it is, and how they complain.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "admin/fetch.h"
#include "admin/options.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/config/units.h"
#include "core/config/yaml.h"

namespace relay {

// Where a running relay keeps its control socket, and where it listens, by what the command line,
// the environment or relay.yaml says.
struct RelayTarget {
  std::string folder;
  std::optional<HostPort> address;

  std::string socket() const;
};
// An int is the exit code after a complaint.
std::expected<RelayTarget, int> FindTarget(const Options& options, const Environment& environment);

// The body of the relay's good answer. What the relay refuses, in its words, and a relay that is
// not there or does not answer, are complained about: the exit code. A change waits for the store,
// which may be far away.
std::expected<std::string, int> AskRelay(const Options& options, const Environment& environment,
                                         const FetchRequest& request,
                                         Duration patience = std::chrono::seconds(20));

// The same of what was fetched from there already.
std::expected<std::string, int> AnswerOf(const RelayTarget& target, Result<Fetched> fetched);

// A relay that is asked several times.
class RunningRelay {
 public:
  explicit RunningRelay(RelayTarget target) : target_(std::move(target)) {}

  Result<Fetched> Fetch(const FetchRequest& request,
                        Duration patience = std::chrono::seconds(10)) const {
    return FetchUnix(target_.socket(), request, patience);
  }
  // As AnswerOf.
  std::expected<std::string, int> Answer(Result<Fetched> fetched) const {
    return AnswerOf(target_, std::move(fetched));
  }
  std::expected<std::string, int> Ask(std::string method, std::string path,
                                      std::string body = "") const {
    return Answer(
        Fetch({.method = std::move(method), .target = std::move(path), .body = std::move(body)}));
  }

 private:
  const RelayTarget target_;
};

// To standard error; returns kExitFailed.
int Complain(const std::string& what);
// The same of an answer that makes no sense.
int NotUnderstood(const Error& why);

// A text of an answer, fit for a terminal; "" where it is not there.
std::string TextIn(const JsonIndex& answer, std::string_view field);

// "2026-11-26 12:00" of "2026-11-26T12:00:00.000Z".
std::string ShortTime(std::string time);

}  // namespace relay
