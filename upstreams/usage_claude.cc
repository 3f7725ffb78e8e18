// SPDX-License-Identifier: MIT
// Usage in Anthropic's Messages API (platform.claude.com: "Streaming messages", "Prompt caching",
// "Compaction"): message_start tells the input, message_delta overlays it with the final counts.
#include <utility>

#include "core/base/json.h"
#include "upstreams/answer_meter.h"

namespace relay {
namespace {

constexpr size_t kUsageKept = size_t{64} << 10;
constexpr size_t kNameKept = 256;

enum Path : size_t {
  kUsage,
  kStartUsage,
  kModel,
  kStartModel,
  kType,
  kDeltaText,
  kDeltaJson,
  kDeltaThinking,
  kText,
  kThinking,
  kInput,
};

const JsonPaths& Paths() {
  static const JsonPaths kPaths{
      {"usage", kUsageKept},        {"message.usage", kUsageKept}, {"model", kNameKept},
      {"message.model", kNameKept}, {"type", kNameKept},           {"delta.text", 0},
      {"delta.partial_json", 0},    {"delta.thinking", 0},         {"content.[].text", 0},
      {"content.[].thinking", 0},   {"content.[].input", 0},
  };
  return kPaths;
}

int64_t Count(const JsonIndex& object, std::string_view name, int64_t otherwise = 0) {
  std::optional<int64_t> count = object.Find(name).Int();
  return count && *count >= 0 ? *count : otherwise;
}

std::optional<JsonIndex> Inner(const JsonIndex& object, std::string_view name) {
  JsonValue value = object.Find(name);
  if (!value.Is(JsonKind::kObject)) return std::nullopt;
  Result<JsonIndex> index = JsonIndex::Object(value);
  if (!index) return std::nullopt;
  return std::move(*index);
}

void AddCounts(Usage& to, const Usage& other, int64_t times) {
  to.input += times * other.input;
  to.output += times * other.output;
  to.cache_read += times * other.cache_read;
  to.cache_write_5m += times * other.cache_write_5m;
  to.cache_write_1h += times * other.cache_write_1h;
}

class ClaudeMeter final : public AnswerMeter {
 public:
  explicit ClaudeMeter(MeterSeed seed) : AnswerMeter(std::move(seed), Paths()) {}

 protected:
  void OnValue(size_t path, std::string_view raw, size_t size) override;
  void OnWhole() override { ended_ = true; }

 private:
  void Overlay(std::string_view raw);
  void OverlayWrites(const JsonIndex& usage);
  void AddIterations(const JsonValue& iterations);

  // By iterations that the top level of `usage` leaves out: a part of usage_. Null: none were told.
  std::unique_ptr<Usage> apart_;
};

void ClaudeMeter::OnValue(size_t path, std::string_view raw, size_t size) {
  switch (path) {
    case kUsage: final_ = true; [[fallthrough]];
    case kStartUsage: Overlay(raw); break;
    case kModel:
    case kStartModel:
      if (!Unquote(raw).empty()) usage_.model = Unquote(raw);
      break;
    case kType:
      if (Unquote(raw) == "message_stop") ended_ = true;
      if (Unquote(raw) == "error") error_ = true;
      break;
    default: AddText(size); break;
  }
}

// Counts that are given replace those given before; they are sums already.
void ClaudeMeter::Overlay(std::string_view raw) {
  Result<JsonIndex> usage = JsonIndex::Parse(raw);
  if (!usage) return;
  seen_ = true;
  if (apart_ != nullptr) AddCounts(usage_, *apart_, -1);
  usage_.input = Count(*usage, "input_tokens", usage_.input);
  usage_.output = Count(*usage, "output_tokens", usage_.output);
  usage_.cache_read = Count(*usage, "cache_read_input_tokens", usage_.cache_read);
  OverlayWrites(*usage);
  if (auto details = Inner(*usage, "output_tokens_details")) {
    usage_.reasoning = Count(*details, "thinking_tokens", usage_.reasoning);
  }
  if (auto tools = Inner(*usage, "server_tool_use")) {
    usage_.searches = Count(*tools, "web_search_requests", usage_.searches);
  }
  if (JsonValue speed = usage->Find("speed")) usage_.fast = speed.Equals("fast");
  if (JsonValue geo = usage->Find("inference_geo")) usage_.us_only = geo.Equals("us");
  AddIterations(usage->Find("iterations"));

  if (apart_ != nullptr) AddCounts(usage_, *apart_, 1);
  usage_.estimated = apart_ != nullptr && apart_->estimated;
}

// The sum of cache writes is always told, how it divides not: message_delta leaves that out, and
// what is not known to be for an hour is for five minutes.
void ClaudeMeter::OverlayWrites(const JsonIndex& usage) {
  int64_t sum = Count(usage, "cache_creation_input_tokens", -1);
  if (auto writes = Inner(usage, "cache_creation")) {
    usage_.cache_write_5m = Count(*writes, "ephemeral_5m_input_tokens");
    usage_.cache_write_1h = Count(*writes, "ephemeral_1h_input_tokens");
  }
  if (sum < 0 || sum == usage_.cache_write_5m + usage_.cache_write_1h) return;
  usage_.cache_write_1h = std::min(usage_.cache_write_1h, sum);
  usage_.cache_write_5m = sum - usage_.cache_write_1h;
}

// A compaction within the request, and an adviser's model, are billed but not in the top level's
// counts. The adviser has a model and price of its own, which makes the sum a guess.
void ClaudeMeter::AddIterations(const JsonValue& iterations) {
  if (!iterations.Is(JsonKind::kArray)) return;
  apart_.reset();
  for (JsonArray list(iterations); JsonValue item = list.Next();) {
    Result<JsonIndex> one = JsonIndex::Object(item);
    if (!one) continue;
    bool adviser = one->Find("type").Equals("advisor_message");
    if (!adviser && !one->Find("type").Equals("compaction")) continue;
    if (apart_ == nullptr) apart_ = std::make_unique<Usage>();
    apart_->input += Count(*one, "input_tokens");
    apart_->output += Count(*one, "output_tokens");
    apart_->cache_read += Count(*one, "cache_read_input_tokens");
    int64_t hour = 0;
    if (auto writes = Inner(*one, "cache_creation")) {
      hour = Count(*writes, "ephemeral_1h_input_tokens");
    }
    apart_->cache_write_1h += hour;
    apart_->cache_write_5m +=
        std::max<int64_t>(Count(*one, "cache_creation_input_tokens") - hour, 0);
    apart_->estimated |= adviser;
  }
}

}  // namespace

std::unique_ptr<UsageMeter> MakeClaudeMeter(MeterSeed seed) {
  return std::make_unique<ClaudeMeter>(std::move(seed));
}

}  // namespace relay
