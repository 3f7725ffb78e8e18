// SPDX-License-Identifier: MIT
// Secrets inside the objects of a store. An object's value is a JSON object; a secret is a field of
// it, a sealed text ("v1:…", vault.h) for its place: the object's kind and id, and the field's
// name. So whoever moves objects or seals them anew need not know what they are.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/vault.h"

namespace relay {

// The value of a field. Errors (kRelay): it is not there, or does not open; `what` names the place.
Result<Secret> OpenField(const Vault& vault, const SealedPlace& place, const JsonIndex& object);

// Calls `visit` with each sealed field's name and text.
void ForEachSealed(
    std::string_view json,
    const std::function<void(const std::string& field, const std::string& sealed)>& visit);

// The object with its sealed fields replaced, all other bytes as they were: `change` gets a field's
// name and sealed text and gives the field's new JSON, or nothing to leave it. Nothing where
// nothing was to be changed. Errors are those of `change`.
Result<std::optional<std::string>> ReplaceSealed(
    std::string_view json,
    const std::function<Result<std::optional<std::string>>(const std::string& field,
                                                           const std::string& sealed)>& change);

// An object whose fields were sealed with another key than the one that seals now, sealed anew.
// Nothing where there is nothing to do. Errors: a field that does not open.
Result<std::optional<std::string>> SealAnew(const Vault& vault, std::string_view kind,
                                            std::string_view id, std::string_view json);

}  // namespace relay
