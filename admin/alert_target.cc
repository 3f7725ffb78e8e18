// SPDX-License-Identifier: MIT
#include "admin/alert_target.h"

#include <algorithm>
#include <array>
#include <utility>

#include "admin/table.h"
#include "core/base/log.h"
#include "upstreams/provider.h"

namespace relay {
namespace {

using namespace std::chrono_literals;

constexpr std::array<Duration, 5> kWaits = {1s, 5s, 30s, 2min, 10min};
// Of what a receiver answers, for people.
constexpr size_t kMostShown = 200;

Counter CounterOf(Metrics& metrics, const std::string& alert, const std::string& result) {
  return metrics.MakeCounter("relay_alerts_total", "Alerts, by what became of them",
                             {{"alert", alert}, {"result", result}});
}

// Without the URL's path and query, which some servers repeat: whoever has them may post there.
std::string Masked(std::string text, const AlertUrl& url) {
  for (const std::string& secret : {url.url.path, url.query}) {
    for (size_t at = 0; secret.size() > 1 && (at = text.find(secret, at)) != text.npos; ++at) {
      text.replace(at, secret.size(), "…");
    }
  }
  return text;
}

// What came of a receiver's answer. 408, 425, 429 and the server's own trouble pass; what it does
// not like today it will not like tomorrow.
AlertOutcome OutcomeOf(const VendorAnswer& answer, const AlertUrl& url, WallTime wall) {
  AlertOutcome outcome;
  int status = answer.status;
  outcome.sent = status / 100 == 2;
  outcome.passes = status == 408 || status == 425 || status == 429 || status / 100 == 5;
  outcome.detail = std::to_string(status);
  if (outcome.sent) return outcome;
  // Cut off behind the mask, not within what it hides.
  std::string said = Printable(Masked(answer.body, url).substr(0, kMostShown));
  if (!said.empty()) outcome.detail += ": " + said;
  outcome.wait = std::min(RetryAfter(answer.head, wall).value_or(Duration::zero()),
                          Duration(AlertTarget::kMostWait));
  return outcome;
}

}  // namespace

Duration AlertTarget::WaitAfter(int failed) {
  auto index = static_cast<size_t>(std::max(failed, 1)) - 1;
  return kWaits[std::min(index, kWaits.size() - 1)];
}

AlertTarget::AlertTarget(VendorCalls& calls, Metrics& metrics, AlertStates& states,
                         AlertConfig config)
    : calls_(calls),
      states_(states),
      config_(std::move(config)),
      sent_(CounterOf(metrics, config_.name, "sent")),
      failed_(CounterOf(metrics, config_.name, "failed")),
      dropped_(CounterOf(metrics, config_.name, "dropped")),
      wake_(calls.loop()) {
  task_ = Run();
  task_.StartOn(calls_.loop(), start_, [](void*) noexcept {}, nullptr);
}

void AlertTarget::Update(const AlertLook& look) {
  Loop& loop = calls_.loop();
  for (const AlertBook::Kept& kept : states_.TakeRestored(config_.name)) {
    book_.Restore(kept, Instant(loop.clock()));
  }
  for (Alert& alert : book_.Update(config_, look, loop.Now(), loop.clock().Wall())) {
    Tell(std::move(alert));
  }
  Keep();
}

void AlertTarget::Keep() {
  if (!waiting_.empty()) return;
  states_.Put(config_.name, book_.TakeChanged(Instant(calls_.loop().clock())));
}

void AlertTarget::Tell(Alert alert) {
  waiting_.push_back(std::move(alert));
  if (waiting_.size() > kMostWaiting) {
    waiting_.erase(waiting_.begin() + 1);
    dropped_.Add();
  }
  wake_.NotifyAll();
}

Task<AlertOutcome> AlertTarget::Post(Alert alert) {
  Loop& loop = calls_.loop();
  AlertUrl to = SplitAlertUrl(config_.url);
  VendorRequest request;
  request.method = "POST";
  request.url = to.url;
  request.query = to.query;
  request.body = AlertBody(config_, alert);
  request.fields.emplace_back("content-type", "application/json");
  if (!config_.secret.empty()) {
    request.fields.emplace_back("x-relay-signature",
                                AlertSignature(config_.secret, request.body, loop.clock().Wall()));
  }
  WayOut way;
  way.proxy = config_.proxy;
  Result<VendorAnswer> answer =
      co_await calls_.Call(std::move(request), std::move(way), loop.Now() + kPatience);
  AlertOutcome outcome;
  if (answer) {
    outcome = OutcomeOf(*answer, to, loop.clock().Wall());
  } else {
    outcome.passes = true;
    outcome.detail = answer.error().what;
  }
  last_ = Last{loop.clock().Wall(), outcome};
  co_return outcome;
}

Task<Unit> AlertTarget::Run() {
  int failed = 0;
  while (true) {
    if (waiting_.empty()) {
      co_await wake_.Wait();
      continue;
    }
    AlertOutcome outcome = co_await Post(waiting_.front());
    if (!outcome.sent) ++failed;
    bool given_up = !outcome.sent && (!outcome.passes || failed >= kTries);
    Note(waiting_.front(), outcome, given_up);
    if (outcome.sent || given_up) {
      (outcome.sent ? sent_ : failed_).Add();
      waiting_.pop_front();
      Keep();
      failed = 0;
      continue;
    }
    Duration wait = std::max(WaitAfter(failed), outcome.wait);
    co_await Sleep(calls_.loop(), wait);
  }
}

// The URL stays out of it: whoever has it may post there.
void AlertTarget::Note(const Alert& alert, const AlertOutcome& outcome, bool given_up) {
  LogLevel level = LogLevel::kInfo;
  std::string_view event = "alert sent";
  if (!outcome.sent) {
    level = LogLevel::kWarn;
    event = given_up ? "alert given up" : "alert not sent yet";
  }
  Log(level, event,
      {{"alert", config_.name},
       {"about", alert.subject},
       {"what", alert.what},
       {"outcome", outcome.detail}});
}

}  // namespace relay
