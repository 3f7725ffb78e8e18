// SPDX-License-Identifier: MIT
#include "core/store/state_file.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "core/base/aead.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/store/journal_lines.h"
#include "core/store/past.h"
#include "core/store/sealed_fields.h"

namespace relay {
namespace {

constexpr int64_t kFormat = 1;
constexpr size_t kMostHeader = 1024;
constexpr size_t kSaltBytes = 16;
// Of the ledger, that are written as one epoch.
constexpr size_t kRowsInOne = 50'000;
// What a file may ask of whoever opens it: 1 GiB.
constexpr uint64_t kMostMemory = uint64_t{1} << 30;

std::unexpected<Error> No(std::string what) {
  return Fail(Party::kRelay, Fault::kMalformed, std::move(what));
}

// --- JSON --------------------------------------------------------------------------------------

std::string ImageJson(const StateImage& image) {
  JsonText json;
  json.BeginObject().Key("objects").BeginArray();
  for (const StateImage::Object& object : image.objects) {
    json.BeginObject().Field("kind", object.kind).Field("id", object.id);
    json.Field("value", object.value).Key("secrets").BeginObject();
    for (const auto& [field, secret] : object.secrets) {
      json.Field(field, Base64Encode(secret.Reveal()));
    }
    json.EndObject().EndObject();
  }
  json.EndArray().Key("states").BeginArray();
  for (const StateBlob& blob : image.states) {
    json.BeginObject().Field("kind", blob.kind).Field("id", blob.id);
    json.Field("value", Base64Encode(blob.value)).EndObject();
  }
  std::string lines;
  for (const DayRow& row : image.rows.days) AppendLine(lines, row);
  for (const HourRow& row : image.rows.hours) AppendLine(lines, row);
  json.EndArray().Field("rows", lines).Key("recent").BeginArray();
  for (const LedgerEntry& entry : image.recent) json.Raw(EntryJson(entry, {}));
  return json.EndArray().EndObject().Take();
}

std::string TextIn(const JsonIndex& object, std::string_view field) {
  return object.Find(field).String().value_or("");
}

Result<StateImage::Object> ReadObject(const JsonValue& item) {
  Result<JsonIndex> json = JsonIndex::Object(item);
  if (!json) return No("an object of it cannot be read");
  StateImage::Object object{TextIn(*json, "kind"), TextIn(*json, "id"), TextIn(*json, "value")};
  Result<JsonIndex> secrets = JsonIndex::Object(json->Find("secrets"));
  if (!secrets || object.kind.empty()) return No("an object of it cannot be read");
  for (const JsonField& field : secrets->fields()) {
    auto bytes = Base64Decode(secrets->Value(field).String().value_or("?"));
    if (!bytes) return No("a secret of it cannot be read");
    object.secrets.emplace_back(secrets->Key(field), Secret::Take(*bytes));
  }
  return object;
}

Result<StateImage> ReadImage(std::string_view text) {
  Result<JsonIndex> json = JsonIndex::Parse(text);
  if (!json) return No("what is in it cannot be read: " + json.error().what);
  StateImage image;
  for (JsonArray items(json->Find("objects")); JsonValue item = items.Next();) {
    Result<StateImage::Object> object = ReadObject(item);
    if (!object) return std::unexpected(std::move(object.error()));
    image.objects.push_back(std::move(*object));
  }
  for (JsonArray items(json->Find("states")); JsonValue item = items.Next();) {
    Result<JsonIndex> blob = JsonIndex::Object(item);
    auto value = blob ? Base64Decode(TextIn(*blob, "value")) : std::nullopt;
    if (!value) return No("a state of it cannot be read");
    image.states.push_back({TextIn(*blob, "kind"), TextIn(*blob, "id"), std::move(*value)});
  }
  const std::string rows = TextIn(*json, "rows");
  JournalLines lines(rows);
  while (std::optional<JournalLine> line = lines.Next()) {
    if (line->kind == LineKind::kDay) image.rows.days.push_back(std::move(line->day));
    if (line->kind == LineKind::kHour) image.rows.hours.push_back(std::move(line->hour));
  }
  if (lines.damaged_lines() > 0 || lines.torn_bytes() > 0) return No("its ledger cannot be read");
  for (JsonArray items(json->Find("recent")); JsonValue item = items.Next();) {
    std::optional<DatedEntry> dated = ReadEntryJson(item.raw);
    if (!dated) return No("an exchange of it cannot be read");
    image.recent.push_back(std::move(dated->entry));
  }
  return image;
}

// --- The file ----------------------------------------------------------------------------------

AesGcm CipherOf(const Secret& passphrase, std::string_view salt, const ScryptCost& cost) {
  Digest256 key = Scrypt(passphrase.Reveal(), salt, cost.n, cost.r, cost.p);
  AesGcm cipher{BytesOf(key)};
  WipeBytes(key.data(), key.size());
  return cipher;
}

struct Header {
  ScryptCost cost;
  std::string salt;
  std::string nonce;
};

Result<Header> ReadHeader(std::string_view line) {
  Result<JsonIndex> json = JsonIndex::Parse(line);
  std::optional<int64_t> format = json ? json->Find("relay-state").Int() : std::nullopt;
  if (!format) return No("it is no file of `relay state export`");
  if (*format > kFormat) {
    return No("it is of a newer relay (format " + std::to_string(*format) + ", this one knows " +
              std::to_string(kFormat) + ")");
  }
  auto number = [&](const char* field) {
    return static_cast<uint64_t>(std::max<int64_t>(json->Find(field).Int().value_or(0), 0));
  };
  Header header{{number("n"), number("r"), number("p")},
                Base64Decode(TextIn(*json, "salt")).value_or(""),
                Base64Decode(TextIn(*json, "nonce")).value_or("")};
  const ScryptCost& cost = header.cost;
  bool power = cost.n > 1 && (cost.n & (cost.n - 1)) == 0;
  bool bounded = power && cost.n <= (uint64_t{1} << 24) && cost.r >= 1 && cost.r <= 64 &&
                 cost.p >= 1 && cost.p <= 16 && 128 * cost.n * cost.r <= kMostMemory;
  if (!bounded || header.salt.size() != kSaltBytes || header.nonce.size() != AesGcm::kNonceBytes) {
    return No("its first line was changed");
  }
  return header;
}

// --- The store ---------------------------------------------------------------------------------

template <class T, class F>
Result<Unit> Done(F call) {
  Result<T> result = Await<T>(std::move(call));
  if (!result) return std::unexpected(std::move(result.error()));
  return Unit{};
}

Result<Directory> LoadObjects(Store& store) {
  return Await<Directory>([&](auto done) { store.LoadObjects(std::move(done)); });
}

Result<LedgerImage> LoadLedger(Store& store) {
  return Await<LedgerImage>([&](auto done) { store.Load(std::move(done)); });
}

Result<std::vector<StateBlob>> LoadStates(Store& store) {
  std::vector<StateBlob> all;
  for (const std::string& kind : StateKinds()) {
    auto blobs =
        Await<std::vector<StateBlob>>([&](auto done) { store.LoadStates(kind, std::move(done)); });
    if (!blobs) return blobs;
    all.insert(all.end(), blobs->begin(), blobs->end());
  }
  return all;
}

Result<Unit> WriteOne(Store& store, const StoredObject* present, std::string kind, std::string id,
                      std::optional<std::string> value) {
  int64_t version = present == nullptr ? 0 : present->version;
  ObjectWrite write{std::move(kind), std::move(id), version, std::move(value)};
  auto written = Await<ObjectWritten>(
      [&](auto done) { store.WriteObject(std::move(write), std::move(done)); });
  if (!written) return std::unexpected(std::move(written.error()));
  if (!written->conflict) return Unit{};
  return Fail(Party::kRelay, Fault::kInternal,
              "somebody else writes to the store: stop every relay that uses it first");
}

const StoredObject* Find(const Directory& directory, std::string_view kind, std::string_view id) {
  auto at = std::ranges::find_if(directory.objects, [&](const StoredObject& object) {
    return object.kind == kind && object.id == id;
  });
  return at == directory.objects.end() ? nullptr : &*at;
}

Result<Unit> ClearBooks(Store& store) {
  auto forgotten = Done<Unit>([&](auto done) { store.ForgetLimits(std::move(done)); });
  if (!forgotten) return forgotten;
  Result<LedgerImage> ledger = LoadLedger(store);
  if (!ledger) return std::unexpected(std::move(ledger.error()));
  for (const EpochRows& epoch : ledger->epochs) {
    auto folded = Done<Unit>([&](auto done) { store.Fold(epoch.epoch, std::move(done)); });
    if (!folded) return folded;
  }
  auto dropped =
      Done<Unit>([&](auto done) { store.Expire(Period{INT32_MAX, INT64_MAX}, std::move(done)); });
  if (!dropped) return dropped;
  Result<std::vector<StateBlob>> states = LoadStates(store);
  if (!states) return std::unexpected(std::move(states.error()));
  for (StateBlob& blob : *states) blob.value.clear();
  return Done<Unit>([&](auto done) { store.PutStates(std::move(*states), std::move(done)); });
}

// A store folds an epoch at once, so it is given many of some size.
Result<Unit> WriteBooks(Store& store, const StateImage& image) {
  const auto& [days, hours] = image.rows;
  size_t day = 0;
  size_t hour = 0;
  do {
    // A name that no other import has: flushes of an epoch that was folded would be ignored.
    LedgerFlush flush{"import-" + RandomHex(8), 1, {}, {}};
    size_t room = kRowsInOne;
    for (; room > 0 && day < days.size(); --room) flush.rows.days.push_back(days[day++]);
    for (; room > 0 && hour < hours.size(); --room) flush.rows.hours.push_back(hours[hour++]);
    bool last = day == days.size() && hour == hours.size();
    if (last) flush.recent = image.recent;
    std::string epoch = flush.epoch;
    std::vector<LedgerFlush> flushes;
    flushes.push_back(std::move(flush));
    auto flushed =
        Done<Flushed>([&](auto done) { store.Flush(std::move(flushes), std::move(done)); });
    if (!flushed) return flushed;
    auto folded = Done<Unit>([&](auto done) { store.Fold(epoch, std::move(done)); });
    if (!folded) return folded;
  } while (day < days.size() || hour < hours.size());
  return Unit{};
}

Result<Unit> WriteObjects(Store& store, const Vault& vault, const StateImage& image) {
  Result<Directory> directory = LoadObjects(store);
  if (!directory) return std::unexpected(std::move(directory.error()));
  std::set<std::pair<std::string, std::string>> kept;
  for (const StateImage::Object& object : image.objects) {
    kept.emplace(object.kind, object.id);
    auto seal = [&](const std::string& field,
                    const std::string&) -> Result<std::optional<std::string>> {
      for (const auto& [name, secret] : object.secrets) {
        if (name != field) continue;
        return JsonString(vault.Seal({object.kind, object.id, field}, secret.Reveal()));
      }
      return No("a secret of " + object.kind + " '" + object.id + "' is missing in it");
    };
    auto sealed = ReplaceSealed(object.value, seal);
    if (!sealed) return std::unexpected(std::move(sealed.error()));
    auto written = WriteOne(store, Find(*directory, object.kind, object.id), object.kind, object.id,
                            sealed->value_or(object.value));
    if (!written) return written;
  }
  for (const StoredObject& object : directory->objects) {
    if (kept.contains({object.kind, object.id})) continue;
    auto removed = WriteOne(store, &object, object.kind, object.id, std::nullopt);
    if (!removed) return removed;
  }
  return Unit{};
}

}  // namespace

std::vector<std::string> StateKinds() {
  return {"health", "sticky", "budget", "key", "alert"};
}

Result<StateImage> ReadState(Store& store, const Vault& vault) {
  StateImage image;
  Result<Directory> directory = LoadObjects(store);
  if (!directory) return std::unexpected(std::move(directory.error()));
  for (StoredObject& from : directory->objects) {
    StateImage::Object object{from.kind, from.id, std::move(from.value)};
    std::optional<std::string> wrong;
    ForEachSealed(object.value, [&](const std::string& field, const std::string& sealed) {
      auto opened = vault.Open({object.kind, object.id, field}, sealed);
      if (!opened)
        wrong = "'" + field + "' of " + object.kind + " '" + object.id +
                "' does not open: " + opened.error().what;
      if (opened) object.secrets.emplace_back(field, std::move(*opened));
    });
    if (wrong) return Fail(Party::kRelay, Fault::kForbidden, std::move(*wrong));
    image.objects.push_back(std::move(object));
  }
  Result<LedgerImage> ledger = LoadLedger(store);
  if (!ledger) return std::unexpected(std::move(ledger.error()));
  LedgerRows rows;
  rows.AddAll(ledger->folded);
  for (const EpochRows& epoch : ledger->epochs) rows.AddAll(epoch.rows);
  image.rows = rows.All();
  image.recent = std::move(ledger->recent);
  Result<std::vector<StateBlob>> states = LoadStates(store);
  if (!states) return std::unexpected(std::move(states.error()));
  image.states = std::move(*states);
  return image;
}

Result<Unit> SettleJournals(Store& store, const std::string& journals) {
  Result<Past> past = ReadPast(store, journals);
  if (!past) return std::unexpected(std::move(past.error()));
  for (DeadEpoch& dead : past->dead) {
    if (dead.files.empty() || dead.last.epoch.empty()) continue;
    std::string epoch = dead.last.epoch;
    if (!dead.last.rows.empty() || !dead.last.recent.empty()) {
      std::vector<LedgerFlush> flushes;
      flushes.push_back(std::move(dead.last));
      auto flushed =
          Done<Flushed>([&](auto done) { store.Flush(std::move(flushes), std::move(done)); });
      if (!flushed) return flushed;
    }
    auto folded = Done<Unit>([&](auto done) { store.Fold(epoch, std::move(done)); });
    if (!folded) return folded;
  }
  return Unit{};
}

Result<bool> IsFresh(Store& store) {
  Result<Directory> directory = LoadObjects(store);
  if (!directory) return std::unexpected(std::move(directory.error()));
  Result<LedgerImage> ledger = LoadLedger(store);
  if (!ledger) return std::unexpected(std::move(ledger.error()));
  bool objects = std::ranges::any_of(directory->objects,
                                     [](const auto& object) { return object.kind != "setting"; });
  bool rows = !ledger->folded.empty() || std::ranges::any_of(ledger->epochs, [](const auto& epoch) {
    return !epoch.rows.empty();
  });
  return !objects && !rows;
}

Result<Unit> WriteState(Store& store, const Vault& vault, const StateImage& image) {
  if (Result<Unit> cleared = ClearBooks(store); !cleared) return cleared;
  if (Result<Unit> written = WriteObjects(store, vault, image); !written) return written;
  auto states = Done<Unit>([&](auto done) { store.PutStates(image.states, std::move(done)); });
  if (!states) return states;
  return WriteBooks(store, image);
}

std::string SealState(const StateImage& image, const Secret& passphrase, ScryptCost cost) {
  std::string salt = RandomBytes(kSaltBytes);
  std::string nonce = RandomBytes(AesGcm::kNonceBytes);
  JsonText json;
  json.BeginObject().Field("relay-state", kFormat).Field("kdf", "scrypt");
  json.Field("n", cost.n).Field("r", cost.r).Field("p", cost.p);
  json.Field("salt", Base64Encode(salt)).Field("nonce", Base64Encode(nonce)).EndObject();
  std::string header = json.Take() + "\n";
  std::string plain = ImageJson(image);
  std::string file = header + CipherOf(passphrase, salt, cost).Seal(nonce, header, plain);
  WipeString(plain);
  return file;
}

Result<StateImage> OpenState(std::string_view file, const Secret& passphrase) {
  size_t end = file.substr(0, kMostHeader).find('\n');
  if (end == std::string_view::npos) return No("it is no file of `relay state export`");
  std::string_view header = file.substr(0, end + 1);
  Result<Header> read = ReadHeader(header.substr(0, end));
  if (!read) return std::unexpected(std::move(read.error()));
  auto plain =
      CipherOf(passphrase, read->salt, read->cost).Open(read->nonce, header, file.substr(end + 1));
  if (!plain) return No("the passphrase is another one, or the file was changed");
  return ReadImage(plain->Reveal());
}

}  // namespace relay
