// SPDX-License-Identifier: MIT
#include "admin/alert_states.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "core/base/json.h"

namespace relay {
namespace {

using std::chrono::milliseconds;

// {"event":"refused","thing":"account claude/max","subject":"account claude/max (opus)",
//  "at":ms,"told":true,"percent":80}
std::string TextOf(const AlertBook::Kept& kept) {
  auto at = std::chrono::duration_cast<milliseconds>(kept.told_at.time_since_epoch());
  JsonText json;
  json.BeginObject().Field("event", NameOf(kept.event)).Field("thing", kept.thing);
  json.Field("subject", kept.subject).Field("at", int64_t{at.count()}).Field("told", kept.told);
  if (kept.percent != 0) json.Field("percent", kept.percent);
  return json.EndObject().Take();
}

std::optional<AlertBook::Kept> KeptOf(std::string_view condition, std::string_view text) {
  auto json = JsonIndex::Parse(text);
  if (!json) return std::nullopt;
  auto text_at = [&](std::string_view name) { return json->Find(name).String().value_or(""); };
  const std::string event = text_at("event");
  auto words = WordsOf(AlertEvent{});
  auto word = std::ranges::find(words, event, &Word<AlertEvent>::text);
  if (word == words.end() || condition.empty()) return std::nullopt;
  AlertBook::Kept kept;
  kept.id = condition;
  kept.event = word->value;
  kept.thing = text_at("thing");
  kept.subject = text_at("subject");
  kept.told_at = WallTime(milliseconds(json->Find("at").Int().value_or(0)));
  kept.told = json->Find("told").Bool().value_or(false);
  kept.percent =
      static_cast<int>(std::clamp<int64_t>(json->Find("percent").Int().value_or(0), 0, 1000));
  return kept;
}

}  // namespace

void AlertStates::Put(std::string_view receiver, const std::vector<AlertBook::Change>& changes) {
  if (changes.empty()) return;
  {
    std::lock_guard lock(mutex_);
    for (const AlertBook::Change& change : changes) {
      std::string id = std::string(receiver) + "/" + change.id;
      changed_[std::move(id)] = change.kept ? TextOf(*change.kept) : "";
    }
  }
  bell_.Ring();
}

std::vector<AlertBook::Kept> AlertStates::TakeRestored(std::string_view receiver) {
  std::lock_guard lock(mutex_);
  auto at = restored_.find(receiver);
  if (at == restored_.end()) return {};
  std::vector<AlertBook::Kept> kept = std::move(at->second);
  restored_.erase(at);
  return kept;
}

void AlertStates::TakeChanged(std::vector<StateBlob>& to) {
  std::lock_guard lock(mutex_);
  for (auto& [id, value] : std::exchange(changed_, {})) {
    to.push_back({std::string(kind()), id, value});
  }
}

std::vector<std::string> AlertStates::Restore(const std::vector<StateBlob>& blobs) {
  std::vector<std::string> gone;
  std::lock_guard lock(mutex_);
  for (const StateBlob& blob : blobs) {
    const std::string_view id = blob.id;
    size_t slash = std::min(id.find('/'), id.size());
    std::string_view receiver = id.substr(0, slash);
    auto kept = knows_(receiver) ? KeptOf(id.substr(std::min(slash + 1, id.size())), blob.value)
                                 : std::nullopt;
    if (kept) {
      restored_[std::string(receiver)].push_back(std::move(*kept));
    } else {
      gone.push_back(blob.id);
    }
  }
  return gone;
}

}  // namespace relay
