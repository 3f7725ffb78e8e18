// SPDX-License-Identifier: MIT
// A relay key as the store has it: an object of kind "key", whose id is the key's name. What it may
// do is spelt as in relay.yaml and bound by the same functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/secret.h"
#include "core/base/zone.h"
#include "core/config/root.h"
#include "core/store/keys.h"

namespace relay {

inline constexpr std::string_view kKeyKind = "key";

// What a client sends is kept nowhere; this finds it and tells it from others.
struct KeyToken {
  Digest256 digest{};  // as KeyDirectory signs it
  std::string shown;   // "cr_3f2a…9c1b"
  WallTime made{};
  std::optional<WallTime> until = {};  // rotated: no longer valid then
};

struct StoredKey {
  std::string name;
  KeyTerms terms;
  std::vector<KeyToken> tokens;  // the newest first
  WallTime made{};
  bool disabled = false;
  std::optional<WallTime> deleted = {};  // it may be restored
};

std::string WriteStoredKey(const StoredKey& key);
// Errors: not what WriteStoredKey writes, in words for people.
Result<StoredKey> ReadStoredKey(const std::string& name, std::string_view json);

// What is said of a key that relay.yaml declares: an object of kind "overlay".
inline constexpr std::string_view kOverlayKind = "overlay";
std::string OverlayIdOfKey(std::string_view name);
std::string DisabledOverlay();
bool IsDisabledOverlay(std::string_view json);

// What the directory serves, but for what it sets itself. Days are those of `zone`.
KeyRecord RecordOf(const std::string& name, const KeyTerms& terms, const Zone& zone);

// "cr_3f2a…9c1b": enough to recognise a key, of no use to anybody else.
std::string ShownPart(std::string_view secret);

// "2026-11-26T12:00:00.000Z" as IsoTime writes it, and shorter: "2026-11-26T12:00Z", "2026-11-26".
// Nothing where it is none.
std::optional<WallTime> ParseIsoTime(std::string_view text);

}  // namespace relay
