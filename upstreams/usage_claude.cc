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

  Usage told_;   // by the top level of `usage`
  Usage apart_;  // by iterations that the top level leaves out
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
  told_.input = Count(*usage, "input_tokens", told_.input);
  told_.output = Count(*usage, "output_tokens", told_.output);
  told_.cache_read = Count(*usage, "cache_read_input_tokens", told_.cache_read);
  OverlayWrites(*usage);
  if (auto details = Inner(*usage, "output_tokens_details")) {
    told_.reasoning = Count(*details, "thinking_tokens", told_.reasoning);
  }
  if (auto tools = Inner(*usage, "server_tool_use")) {
    told_.searches = Count(*tools, "web_search_requests", told_.searches);
  }
  if (JsonValue speed = usage->Find("speed")) told_.fast = speed.Equals("fast");
  if (JsonValue geo = usage->Find("inference_geo")) told_.us_only = geo.Equals("us");
  AddIterations(usage->Find("iterations"));

  std::string model = std::move(usage_.model);
  usage_ = told_;
  usage_.model = std::move(model);
  usage_.input += apart_.input;
  usage_.output += apart_.output;
  usage_.cache_read += apart_.cache_read;
  usage_.cache_write_5m += apart_.cache_write_5m;
  usage_.cache_write_1h += apart_.cache_write_1h;
  usage_.estimated = apart_.estimated;
}

// The sum of cache writes is always told, how it divides not: message_delta leaves that out, and
// what is not known to be for an hour is for five minutes.
void ClaudeMeter::OverlayWrites(const JsonIndex& usage) {
  int64_t sum = Count(usage, "cache_creation_input_tokens", -1);
  if (auto writes = Inner(usage, "cache_creation")) {
    told_.cache_write_5m = Count(*writes, "ephemeral_5m_input_tokens");
    told_.cache_write_1h = Count(*writes, "ephemeral_1h_input_tokens");
  }
  if (sum < 0 || sum == told_.cache_write_5m + told_.cache_write_1h) return;
  told_.cache_write_1h = std::min(told_.cache_write_1h, sum);
  told_.cache_write_5m = sum - told_.cache_write_1h;
}

// A compaction within the request, and an adviser's model, are billed but not in the top level's
// counts. The adviser has a model and price of its own, which makes the sum a guess.
void ClaudeMeter::AddIterations(const JsonValue& iterations) {
  if (!iterations.Is(JsonKind::kArray)) return;
  apart_ = Usage();
  for (JsonArray list(iterations); JsonValue item = list.Next();) {
    Result<JsonIndex> one = JsonIndex::Object(item);
    if (!one) continue;
    bool adviser = one->Find("type").Equals("advisor_message");
    if (!adviser && !one->Find("type").Equals("compaction")) continue;
    apart_.input += Count(*one, "input_tokens");
    apart_.output += Count(*one, "output_tokens");
    apart_.cache_read += Count(*one, "cache_read_input_tokens");
    int64_t hour = 0;
    if (auto writes = Inner(*one, "cache_creation")) {
      hour = Count(*writes, "ephemeral_1h_input_tokens");
    }
    apart_.cache_write_1h += hour;
    apart_.cache_write_5m +=
        std::max<int64_t>(Count(*one, "cache_creation_input_tokens") - hour, 0);
    apart_.estimated |= adviser;
  }
}

}  // namespace

std::unique_ptr<UsageMeter> MakeClaudeMeter(MeterSeed seed) {
  return std::make_unique<ClaudeMeter>(std::move(seed));
}

}  // namespace relay
