// SPDX-License-Identifier: MIT
#include "admin/keys_command.h"

#include <cstdio>
#include <optional>
#include <utility>

#include "admin/ask.h"
#include "admin/field_options.h"
#include "admin/table.h"
#include "core/base/json.h"
#include "core/base/percent.h"
#include "core/config/root.h"
#include "core/config/units.h"

namespace relay {
namespace {

constexpr std::string_view kKeys = "/admin/v1/keys";

// What tells the key that is valid from others, and how long others are.
std::string TokensOf(const JsonIndex& key) {
  std::string text;
  for (JsonArray tokens(key.Find("tokens")); JsonValue item = tokens.Next();) {
    Result<JsonIndex> token = JsonIndex::Object(item);
    if (!token) continue;
    text += (text.empty() ? "" : ", ") + TextIn(*token, "shown");
    std::string until = TextIn(*token, "until");
    if (!until.empty()) text += " until " + ShortTime(until);
  }
  return text;
}

std::string TermsOf(const JsonIndex& key) {
  JsonValue terms = key.Find("terms");
  return terms ? Printable(FieldsText(terms)) : TextIn(key, "why");
}

TableLine LineOf(const JsonIndex& key) {
  std::string used = ShortTime(TextIn(key, "last-used"));
  return {TextIn(key, "name"), TextIn(key, "state"),      TextIn(key, "source"),
          TokensOf(key),       used.empty() ? "-" : used, TermsOf(key)};
}

int Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

// The request of a command; the error is for people.
std::expected<FetchRequest, std::string> RequestOf(const Options& options) {
  std::string_view action = options.action;
  std::string one(kKeys);
  if (!options.names.empty()) one += "/" + PercentEncode(options.names[0]);
  if (action == "list") {
    return FetchRequest{.target = std::string(kKeys) + (options.deleted ? "?deleted=true" : "")};
  }
  if (action == "show") return FetchRequest{.target = one};
  if (action == "delete") {
    return FetchRequest{.method = "DELETE", .target = one + (options.purge ? "?purge=true" : "")};
  }
  if (action == "make" || action == "set") {
    bool make = action == "make";
    JsonText body;
    body.BeginObject();
    if (make) body.Field("name", options.names[0]);
    auto written = WriteFieldOptions(DescribeStruct<KeyTerms>(), options.fields, body);
    if (!written) return std::unexpected(written.error());
    if (!make && options.fields.empty()) {
      return std::unexpected("'keys set' needs something to set; relay help keys set lists what");
    }
    return FetchRequest{.method = make ? "POST" : "PATCH",
                        .target = make ? std::string(kKeys) : one,
                        .body = body.EndObject().Take()};
  }
  FetchRequest request{.method = "POST", .target = one + "/" + std::string(action)};
  if (action == "rotate") {
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.overlap).count();
    request.body = JsonText().BeginObject().Field("overlap-seconds", seconds).EndObject().Take();
  }
  return request;
}

// One key for people: its name, and a line for each thing that is known of it.
std::string DetailsOf(const JsonIndex& key) {
  std::vector<TableLine> lines;
  auto add = [&](const char* what, const std::string& text) {
    if (!text.empty()) lines.push_back({what, text});
  };
  add("name", TextIn(key, "name"));
  add("state", TextIn(key, "state"));
  add("declared in", TextIn(key, "source"));
  add("key", TokensOf(key));
  add("made", ShortTime(TextIn(key, "made")));
  add("deleted", ShortTime(TextIn(key, "deleted")));
  add("last used", ShortTime(TextIn(key, "last-used")));
  Result<JsonIndex> terms = JsonIndex::Object(key.Find("terms"));
  for (const JsonField& field : terms ? terms->fields() : std::span<const JsonField>()) {
    lines.push_back({terms->Key(field), Printable(ValueText(terms->Value(field)))});
  }
  return TextTable(lines);
}

int TellSecret(const JsonIndex& key) {
  std::fprintf(stderr, "key '%s': this is shown once, and kept nowhere\n",
               TextIn(key, "name").c_str());
  return Print(TextIn(key, "key") + "\n");
}

int Tell(const Options& options, const std::string& answer) {
  if (answer.empty()) return Print("key '" + Printable(options.names[0]) + "' is gone for good\n");
  if (options.json) return Print(answer + "\n");
  if (options.action == "list") {
    Result<std::string> table = KeysTable(answer);
    return table ? Print(*table) : NotUnderstood(table.error());
  }
  Result<JsonIndex> key = JsonIndex::Parse(answer);
  if (!key) return NotUnderstood(key.error());
  if (key->Find("key")) return TellSecret(*key);
  if (options.action == "show" || options.action == "set") return Print(DetailsOf(*key));
  return Print("key '" + TextIn(*key, "name") + "' is " + TextIn(*key, "state") + "\n");
}

}  // namespace

Result<std::string> KeysTable(std::string_view json) {
  Result<JsonIndex> answer = JsonIndex::Parse(json);
  if (!answer) return std::unexpected(answer.error());
  std::vector<TableLine> lines{{"key", "state", "declared in", "shown", "last used", "terms"}};
  for (JsonArray keys(answer->Find("keys")); JsonValue item = keys.Next();) {
    Result<JsonIndex> key = JsonIndex::Object(item);
    if (!key) return std::unexpected(key.error());
    lines.push_back(LineOf(*key));
  }
  if (lines.size() == 1)
    return std::string("there is no key yet; relay keys make NAME makes one\n");
  return TextTable(lines);
}

int RunKeys(const Options& options, const Environment& environment) {
  std::expected<FetchRequest, std::string> request = RequestOf(options);
  if (!request) {
    Complain(request.error());
    return kExitUsage;
  }
  std::expected<std::string, int> answer = AskRelay(options, environment, *request);
  return answer ? Tell(options, *answer) : answer.error();
}

}  // namespace relay
