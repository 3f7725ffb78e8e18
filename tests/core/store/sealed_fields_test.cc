// SPDX-License-Identifier: MIT
#include "core/store/sealed_fields.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

const Secret kOld("the first encryption key, 32 bytes and more");
const Secret kNew("the second encryption key, 32 bytes and more");

std::string TokenObject(const Vault& vault) {
  JsonText json;
  json.BeginObject().Field("seed", "v1 of nothing");
  json.Field("refresh", vault.Seal({"token", "claude/max", "refresh"}, "rt-planted"));
  json.Field("access", vault.Seal({"token", "claude/max", "access"}, "at-planted"));
  return json.Field("expires", 12).EndObject().Take();
}

TEST(SealedFields, AreFoundAmongOthers) {
  Vault vault(kOld);
  std::string names;
  ForEachSealed(TokenObject(vault), [&](const std::string& field, const std::string& sealed) {
    names += field + " ";
    EXPECT_EQ(Vault::KeyIdOf(sealed), vault.key_id());
  });
  EXPECT_EQ(names, "refresh access ");
  ForEachSealed("no JSON", [](const std::string&, const std::string&) { FAIL(); });
}

TEST(SealedFields, OpenInTheirPlace) {
  Vault vault(kOld);
  std::string json = TokenObject(vault);
  auto object = JsonIndex::Parse(json);
  ASSERT_TRUE(object);
  auto opened = OpenField(vault, {"token", "claude/max", "refresh"}, *object);
  ASSERT_TRUE(opened) << opened.error().what;
  EXPECT_EQ(opened->Reveal(), "rt-planted");
  EXPECT_FALSE(OpenField(vault, {"token", "claude/other", "refresh"}, *object));
  EXPECT_FALSE(OpenField(vault, {"token", "claude/max", "seed"}, *object));
  EXPECT_FALSE(OpenField(vault, {"token", "claude/max", "none"}, *object));
}

TEST(SealedFields, AreSealedAnewOnceAndNothingElseChanges) {
  Vault old(kOld);
  Vault vault(kNew);
  vault.AddPrevious(kOld);
  std::string json = TokenObject(old);
  auto anew = SealAnew(vault, "token", "claude/max", json);
  ASSERT_TRUE(anew);
  ASSERT_TRUE(*anew);
  EXPECT_NE((*anew)->find(R"({"seed":"v1 of nothing","refresh":"v1:)"), std::string::npos);
  EXPECT_TRUE((*anew)->ends_with(R"(","expires":12})"));
  auto object = JsonIndex::Parse(**anew);
  ASSERT_TRUE(object);
  vault.ForgetPrevious();
  EXPECT_EQ(OpenField(vault, {"token", "claude/max", "access"}, *object)->Reveal(), "at-planted");
  auto again = SealAnew(vault, "token", "claude/max", **anew);
  ASSERT_TRUE(again);
  EXPECT_FALSE(*again) << "nothing is left to do";
}

TEST(SealedFields, ThatDoNotOpenAreNotReplaced) {
  auto anew = SealAnew(Vault(kNew), "token", "claude/max", TokenObject(Vault(kOld)));
  ASSERT_FALSE(anew);
  EXPECT_NE(anew.error().what.find("'refresh' of token 'claude/max'"), std::string::npos);
}

}  // namespace
}  // namespace relay
