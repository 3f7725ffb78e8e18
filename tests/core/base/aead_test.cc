// SPDX-License-Identifier: MIT
#include "core/base/aead.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

std::string Bytes(std::string_view hex) {
  return HexDecode(hex).value();
}

// Test cases 13 to 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega), which NIST's
// validation suite has too.
struct Vector {
  const char* key;
  const char* nonce;
  const char* data;
  const char* plain;
  const char* sealed;  // ciphertext and tag
};

constexpr const char* kZeroKey = "0000000000000000000000000000000000000000000000000000000000000000";
constexpr const char* kKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";

const Vector kVectors[] = {
    {kZeroKey, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {kZeroKey, "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {kKey, "cafebabefacedbaddecaf888", "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
     "b094dac5d93471bdec1a502270e3cc6c"},
    {kKey, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST(AesGcm, MatchesTheVectorsOfItsSpecification) {
  for (const Vector& vector : kVectors) {
    AesGcm cipher(Bytes(vector.key));
    std::string sealed = cipher.Seal(Bytes(vector.nonce), Bytes(vector.data), Bytes(vector.plain));
    EXPECT_EQ(HexEncode(sealed), vector.sealed);
    auto plain = cipher.Open(Bytes(vector.nonce), Bytes(vector.data), sealed);
    ASSERT_TRUE(plain);
    EXPECT_EQ(HexEncode(plain->Reveal()), vector.plain);
  }
}

TEST(AesGcm, OpensNothingThatWasChanged) {
  const Vector& vector = kVectors[3];
  AesGcm cipher(Bytes(vector.key));
  std::string nonce = Bytes(vector.nonce);
  std::string data = Bytes(vector.data);
  std::string sealed = Bytes(vector.sealed);
  for (std::string* part : {&nonce, &data, &sealed}) {
    for (char& byte : *part) {
      byte = static_cast<char>(byte ^ 1);
      EXPECT_FALSE(cipher.Open(nonce, data, sealed));
      byte = static_cast<char>(byte ^ 1);
    }
  }
  EXPECT_TRUE(cipher.Open(nonce, data, sealed));
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(cipher.Open(nonce, data, sealed.substr(0, size))) << size;
  }
  EXPECT_FALSE(AesGcm(Bytes(kZeroKey)).Open(nonce, data, sealed));
}

TEST(Scrypt, MatchesRfc7914) {
  // §12; the first 32 of its 64 bytes, which PBKDF2's first block gives.
  EXPECT_EQ(HexEncode(BytesOf(Scrypt("", "", 16, 1, 1))),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442");
  EXPECT_EQ(HexEncode(BytesOf(Scrypt("password", "NaCl", 1024, 8, 16))),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162");
}

}  // namespace
}  // namespace relay
