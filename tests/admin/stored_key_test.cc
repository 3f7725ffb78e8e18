// SPDX-License-Identifier: MIT
#include "admin/stored_key.h"

#include <gtest/gtest.h>

#include "admin/field_options.h"
#include "admin/keys_command.h"
#include "core/base/text.h"

namespace relay {
namespace {

StoredKey Full() {
  StoredKey key;
  key.name = "alice";
  key.terms.services = {ProviderKind::kClaude};
  key.terms.limits.concurrency = 4;
  key.terms.limits.cost_per_day = 2.5;
  key.terms.models.deny = {"claude-opus-*"};
  WallTime when(std::chrono::milliseconds(1'790'000'000'123));
  key.tokens = {{Sha256("new"), "cr_aaaa…bbbb", when, {}},
                {Sha256("old"), "cr_cccc…dddd", when, when + std::chrono::hours(24)}};
  key.made = when;
  key.disabled = true;
  key.deleted = when;
  return key;
}

TEST(StoredKey, IsReadAsItWasWritten) {
  std::string json = WriteStoredKey(Full());
  auto read = ReadStoredKey("alice", json);
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(WriteStoredKey(*read), json);
  EXPECT_EQ(read->tokens[0].digest, Sha256("new"));
  EXPECT_EQ(read->tokens[1].until, Full().tokens[1].until);
  EXPECT_TRUE(read->disabled && read->deleted);
  StoredKey bare;
  bare.name = "bare";
  EXPECT_TRUE(ReadStoredKey("bare", WriteStoredKey(bare)));
}

TEST(StoredKey, ThatIsNoneSaysWhatIsWrong) {
  for (const char* json :
       {"", "[]", "{}", R"({"terms":{"limitz":1},"tokens":[],"made":"2026-11-26"})",
        R"({"terms":{},"tokens":[{"hmac":"00"}],"made":"2026-11-26"})",
        R"({"terms":{},"tokens":[],"made":"yesterday"})"}) {
    auto read = ReadStoredKey("alice", json);
    ASSERT_FALSE(read) << json;
    EXPECT_TRUE(read.error().what.starts_with("key 'alice' of the store: ")) << read.error().what;
  }
}

TEST(ShownPart, TellsAKeyApartAndNoMore) {
  EXPECT_EQ(ShownPart("cr_0123456789abcdef0123456789abcdef"), "cr_0123…cdef");
  EXPECT_EQ(ShownPart("0123456789abcdef0123456789abcdef"), "0123…cdef");
  EXPECT_EQ(ShownPart("short-password"), "…");
}

TEST(ParseIsoTime, ReadsWhatIsWrittenAndShorterForms) {
  for (const char* text : {"2026-11-26T12:34:56.789Z", "2026-11-26T12:34:56.000Z"}) {
    auto when = ParseIsoTime(text);
    ASSERT_TRUE(when) << text;
    EXPECT_EQ(IsoTime(*when), text);
  }
  EXPECT_EQ(IsoTime(*ParseIsoTime("2028-02-29")), "2028-02-29T00:00:00.000Z");
  EXPECT_EQ(IsoTime(*ParseIsoTime("2026-11-26T12:34Z")), "2026-11-26T12:34:00.000Z");
  EXPECT_EQ(IsoTime(*ParseIsoTime("2026-11-26T12:34:56Z")), "2026-11-26T12:34:56.000Z");
  for (const char* text :
       {"", "2026", "2027-02-29", "2026-13-01", "2026-11-26T24:00Z", "2026-11-26T12:34",
        "2026-11-26 12:34Z", "2026-11-26T12:60Z", "2026-11-26T12:34:5Z", "1969-01-01",
        "2026-11-26T12:34:56.78Z", "2026-11-26T12:34:56+01:00"}) {
    EXPECT_FALSE(ParseIsoTime(text)) << text;
  }
}

std::string Written(const FieldOptions& fields) {
  JsonText json;
  json.BeginObject();
  auto written = WriteFieldOptions(DescribeStruct<KeyTerms>(), fields, json);
  return written ? json.EndObject().Take() : written.error();
}

TEST(FieldOptions, BecomeWhatTheFileWouldSay) {
  EXPECT_EQ(Written({{"services", "claude,gemini"},
                     {"limits", "concurrency=4,cost-per-day=2.50,tokens-per-minute=none"},
                     {"models", "allow=claude-*,deny=a,deny=b"}}),
            R"({"services":["claude","gemini"],)"
            R"("limits":{"concurrency":4,"cost-per-day":2.50,"tokens-per-minute":null},)"
            R"("models":{"allow":["claude-*"],"deny":["a","b"]}})");
  EXPECT_EQ(Written({{"limits", "none"}, {"models", "deny=none"}}),
            R"({"limits":null,"models":{"deny":null}})");
}

TEST(FieldOptions, ThatCannotBeReadSayHow) {
  EXPECT_EQ(Written({{"limits", "60"}}), "--limits must be like name=value,name=value, not '60'");
  EXPECT_EQ(Written({{"services", "a"}, {"services", "b"}}), "--services is given twice");
}

TEST(KeysTable, ShowsAKeyALine) {
  auto table =
      KeysTable(R"({"keys":[{"name":"alice","source":"store","state":"active",)"
                R"("tokens":[{"shown":"cr_aaaa…bbbb"}],"last-used":"2026-11-26T12:34:56.789Z",)"
                R"("terms":{"services":["claude"],"limits":{"concurrency":2}}},)"
                R"({"name":"b","source":"relay.yaml","state":"disabled","terms":{}}]})");
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ(*table,
            "key    state     declared in  shown         last used         terms\n"
            "alice  active    store        cr_aaaa…bbbb  2026-11-26 12:34  services: claude; "
            "limits: concurrency=2\n"
            "b      disabled  relay.yaml                 -\n");
  EXPECT_EQ(*KeysTable(R"({"keys":[]})"), "there is no key yet; relay keys make NAME makes one\n");
  EXPECT_FALSE(KeysTable("nothing"));
}

}  // namespace
}  // namespace relay
