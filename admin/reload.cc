// SPDX-License-Identifier: MIT
#include "admin/reload.h"

#include <algorithm>
#include <set>
#include <utility>

#include "admin/check.h"
#include "admin/load.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/config/outline.h"

namespace relay {
namespace {

// What stays as it is while the process runs, as paths of the outline.
const Outline::Path kStays[] = {
    {"workers"}, {"time-zone"}, {"limits", "buffered-bytes"}, {"store"}, {"secrets"}};

// The one on the same address; on port 0 several may be, and go by their order.
const ListenerConfig* FindListener(const Config& config, const HostPort& address, size_t ordinal) {
  for (const ListenerConfig& listener : config.listeners) {
    if (listener.address == address && ordinal-- == 0) return &listener;
  }
  return nullptr;
}

// A listener that came or went; what changes of one that stays has a longer path.
bool IsListener(const Outline::Path& path) {
  return path.size() == 2 && path[0] == "listeners";
}

bool NeedsRestart(const Outline::Path& path) {
  return IsListener(path) ||
         std::any_of(std::begin(kStays), std::end(kStays), [&](const Outline::Path& stays) {
           return path.size() >= stays.size() &&
                  std::equal(stays.begin(), stays.end(), path.begin());
         });
}

Outline KeepOutline(const Outline& running, Outline fresh) {
  for (const Outline::Path& path : kStays) fresh.Copy(path, running);
  std::set<Outline::Path> listeners;
  for (const Outline* outline : {&running, static_cast<const Outline*>(&fresh)}) {
    for (const auto& [path, entry] : outline->entries()) {
      if (IsListener(path)) listeners.insert(path);
    }
  }
  for (const Outline::Path& path : listeners) {
    bool both = running.entries().contains(path) && fresh.entries().contains(path);
    if (!both) fresh.Copy(path, running);
  }
  return fresh;
}

ReloadOutcome Refused(std::string why) {
  ReloadOutcome outcome;
  outcome.problems.push_back(std::move(why));
  return outcome;
}

void AddTexts(JsonText& json, std::string_view name, const std::vector<std::string>& texts) {
  json.Key(name).BeginArray();
  for (const std::string& text : texts) json.String(text);
  json.EndArray();
}

}  // namespace

std::string ReloadOutcome::Json() const {
  JsonText json;
  json.BeginObject().Field("good", good()).Field("tests_failed", tests_failed);
  AddTexts(json, "problems", problems);
  AddTexts(json, "notes", notes);
  json.Key("changes").BeginArray();
  for (const Change& change : changes) {
    json.BeginObject().Field("text", change.text);
    json.Field("needs_restart", change.needs_restart).EndObject();
  }
  return json.EndArray().EndObject().Take();
}

std::shared_ptr<const Config> KeepWhatStays(const Config& running, const Config& fresh) {
  auto kept = std::make_shared<Config>(fresh);
  kept->workers = running.workers;
  kept->time_zone = running.time_zone;
  kept->buffered_bytes = running.buffered_bytes;
  kept->store = running.store;
  kept->secrets = running.secrets;
  kept->listeners = running.listeners;
  for (auto at = kept->listeners.begin(); at != kept->listeners.end(); ++at) {
    ListenerConfig& listener = *at;
    auto ordinal = std::count_if(kept->listeners.begin(), at, [&](const ListenerConfig& earlier) {
      return earlier.address == listener.address;
    });
    const ListenerConfig* same =
        FindListener(fresh, listener.address, static_cast<size_t>(ordinal));
    if (same == nullptr) continue;
    listener.tls = same->tls;
    listener.limits = same->limits;
    listener.trusted_proxies = same->trusted_proxies;
    listener.place = same->place;
  }
  kept->outline = KeepOutline(running.outline, fresh.outline);
  return kept;
}

Reloader::Reloader(Loop& loop, Services& services, std::string path, Environment environment,
                   Done told)
    : loop_(loop),
      services_(services),
      path_(std::move(path)),
      environment_(std::move(environment)),
      told_(std::move(told)),
      watch_(loop, [this] { Reload("a changed file"); }),
      applied_(services.metrics.MakeCounter("relay_config_reloads_total",
                                            "Reloads of relay.yaml by what came of them",
                                            {{"result", "applied"}})),
      refused_(services.metrics.MakeCounter("relay_config_reloads_total",
                                            "Reloads of relay.yaml by what came of them",
                                            {{"result", "refused"}})),
      successful_(services.metrics.MakeGauge("relay_config_last_reload_successful",
                                             "0 while relay.yaml is not what is in force")),
      when_(services.metrics.MakeGauge("relay_config_last_reload_success_timestamp_seconds",
                                       "When what is in force was read")),
      restart_(services.metrics.MakeGauge("relay_config_restart_needed",
                                          "1 while relay.yaml says what only a restart changes")) {
  successful_.Set(1);
  when_.Set(std::chrono::duration<double>(services.clock.Wall().time_since_epoch()).count());
  WatchFiles({services.current()->config.get()});
}

Reloader::~Reloader() {
  if (thread_.joinable()) thread_.join();
}

void Reloader::WatchFiles(std::initializer_list<const Config*> configs) {
  std::vector<std::string> files = {path_};
  for (const Config* config : configs) {
    files.insert(files.end(), config->files.begin(), config->files.end());
    for (const ListenerConfig& listener : config->listeners) {
      if (!listener.tls) continue;
      files.push_back(listener.tls->certificate);
      files.push_back(listener.tls->key);
    }
  }
  if (Result<Unit> watched = watch_.Set(files); !watched) {
    Log(LogLevel::kWarn, "not all files are watched",
        {{"why", watched.error().what}, {"hint", "SIGHUP or `relay reload` reads them anew"}});
  }
}

void Reloader::Reload(std::string cause, Done done) {
  // One that has not begun yet will read what is there then.
  bool waits = jobs_.size() > 1 && !jobs_.back().cause.empty();
  if (!waits) jobs_.push_back({std::move(cause), path_, {}});
  if (done) jobs_.back().done.push_back(std::move(done));
  if (!waits && jobs_.size() == 1) Begin();
}

void Reloader::Compare(std::string path, Done done) {
  if (path.empty()) path = path_;
  jobs_.push_back({"", std::move(path), {}});
  jobs_.back().done.push_back(std::move(done));
  if (jobs_.size() == 1) Begin();
}

void Reloader::Begin() {
  const Job& job = jobs_.front();
  if (!job.cause.empty()) watch_.Note();
  thread_ = std::thread([this, path = job.path] {
    auto checked = std::make_shared<Checked>(Check(path));
    loop_.Post([this, checked] { Finish(std::move(*checked)); });
  });
}

// On the thread beside.
Reloader::Checked Reloader::Check(const std::string& path) const {
  Checked checked;
  Problems problems;
  checked.config = LoadChecked(path, environment_, problems);
  std::vector<std::string> lines = ReportLines(*checked.config, problems);
  if (problems.failed()) {
    checked.outcome.problems = std::move(lines);
    return checked;
  }
  checked.outcome.notes = std::move(lines);
  for (TestOutcome& test : RunConfigTests(checked.config)) {
    if (test.kind != TestOutcome::Kind::kFailed) continue;
    checked.outcome.problems.push_back(std::move(test.line));
    checked.outcome.tests_failed = true;
  }
  return checked;
}

void Reloader::Finish(Checked checked) {
  thread_.join();
  Job job = std::move(jobs_.front());
  ReloadOutcome& outcome = checked.outcome;
  if (outcome.good()) {
    const std::shared_ptr<const Snapshot> running = services_.current();
    for (OutlineChange& change : DiffOutlines(running->config->outline, checked.config->outline)) {
      outcome.changes.push_back({std::move(change.text), NeedsRestart(change.path)});
    }
  }
  if (!job.cause.empty()) Apply(job.cause, checked);
  for (const Done& done : job.done) done(outcome);
  jobs_.pop_front();
  if (!jobs_.empty()) Begin();
}

void Reloader::Apply(const std::string& cause, Checked& checked) {
  ReloadOutcome& outcome = checked.outcome;
  const std::shared_ptr<const Snapshot> running = services_.current();
  if (outcome.good()) {
    std::shared_ptr<const Config> kept = KeepWhatStays(*running->config, *checked.config);
    auto built = services_.Build(kept, running->stored);
    if (built) {
      ChangeLog(kept->log.level, kept->log.format == LogFormat::kJson);
      services_.Publish(std::move(*built));
      WatchFiles({kept.get()});
    } else {
      outcome = Refused(built.error().what);
    }
  }
  // What it lacks may come: a file that it names.
  if (!outcome.good()) WatchFiles({running->config.get(), checked.config.get()});
  bool good = outcome.good();
  (good ? applied_ : refused_).Add();
  successful_.Set(good ? 1 : 0);
  if (good) {
    when_.Set(std::chrono::duration<double>(services_.clock.Wall().time_since_epoch()).count());
    bool restart = std::any_of(outcome.changes.begin(), outcome.changes.end(),
                               [](const auto& change) { return change.needs_restart; });
    restart_.Set(restart ? 1 : 0);
  }
  LogOutcome(cause, outcome);
  told_(outcome);
}

void Reloader::LogOutcome(const std::string& cause, const ReloadOutcome& outcome) const {
  for (const std::string& problem : outcome.problems) {
    Log(LogLevel::kError, "reload refused", {{"cause", cause}, {"problem", problem}});
  }
  if (!outcome.good()) return;
  for (const std::string& note : outcome.notes) {
    Log(LogLevel::kWarn, "configuration", {{"note", note}});
  }
  for (const ReloadOutcome::Change& change : outcome.changes) {
    if (change.needs_restart) {
      Log(LogLevel::kWarn, "needs a restart", {{"change", change.text}});
    } else {
      Log(LogLevel::kInfo, "configuration changed", {{"change", change.text}});
    }
  }
  Log(LogLevel::kInfo, "reloaded",
      {{"cause", cause}, {"changes", static_cast<uint64_t>(outcome.changes.size())}});
}

}  // namespace relay
