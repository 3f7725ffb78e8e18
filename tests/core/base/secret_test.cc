// SPDX-License-Identifier: MIT
#include "core/base/secret.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <type_traits>
#include <utility>

namespace relay {
namespace {

TEST(Secret, KeepsExactlyTheBytesItWasGiven) {
  std::string_view bytes("a\0b", 3);
  Secret secret(bytes);
  EXPECT_EQ(secret.Reveal(), bytes);
  EXPECT_EQ(secret.size(), 3U);
  EXPECT_FALSE(secret.empty());
  EXPECT_TRUE(Secret().empty());
  EXPECT_EQ(Secret().Reveal(), "");
}

TEST(Secret, CannotBeMadeOrReadByAccident) {
  static_assert(!std::is_convertible_v<std::string, Secret>);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
}

TEST(Secret, WipesTheStringThatItTakes) {
  std::string text = "sk-ant-a-long-secret-that-lives-on-the-heap";
  const char* bytes = text.data();
  size_t size = text.size();
  Secret secret = Secret::Take(text);
  EXPECT_EQ(secret.Reveal(), "sk-ant-a-long-secret-that-lives-on-the-heap");
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(bytes, text.data());
  EXPECT_EQ(std::string(bytes, size), std::string(size, '\0'));
}

TEST(Secret, LeavesNothingBehindWhenMoved) {
  Secret a("0123456789");
  Secret b(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT: what a move leaves is the point
  EXPECT_EQ(b.Reveal(), "0123456789");
  Secret c("other");
  c = std::move(b);
  EXPECT_EQ(c.Reveal(), "0123456789");
  EXPECT_TRUE(b.empty());  // NOLINT
}

TEST(Secret, CopiesAreIndependent) {
  Secret a("one");
  Secret b = a;
  a = Secret("two");
  EXPECT_EQ(b.Reveal(), "one");
  const Secret& same = b;
  b = same;
  EXPECT_EQ(b.Reveal(), "one");
}

TEST(Secret, WipesAWholeStringWithWhatWasLongerBefore) {
  std::string text(100, 'x');
  text.resize(40);
  WipeString(text);
  EXPECT_TRUE(text.empty());
  text.resize(text.capacity() < 100 ? text.capacity() : 100);
  EXPECT_EQ(text.find('x'), std::string::npos);
}

TEST(SecretEquals, ComparesBytesAndLengthExactly) {
  EXPECT_TRUE(SecretEquals("", ""));
  EXPECT_TRUE(SecretEquals("test-key", "test-key"));
  EXPECT_FALSE(SecretEquals("test-key", "TEST-KEY"));
  EXPECT_FALSE(SecretEquals("test-key", std::string_view("test-key\0x", 10)));
  EXPECT_FALSE(SecretEquals("test-key", "test-ke"));
  EXPECT_FALSE(SecretEquals("", "x"));
  EXPECT_TRUE(Secret("abc") == Secret("abc"));
  EXPECT_FALSE(Secret("abc") == Secret("abd"));
}

TEST(Sha256, MatchesFips180) {
  EXPECT_EQ(HexEncode(BytesOf(Sha256("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexEncode(BytesOf(Sha256(""))),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha1Hex, MatchesFips180) {
  EXPECT_EQ(Sha1Hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(HmacSha256, MatchesRfc4231) {
  EXPECT_EQ(HexEncode(BytesOf(HmacSha256("Jefe", "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(HexEncode(BytesOf(HmacSha256("", ""))),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  // Test case 6: a key longer than a block is hashed first.
  EXPECT_EQ(
      HexEncode(BytesOf(HmacSha256(std::string(131, '\xaa'),
                                   "Test Using Larger Than Block-Size Key - Hash Key First"))),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HmacKey, SignsAnyNumberOfTimes) {
  HmacKey key("Jefe");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(key.Sign("what do ya want for nothing?"),
              HmacSha256("Jefe", "what do ya want for nothing?"));
    EXPECT_NE(key.Sign("something else"), key.Sign(""));
  }
}

TEST(HkdfSha256, MatchesRfc5869) {
  std::string key(22, '\x0b');
  std::string salt = HexDecode("000102030405060708090a0b0c").value();
  std::string info = HexDecode("f0f1f2f3f4f5f6f7f8f9").value();
  EXPECT_EQ(HexEncode(BytesOf(HkdfSha256(key, salt, info))),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

TEST(HkdfSha256, GivesEachUseItsOwnKey) {
  EXPECT_NE(HkdfSha256("master", "", "keys"), HkdfSha256("master", "", "accounts"));
  EXPECT_NE(HkdfSha256("master", "", "keys"), HkdfSha256("other", "", "keys"));
}

TEST(RandomBytes, NeverRepeats) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    std::string bytes = RandomBytes(32);
    EXPECT_EQ(bytes.size(), 32U);
    EXPECT_TRUE(seen.insert(bytes).second);
  }
}

TEST(Hex, RoundTripsAndRefusesWhatIsNone) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(HexDecode(HexEncode(all)), all);
  EXPECT_EQ(HexDecode("0aFF"), std::string("\x0a\xff"));
  EXPECT_FALSE(HexDecode("0"));
  EXPECT_FALSE(HexDecode("0g"));
  EXPECT_FALSE(HexDecode("0x10"));
  EXPECT_FALSE(HexDecode(" 0"));
}

TEST(Base64, MatchesRfc4648) {
  const std::pair<const char*, const char*> pairs[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto& [bytes, text] : pairs) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Base64Decode(text), std::string(bytes));
  }
  std::string all;
  for (int i = 255; i >= 0; --i) all += static_cast<char>(i);
  EXPECT_EQ(Base64Decode(Base64Encode(all)), all);
}

TEST(Base64, RefusesWhatEncodingWouldNotWrite) {
  for (const char* text : {"Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n",
                           "Zm 8=", "Zg==Zg==", "Zm-_", "=Zm8"}) {
    EXPECT_FALSE(Base64Decode(text)) << text;
  }
}

}  // namespace
}  // namespace relay
