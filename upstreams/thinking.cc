// SPDX-License-Identifier: MIT
#include "upstreams/thinking.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace relay {
namespace {

constexpr std::string_view kOfAnotherModel = R"("skip_thought_signature_validator")";

// Of more, a history that is hardly a conversation, nothing is taken out: it is done on the loop.
constexpr size_t kMostTakenOut = 10'000;

JsonIndex ObjectOf(const JsonValue& value) {
  return JsonIndex::Object(value).value_or(JsonIndex());
}

// What is taken out of one array.
struct Cut {
  JsonValue array;
  std::vector<bool> which;
};

bool IsThinking(const JsonIndex& block) {
  JsonValue type = block.Find("type");
  return type.Equals("thinking") || type.Equals("redacted_thinking");
}

std::vector<bool> ThinkingIn(const JsonValue& content) {
  std::vector<bool> which;
  JsonArray blocks(content);
  while (JsonValue block = blocks.Next()) which.push_back(IsThinking(ObjectOf(block)));
  return which;
}

// The model waits for the results of tools that it called.
bool AnswersTools(const JsonIndex& message) {
  JsonArray blocks(message.Find("content"));
  while (JsonValue block = blocks.Next()) {
    if (ObjectOf(block).Find("type").Equals("tool_result")) return true;
  }
  return false;
}

// Thinking that is switched off cannot be cleared either.
void KeepFromClearing(const JsonIndex& request, Edits& edits) {
  Result<JsonIndex> management = JsonIndex::Object(request.Find("context_management"));
  if (!management) return;
  std::vector<bool> which;
  JsonArray all(management->Find("edits"));
  while (JsonValue edit = all.Next()) {
    std::string type = ObjectOf(edit).Find("type").String().value_or("");
    which.push_back(type.starts_with("clear_thinking"));
  }
  edits.RemoveElements(management->Find("edits"), which);
}

// A part and the field by which another account signed it; "": none has.
struct SignedPart {
  JsonIndex part;
  std::string_view field;
};

SignedPart SignatureOf(JsonIndex part) {
  for (std::string_view field : {"thoughtSignature", "thought_signature"}) {
    JsonValue signature = part.Find(field);
    if (signature && signature.raw != kOfAnotherModel) return {std::move(part), field};
  }
  return {};
}

// Without its signature it would hold no data, which Google refuses, or an empty text, by which a
// stream brings its last signature.
bool OnlySigns(const SignedPart& one) {
  return std::ranges::all_of(one.part.fields(), [&](const JsonField& field) {
    std::string name = one.part.Key(field);
    return name == one.field || name == "thought" ||
           (name == "text" && one.part.Value(field).Equals(""));
  });
}

void TakeOutSignature(const SignedPart& one, Edits& edits) {
  bool calls = one.part.Find("functionCall") || one.part.Find("function_call");
  if (calls) {
    edits.Replace(one.part.Find(one.field), std::string(kOfAnotherModel));
  } else {
    edits.Remove(one.part, one.field);
  }
}

}  // namespace

bool TakeOutClaudeThinking(const JsonIndex& request, Edits& edits) {
  JsonValue list = request.Find("messages");
  std::vector<Cut> cuts;
  std::vector<bool> emptied;
  size_t found = 0;
  JsonIndex last;
  JsonArray messages(list);
  while (JsonValue message = messages.Next()) {
    last = ObjectOf(message);
    JsonValue content = last.Find("content");
    std::vector<bool> which = ThinkingIn(content);
    auto count = static_cast<size_t>(std::ranges::count(which, true));
    found += count;
    if (found > kMostTakenOut) return false;
    emptied.push_back(count > 0 && count == which.size());
    if (count > 0 && !emptied.back()) cuts.push_back({content, std::move(which)});
  }
  if (found == 0) return false;
  for (const Cut& cut : cuts) edits.RemoveElements(cut.array, cut.which);
  edits.RemoveElements(list, emptied);
  JsonIndex thinking = ObjectOf(request.Find("thinking"));
  if (thinking.Find("type").Equals("enabled") && AnswersTools(last)) {
    edits.Set(request, "thinking", R"({"type":"disabled"})");
    KeepFromClearing(request, edits);
  }
  return true;
}

bool TakeOutGeminiThinking(const JsonIndex& request, Edits& edits) {
  JsonValue list = request.Find("contents");
  std::vector<SignedPart> signed_parts;
  std::vector<Cut> cuts;
  std::vector<bool> emptied;
  size_t found = 0;
  JsonArray contents(list);
  while (JsonValue content = contents.Next()) {
    JsonValue parts = ObjectOf(content).Find("parts");
    std::vector<bool> which;
    JsonArray all(parts);
    while (JsonValue part = all.Next()) {
      SignedPart one = SignatureOf(ObjectOf(part));
      which.push_back(!one.field.empty() && OnlySigns(one));
      if (one.field.empty()) continue;
      if (++found > kMostTakenOut) return false;
      if (!which.back()) signed_parts.push_back(std::move(one));
    }
    auto count = static_cast<size_t>(std::ranges::count(which, true));
    emptied.push_back(count > 0 && count == which.size());
    if (count > 0 && !emptied.back()) cuts.push_back({parts, std::move(which)});
  }
  if (found == 0) return false;
  for (const SignedPart& one : signed_parts) TakeOutSignature(one, edits);
  for (const Cut& cut : cuts) edits.RemoveElements(cut.array, cut.which);
  edits.RemoveElements(list, emptied);
  return true;
}

}  // namespace relay
