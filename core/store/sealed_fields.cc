// SPDX-License-Identifier: MIT
#include "core/store/sealed_fields.h"

#include <utility>

namespace relay {
namespace {

// Nothing where a value is no sealed text.
std::optional<std::string> SealedText(const JsonValue& value) {
  std::optional<std::string> text = value.String();
  if (!text || !Vault::KeyIdOf(*text)) return std::nullopt;
  return text;
}

std::string TextOf(const SealedPlace& place) {
  std::string text = "'";
  text.append(place.field).append("' of ").append(place.type).append(" '");
  return text.append(place.id).append("'");
}

}  // namespace

Result<Secret> OpenField(const Vault& vault, const SealedPlace& place, const JsonIndex& object) {
  std::optional<std::string> sealed = SealedText(object.Find(place.field));
  if (!sealed) {
    return Fail(Party::kRelay, Fault::kInternal, TextOf(place) + " is not there, or not sealed");
  }
  auto opened = vault.Open(place, *sealed);
  if (opened) return std::move(*opened);
  return Fail(Party::kRelay, Fault::kInternal,
              TextOf(place) + " does not open: " + opened.error().what);
}

void ForEachSealed(
    std::string_view json,
    const std::function<void(const std::string& field, const std::string& sealed)>& visit) {
  Result<JsonIndex> object = JsonIndex::Parse(json);
  if (!object) return;
  for (const JsonField& field : object->fields()) {
    if (auto sealed = SealedText(object->Value(field))) visit(object->Key(field), *sealed);
  }
}

Result<std::optional<std::string>> ReplaceSealed(
    std::string_view json,
    const std::function<Result<std::optional<std::string>>(const std::string& field,
                                                           const std::string& sealed)>& change) {
  Result<JsonIndex> object = JsonIndex::Parse(json);
  if (!object) return std::nullopt;  // nothing of ours is sealed in it
  Edits edits;
  for (const JsonField& field : object->fields()) {
    std::optional<std::string> sealed = SealedText(object->Value(field));
    if (!sealed) continue;
    Result<std::optional<std::string>> fresh = change(object->Key(field), *sealed);
    if (!fresh) return std::unexpected(std::move(fresh.error()));
    if (*fresh) edits.Replace(object->Value(field), std::move(**fresh));
  }
  if (edits.empty()) return std::nullopt;
  return edits.Apply(json);
}

Result<std::optional<std::string>> SealAnew(const Vault& vault, std::string_view kind,
                                            std::string_view id, std::string_view json) {
  auto change = [&](const std::string& field,
                    const std::string& sealed) -> Result<std::optional<std::string>> {
    if (Vault::KeyIdOf(sealed) == vault.key_id()) return std::nullopt;
    SealedPlace place{kind, id, field};
    auto opened = vault.Open(place, sealed);
    if (!opened) {
      return Fail(Party::kRelay, Fault::kInternal,
                  TextOf(place) + " does not open: " + opened.error().what);
    }
    return JsonString(vault.Seal(place, opened->Reveal()));
  };
  return ReplaceSealed(json, change);
}

}  // namespace relay
