// SPDX-License-Identifier: MIT
#include "core/base/vault.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

using Why = VaultError::Why;

const Secret kMaster("a master key of more than thirty-two bytes");
const Secret kOther("another master key of more than 32 bytes..");
constexpr SealedPlace kPlace{"token", "claude/alice-max", "refresh-token"};

std::optional<Why> WhyNot(const Vault& vault, const SealedPlace& place, std::string_view sealed) {
  auto opened = vault.Open(place, sealed);
  if (opened) return std::nullopt;
  EXPECT_FALSE(opened.error().what.empty());
  return opened.error().why;
}

TEST(Vault, OpensWhatItSealed) {
  Vault vault(kMaster);
  for (const std::string& plain :
       {std::string(), std::string("x"), std::string("a\0b", 3), std::string(10'000, 'y')}) {
    auto opened = vault.Open(kPlace, vault.Seal(kPlace, plain));
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->Reveal(), plain);
  }
}

TEST(Vault, OpensWhatAnEarlierRelaySealed) {
  // Made by another program (Node's crypto) from the format's words; must open for ever.
  auto opened = Vault(kMaster).Open(
      kPlace, "v1:f90874a2:AAECAwQFBgcICQoLn+FpMz/MopKEQDcWZH9jCWgRB4bCqCl8yJF6CCy9");
  ASSERT_TRUE(opened) << opened.error().what;
  EXPECT_EQ(opened->Reveal(), "planted secret");
}

TEST(Vault, SealsTheSameValueToAnotherTextEachTime) {
  Vault vault(kMaster);
  EXPECT_NE(vault.Seal(kPlace, "same"), vault.Seal(kPlace, "same"));
}

TEST(Vault, ShowsNothingOfTheValueOrTheKey) {
  Vault vault(kMaster);
  std::string sealed = vault.Seal(kPlace, "planted secret");
  EXPECT_TRUE(sealed.starts_with("v1:" + vault.key_id() + ":")) << sealed;
  EXPECT_EQ(Vault::KeyIdOf(sealed), vault.key_id());
  EXPECT_EQ(vault.key_id().size(), 8U);
  auto body = Base64Decode(sealed.substr(12));
  ASSERT_TRUE(body);
  EXPECT_EQ(body->find("planted"), std::string::npos);
}

TEST(Vault, R52_OpensNothingOfWhichAnyByteWasChanged) {
  Vault vault(kMaster);
  const std::string sealed = vault.Seal(kPlace, "planted secret");
  for (size_t at = 0; at < sealed.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = sealed;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      EXPECT_TRUE(WhyNot(vault, kPlace, changed)) << "byte " << at << ", bit " << bit;
    }
    EXPECT_TRUE(WhyNot(vault, kPlace, sealed.substr(0, at)));
  }
  EXPECT_TRUE(WhyNot(vault, kPlace, sealed + "A"));
}

TEST(Vault, R52_OpensAValueOnlyInItsPlace) {
  Vault vault(kMaster);
  std::string sealed = vault.Seal(kPlace, "x");
  for (const SealedPlace& place : {SealedPlace{"account", "claude/alice-max", "refresh-token"},
                                   SealedPlace{"token", "claude/bob-max", "refresh-token"},
                                   SealedPlace{"token", "claude/alice-max", "access-token"},
                                   // The same letters, cut elsewhere.
                                   SealedPlace{"token", "claude/alice-maxr", "efresh-token"},
                                   SealedPlace{"tokenc", "laude/alice-max", "refresh-token"}}) {
    EXPECT_EQ(WhyNot(vault, place, sealed), Why::kTampered);
  }
}

TEST(Vault, TellsAnotherKeyANewerFormatAndNoSealApart) {
  Vault vault(kMaster);
  std::string sealed = vault.Seal(kPlace, "x");
  EXPECT_NE(vault.key_id(), Vault(kOther).key_id());
  EXPECT_EQ(WhyNot(Vault(kOther), kPlace, sealed), Why::kKey);
  EXPECT_EQ(WhyNot(vault, kPlace, "v2:" + sealed.substr(3)), Why::kVersion);
  EXPECT_EQ(WhyNot(vault, kPlace, "v12:whatever comes then"), Why::kVersion);
  for (const char* text : {"", "v1", "v1:", "v:x", "x1:00000000:AAAA", "plain", "v1:0000000:AAAA",
                           "v1:0000000G:AAAA", "vx:00000000:AAAA"}) {
    EXPECT_EQ(WhyNot(vault, kPlace, text), Why::kMalformed) << text;
    EXPECT_FALSE(Vault::KeyIdOf(text)) << text;
  }
}

TEST(Vault, SealsWithTheNewKeyAndStillOpensThePreviousOne) {
  std::string old = Vault(kOther).Seal(kPlace, "of before");
  Vault vault(kMaster);
  EXPECT_EQ(WhyNot(vault, kPlace, old), Why::kKey);
  vault.AddPrevious(kOther);
  auto opened = vault.Open(kPlace, old);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->Reveal(), "of before");
  EXPECT_EQ(Vault::KeyIdOf(vault.Seal(kPlace, "x")), Vault(kMaster).key_id());
}

TEST(Vault, GoesOverToANewKeyAndForgetsTheOldOne) {
  Vault vault(kOther);
  std::string old = vault.Seal(kPlace, "x");
  vault.Renew(kMaster);
  EXPECT_EQ(vault.key_id(), Vault(kMaster).key_id());
  std::string fresh = vault.Seal(kPlace, "x");
  EXPECT_TRUE(vault.Open(kPlace, old));
  vault.ForgetPrevious();
  EXPECT_EQ(WhyNot(vault, kPlace, old), Why::kKey);
  EXPECT_TRUE(vault.Open(kPlace, fresh));
}

}  // namespace
}  // namespace relay
