// SPDX-License-Identifier: MIT
#include "core/store/budget_states.h"

#include <chrono>
#include <optional>

#include "core/base/json.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using Moment = Limiter::Kept::Moment;

void AppendMoments(JsonText& json, std::string_view name, const std::vector<Moment>& moments) {
  if (moments.empty()) return;
  json.Key(name).BeginArray();
  for (const Moment& moment : moments) {
    auto when = std::chrono::duration_cast<milliseconds>(moment.when.time_since_epoch());
    json.BeginArray().Int(when.count()).Int(moment.amount).EndArray();
  }
  json.EndArray();
}

std::vector<Moment> MomentsOf(const JsonValue& list) {
  std::vector<Moment> moments;
  for (JsonArray items(list); JsonValue item = items.Next();) {
    JsonArray pair(item);
    std::optional<int64_t> when = pair.Next().Int();
    std::optional<int64_t> amount = pair.Next().Int();
    if (when && amount) moments.push_back({WallTime(milliseconds(*when)), *amount});
  }
  return moments;
}

// {"starts":[[ms,1]],"tokens":[[ms,900]],"day":20783,"spent":[…],"five_hours":[[ms,nanodollars]]}
std::string TextOf(const Limiter::Kept& kept) {
  Spending spending = kept.spending;
  int32_t day = spending.day();
  const CostAmounts& spent = spending.SpentOn(day);
  bool any_spent = spent != CostAmounts();
  const FiveHours& five = kept.five_hours;
  if (kept.starts.empty() && kept.tokens.empty() && !any_spent && five.spent() == 0) return {};
  JsonText json;
  json.BeginObject();
  AppendMoments(json, "starts", kept.starts);
  AppendMoments(json, "tokens", kept.tokens);
  if (any_spent) {
    json.Field("day", day).Key("spent").BeginArray();
    for (int64_t amount : spent) json.Int(amount);
    json.EndArray();
  }
  if (five.spent() > 0) AppendMoments(json, "five_hours", {{five.began(), five.spent()}});
  return json.EndObject().Take();
}

std::optional<Limiter::Kept> KeptOf(const StateBlob& blob) {
  auto json = JsonIndex::Parse(blob.value);
  if (!json) return std::nullopt;
  Limiter::Kept kept{.scope = blob.id};
  kept.starts = MomentsOf(json->Find("starts"));
  kept.tokens = MomentsOf(json->Find("tokens"));
  std::vector<Moment> five = MomentsOf(json->Find("five_hours"));
  if (!five.empty()) kept.five_hours = FiveHours(five[0].when, five[0].amount);
  CostAmounts spent{};
  JsonArray amounts(json->Find("spent"));
  for (int64_t& amount : spent) amount = amounts.Next().Int().value_or(0);
  kept.spending = Spending(static_cast<int32_t>(json->Find("day").Int().value_or(0)), spent);
  return kept;
}

}  // namespace

void BudgetStates::TakeChanged(std::vector<StateBlob>& to) {
  for (const Limiter::Kept& kept : limiter_.TakeChanged()) {
    to.push_back({std::string(kind()), kept.scope, TextOf(kept)});
  }
}

std::vector<std::string> BudgetStates::Restore(const std::vector<StateBlob>& blobs) {
  std::vector<std::string> gone;
  for (const StateBlob& blob : blobs) {
    std::optional<Limiter::Kept> kept = knows_(blob.id) ? KeptOf(blob) : std::nullopt;
    if (!kept || !limiter_.Restore(*kept)) gone.push_back(blob.id);
  }
  return gone;
}

}  // namespace relay
