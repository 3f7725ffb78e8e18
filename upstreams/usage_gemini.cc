// SPDX-License-Identifier: MIT
// Usage in Google's generateContent (ai.google.dev/api/generate-content, UsageMetadata): each
// chunk of a stream may tell it, the last that does is right. The prompt's count holds the cached
// part; thinking stands beside the candidates' count and is billed as output.
#include <algorithm>
#include <utility>

#include "core/base/json.h"
#include "upstreams/answer_meter.h"

namespace relay {
namespace {

constexpr size_t kUsageKept = size_t{64} << 10;
constexpr size_t kNameKept = 256;

// What a path means. Each stands four times in the list: plain, in Code Assist's envelope, and
// both of them as an element of an array.
enum Meaning : size_t {
  kUsage,
  kModel,
  kFinishReason,
  kBlockReason,
  kText,
  kCall,
  kError,
  kMeanings,
};

const JsonPaths& Paths() {
  static const JsonPaths kPaths{
      {"usageMetadata", kUsageKept},
      {"modelVersion", kNameKept},
      {"candidates.[].finishReason", kNameKept},
      {"promptFeedback.blockReason", kNameKept},
      {"candidates.[].content.parts.[].text", 0},
      {"candidates.[].content.parts.[].functionCall", 0},
      {"error", 4},
      {"response.usageMetadata", kUsageKept},
      {"response.modelVersion", kNameKept},
      {"response.candidates.[].finishReason", kNameKept},
      {"response.promptFeedback.blockReason", kNameKept},
      {"response.candidates.[].content.parts.[].text", 0},
      {"response.candidates.[].content.parts.[].functionCall", 0},
      {"response.error", 4},
      {"[].usageMetadata", kUsageKept},
      {"[].modelVersion", kNameKept},
      {"[].candidates.[].finishReason", kNameKept},
      {"[].promptFeedback.blockReason", kNameKept},
      {"[].candidates.[].content.parts.[].text", 0},
      {"[].candidates.[].content.parts.[].functionCall", 0},
      {"[].error", 4},
      {"[].response.usageMetadata", kUsageKept},
      {"[].response.modelVersion", kNameKept},
      {"[].response.candidates.[].finishReason", kNameKept},
      {"[].response.promptFeedback.blockReason", kNameKept},
      {"[].response.candidates.[].content.parts.[].text", 0},
      {"[].response.candidates.[].content.parts.[].functionCall", 0},
      {"[].response.error", 4},
      // Embeddings tell no usage.
      {"embedding", 0},
      {"embeddings", 0},
  };
  return kPaths;
}
constexpr size_t kEmbedding = 4 * kMeanings;

class GeminiMeter final : public AnswerMeter {
 public:
  explicit GeminiMeter(MeterSeed seed) : AnswerMeter(seed, Paths()), candidates_(seed.candidates) {}

 protected:
  void OnValue(size_t path, std::string_view raw, size_t size) override;

 private:
  void Replace(std::string_view raw);

  const int64_t candidates_;
  int64_t finished_ = 0;  // of them
};

void GeminiMeter::OnValue(size_t path, std::string_view raw, size_t size) {
  if (path >= kEmbedding) {
    guess_input_ = ended_ = true;
    return;
  }
  switch (path % kMeanings) {
    case kUsage: Replace(raw); break;
    case kModel:
      if (!Unquote(raw).empty()) usage_.model = Unquote(raw);
      break;
    case kFinishReason:
    case kBlockReason:
      // null and FINISH_REASON_UNSPECIFIED are said of what goes on.
      if (Unquote(raw).empty() || raw.ends_with("_UNSPECIFIED\"")) break;
      may_end_ = true;
      // A prompt that is blocked has no candidate.
      if (path % kMeanings == kBlockReason || ++finished_ >= candidates_) ended_ = true;
      break;
    case kError: error_ = raw != "null"; break;
    default: AddText(size); break;
  }
  // Until the end every count is only so far.
  final_ = seen_ && ended_;
}

void GeminiMeter::Replace(std::string_view raw) {
  Result<JsonIndex> told = JsonIndex::Parse(raw);
  if (!told) return;
  auto count = [&](std::string_view name) {
    return std::max<int64_t>(told->Find(name).Int().value_or(0), 0);
  };
  int64_t prompt = count("promptTokenCount");
  int64_t thoughts = count("thoughtsTokenCount");
  // An early chunk may have nothing but the model's traffic type.
  if (prompt == 0 && count("totalTokenCount") == 0) return;
  seen_ = true;
  usage_.cache_read = std::min(count("cachedContentTokenCount"), prompt);
  usage_.input = prompt - usage_.cache_read + count("toolUsePromptTokenCount");
  usage_.reasoning = thoughts;
  usage_.output = count("candidatesTokenCount") + thoughts;
}

}  // namespace

std::unique_ptr<UsageMeter> MakeGeminiMeter(MeterSeed seed) {
  return std::make_unique<GeminiMeter>(std::move(seed));
}

}  // namespace relay
