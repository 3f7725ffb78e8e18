// SPDX-License-Identifier: MIT
#include "upstreams/code_assist.h"

#include <utility>

namespace relay {
namespace {

Reply JsonReply(JsonText& json) {
  Reply reply;
  reply.body = json.Take();
  return reply;
}

// The body as the envelope is put on or taken off: with what filters changed, so that no splice of
// theirs falls on the envelope's own edges.
Result<JsonIndex> Settle(const Exchange& x, Call& call) {
  if (x.edits.empty()) return x.json;
  call.body = x.edits.Apply(x.body.view());
  call.edits.Clear();
  return JsonIndex::Parse(*call.body);
}

// Only `value` is left of the body.
void KeepOnly(const JsonValue& value, const JsonIndex& json, Edits& edits) {
  size_t end = value.offset + value.raw.size();
  edits.Raw(0, value.offset, "");
  edits.Raw(end, json.text().size() - end, "");
}

}  // namespace

void SpliceProject(const Account& account, const Exchange& x, bool generates, Edits& edits) {
  const JsonIndex& json = x.json;
  if (json.text().empty()) return;
  if (account.project.empty()) {
    // What another account's answer told the client is no project of this one's.
    if (json.Find("project").Equals(kNoProject)) edits.Remove(json, "project");
    return;
  }
  std::string project = JsonString(account.project);
  if (generates || json.Find("project").Is(JsonKind::kString)) {
    edits.Set(json, "project", project);
  }
  for (JsonValue named :
       {json.Find("cloudaicompanionProject"), ValueAt(json, {"metadata", "duetProject"})}) {
    if (named.Is(JsonKind::kString)) edits.Replace(named, project);
  }
}

std::optional<Reply> AnswerLocally(std::string_view verb, const Account& account,
                                   const Exchange& x) {
  JsonText json;
  std::string project = x.json.Find("cloudaicompanionProject").String().value_or("");
  if (project.empty()) project = account.project;
  if (project.empty()) project = kNoProject;
  auto tier = [&] {
    json.BeginObject()
        .Field("id", "standard-tier")
        .Field("name", "Gemini API key of the relay")
        .Field("description", "Requests are served with a key of the Gemini API.")
        .Field("userDefinedCloudaicompanionProject", false)
        .Field("isDefault", true)
        .EndObject();
  };
  if (verb == "loadCodeAssist") {
    json.BeginObject().Key("currentTier");
    tier();
    json.Key("allowedTiers").BeginArray();
    tier();
    json.EndArray().Field("cloudaicompanionProject", project).Field("gcpManaged", false);
    json.EndObject();
    return JsonReply(json);
  }
  if (verb == "onboardUser" || verb == "operations") {
    json.BeginObject().Field("name", "operations/relay").Field("done", true).Key("response");
    json.BeginObject().Key("cloudaicompanionProject").BeginObject();
    json.Field("id", project).Field("name", project).EndObject().EndObject().EndObject();
    return JsonReply(json);
  }
  if (verb == "retrieveUserQuota") {
    json.BeginObject().Key("buckets").BeginArray().EndArray().EndObject();
    return JsonReply(json);
  }
  if (verb == "listExperiments") {
    json.BeginObject().Key("experimentIds").BeginArray().EndArray();
    json.Key("flags").BeginArray().EndArray().EndObject();
    return JsonReply(json);
  }
  if (verb == "getCodeAssistGlobalUserSetting" || verb == "setCodeAssistGlobalUserSetting") {
    json.BeginObject().Field("freeTierDataCollectionOptin", false).EndObject();
    return JsonReply(json);
  }
  if (verb == "recordCodeAssistMetrics" || verb == "fetchAdminControls") {
    json.BeginObject().EndObject();
    return JsonReply(json);
  }
  return {};
}

Result<Unit> UnwrapRequest(const Exchange& x, bool counts, Call& call) {
  Result<JsonIndex> json = Settle(x, call);
  if (!json) return std::unexpected(json.error());
  JsonValue request = json->Find("request");
  if (!request.Is(JsonKind::kObject)) {
    return Fail(Party::kClient, Fault::kMalformed, "the body has no object 'request'");
  }
  Result<JsonIndex> inside = JsonIndex::Object(request);
  if (!inside) return std::unexpected(inside.error());
  KeepOnly(request, *json, call.edits);
  // Fields that only Code Assist knows; the public API refuses what it does not know.
  for (std::string_view name : {"session_id", "sessionId", "labels"}) {
    call.edits.Remove(*inside, name);
  }
  if (counts) call.edits.Remove(*inside, "model");
  return Unit{};
}

Result<Unit> WrapRequest(const Account& account, const Exchange& x, bool counts, Call& call) {
  Result<JsonIndex> json = Settle(x, call);
  if (!json) return std::unexpected(json.error());
  JsonText before;
  before.BeginObject();
  if (counts) {
    // Only contents are counted there; what stands in a whole request is taken from it.
    JsonValue contents = ValueAt(*json, {"generateContentRequest", "contents"});
    std::string head = R"({"request":{"model":)" + JsonString("models/" + x.ask.model) + ",";
    if (!json->Find("contents") && contents) {
      call.edits.Clear();
      call.body = head + R"("contents":)" + std::string(contents.raw) + "}}";
      return Unit{};
    }
    call.edits.Remove(*json, "model");
    std::string inner = call.edits.Apply(json->text());
    call.edits.Clear();
    size_t brace = inner.find('{');
    bool bare = inner.find_first_not_of(" \t\r\n", brace + 1) == inner.find('}');
    if (bare) head.pop_back();
    call.body = head + inner.substr(brace + 1) + "}";
    return Unit{};
  }
  before.Field("model", x.ask.model);
  if (!account.project.empty()) before.Field("project", account.project);
  before.Field("user_prompt_id", x.id);
  std::string text = before.Take() + R"(,"request":)";
  call.edits.Remove(*json, "model");
  call.edits.Raw(0, 0, std::move(text));
  call.edits.Raw(json->text().size(), 0, "}");
  return Unit{};
}

namespace {

// One JSON text of a stream, without its envelope or with one. What is no answer (an error, or no
// JSON) passes as it is.
void Change(Envelope envelope, std::string_view json, std::string& out) {
  Result<JsonIndex> index = JsonIndex::Parse(json);
  if (!index || index->Find("error")) {
    out += json;
  } else if (envelope == Envelope::kAdd) {
    out.append(R"({"response":)").append(json).append("}");
  } else if (JsonValue response = index->Find("response")) {
    out += response.raw;
  } else {
    out += json;
  }
}

// Line by line: an event's JSON stands in one data line (facts of both APIs).
class EventTransform final : public AnswerTransform {
 public:
  // Beyond this a line goes on as it is.
  static constexpr size_t kMostKept = size_t{32} << 20;

  EventTransform(Envelope envelope, bool to_array) : envelope_(envelope), to_array_(to_array) {}

  void Apply(Chunk in, Buffer& out) override {
    std::string_view bytes = in.view();
    while (!bytes.empty()) {
      size_t end = bytes.find('\n');
      std::string_view piece = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
      bytes.remove_prefix(piece.size());
      if (passing_) {
        out.AppendCopy(piece);
        passing_ = end == std::string_view::npos;
      } else if (end == std::string_view::npos) {
        line_ += piece;
        if (line_.size() > kMostKept) {
          out.AppendCopy(std::exchange(line_, std::string()));
          passing_ = true;
        }
      } else if (line_.empty()) {
        EndLine(piece, out);
      } else {
        line_ += piece;
        EndLine(std::exchange(line_, std::string()), out);
      }
    }
  }

  void Finish(Buffer& out) override {
    if (!line_.empty()) EndLine(std::exchange(line_, std::string()), out);
    if (to_array_) out.AppendCopy(began_ ? "]" : "[]");
  }

 private:
  void EndLine(std::string_view line, Buffer& out) {
    constexpr std::string_view kData = "data:";
    size_t text = line.find_last_not_of("\r\n");
    size_t size = text == std::string_view::npos ? 0 : text + 1;
    bool data = line.starts_with(kData);
    if (!data && !to_array_) out.AppendCopy(line);
    if (!data) return;
    std::string_view json = line.substr(kData.size(), size - kData.size());
    if (json.starts_with(' ')) json.remove_prefix(1);
    std::string changed;
    if (to_array_) {
      changed = std::exchange(began_, true) ? ",\r\n" : "[";
    } else {
      changed = "data: ";
    }
    Change(envelope_, json, changed);
    if (!to_array_) changed += line.substr(size);
    out.AppendCopy(changed);
  }

  const Envelope envelope_;
  const bool to_array_;
  std::string line_;
  bool passing_ = false;  // inside a line that is too long to be changed
  bool began_ = false;
};

class JsonWrapper final : public AnswerTransform {
 public:
  void Apply(Chunk in, Buffer& out) override {
    if (!std::exchange(began_, true)) out.Append(Chunk::Static(R"({"response":)"));
    out.Append(std::move(in));
  }
  void Finish(Buffer& out) override { out.Append(Chunk::Static(began_ ? "}" : "{}")); }

 private:
  bool began_ = false;
};

// Lets only the value of the top-level field `response` through, in slices of what came.
class JsonUnwrapper final : public AnswerTransform {
 public:
  void Apply(Chunk in, Buffer& out) override {
    std::string_view bytes = in.view();
    size_t from = 0;  // of what passes
    for (size_t i = 0; i < bytes.size(); ++i) {
      bool before = Passes();
      if (Step(bytes[i])) continue;
      if (!before && Passes()) from = i;
      if (before && !Passes()) out.Append(in.Slice(from, i - from));
    }
    if (Passes()) out.Append(in.Slice(from, bytes.size() - from));
  }
  void Finish(Buffer& out) override {
    if (!found_) out.Append(Chunk::Static("{}"));
  }

 private:
  enum class At : uint8_t { kStart, kKey, kInKey, kColon, kValue, kInValue, kDone };
  bool Passes() const { return at_ == At::kInValue && wanted_; }

  // True where nothing changed that the caller must know.
  bool Step(char c) {
    bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    switch (at_) {
      case At::kStart:
        if (c == '{') at_ = At::kKey;
        return true;
      case At::kKey:
        if (c == '"') {
          at_ = At::kInKey;
          key_.clear();
        }
        if (c == '}') at_ = At::kDone;
        return true;
      case At::kInKey:
        if (escaped_) {
          escaped_ = false;
        } else if (c == '\\') {
          escaped_ = true;
        } else if (c == '"') {
          at_ = At::kColon;
          return true;
        }
        if (key_.size() < 32) key_ += c;
        return true;
      case At::kColon:
        if (c == ':') at_ = At::kValue;
        return true;
      case At::kValue:
        if (space) return true;
        wanted_ = key_ == "response" && !found_;
        found_ = found_ || wanted_;
        depth_ = 0;
        at_ = At::kInValue;
        InValue(c);
        return false;
      case At::kInValue: InValue(c); return false;
      case At::kDone: return true;
    }
    return true;
  }

  void InValue(char c) {
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      return;
    }
    if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (depth_ == 0 && (c == ',' || c == '}')) {
      at_ = c == ',' ? At::kKey : At::kDone;
    } else if (c == '}' || c == ']') {
      --depth_;
    }
  }

  At at_ = At::kStart;
  std::string key_;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool wanted_ = false;
  bool found_ = false;
};

}  // namespace

std::unique_ptr<AnswerTransform> MakeEnvelopeTransform(Envelope envelope, AnswerForm form) {
  if (form != AnswerForm::kJson) {
    return std::make_unique<EventTransform>(envelope, form == AnswerForm::kEventsToArray);
  }
  if (envelope == Envelope::kAdd) return std::make_unique<JsonWrapper>();
  return std::make_unique<JsonUnwrapper>();
}

}  // namespace relay
