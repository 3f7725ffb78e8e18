// SPDX-License-Identifier: MIT
#include "upstreams/thinking.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace relay {
namespace {

constexpr std::string_view kOfAnotherModel = R"("skip_thought_signature_validator")";

std::vector<JsonIndex> ObjectsOf(const JsonValue& array) {
  std::vector<JsonIndex> objects;
  JsonArray items(array);
  while (JsonValue item = items.Next()) {
    objects.push_back(JsonIndex::Object(item).value_or(JsonIndex()));
  }
  return objects;
}

bool IsThinking(const JsonIndex& block) {
  JsonValue type = block.Find("type");
  return type.Equals("thinking") || type.Equals("redacted_thinking");
}

std::vector<bool> ThinkingIn(const JsonValue& content) {
  std::vector<bool> which;
  for (const JsonIndex& block : ObjectsOf(content)) which.push_back(IsThinking(block));
  return which;
}

// The model waits for the results of tools that it called.
bool AnswersTools(const JsonIndex& message) {
  std::vector<JsonIndex> blocks = ObjectsOf(message.Find("content"));
  return std::ranges::any_of(
      blocks, [](const JsonIndex& block) { return block.Find("type").Equals("tool_result"); });
}

// Thinking that is switched off cannot be cleared either.
void KeepFromClearing(const JsonIndex& request, Edits& edits) {
  Result<JsonIndex> management = JsonIndex::Object(request.Find("context_management"));
  if (!management) return;
  std::vector<bool> which;
  for (const JsonIndex& edit : ObjectsOf(management->Find("edits"))) {
    which.push_back(edit.Find("type").String().value_or("").starts_with("clear_thinking"));
  }
  edits.RemoveElements(management->Find("edits"), which);
}

}  // namespace

bool TakeOutClaudeThinking(const JsonIndex& request, Edits& edits) {
  JsonValue list = request.Find("messages");
  std::vector<JsonIndex> messages = ObjectsOf(list);
  std::vector<bool> emptied(messages.size());
  bool some = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    JsonValue content = messages[i].Find("content");
    std::vector<bool> which = ThinkingIn(content);
    auto count = std::ranges::count(which, true);
    if (count == 0) continue;
    some = true;
    emptied[i] = static_cast<size_t>(count) == which.size();
    if (!emptied[i]) edits.RemoveElements(content, which);
  }
  if (!some) return false;
  edits.RemoveElements(list, emptied);
  Result<JsonIndex> thinking = JsonIndex::Object(request.Find("thinking"));
  if (thinking && thinking->Find("type").Equals("enabled") && AnswersTools(messages.back())) {
    edits.Set(request, "thinking", R"({"type":"disabled"})");
    KeepFromClearing(request, edits);
  }
  return true;
}

bool TakeOutGeminiThinking(const JsonIndex& request, Edits& edits) {
  bool some = false;
  for (const JsonIndex& content : ObjectsOf(request.Find("contents"))) {
    for (const JsonIndex& part : ObjectsOf(content.Find("parts"))) {
      for (std::string_view name : {"thoughtSignature", "thought_signature"}) {
        JsonValue signature = part.Find(name);
        if (!signature || signature.raw == kOfAnotherModel) continue;
        some = true;
        bool calls = part.Find("functionCall") || part.Find("function_call");
        if (calls) {
          edits.Replace(signature, std::string(kOfAnotherModel));
        } else {
          edits.Remove(part, name);
        }
      }
    }
  }
  return some;
}

}  // namespace relay
