// SPDX-License-Identifier: MIT
#include "core/net/address.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

TEST(Address, ReadsWhatItWrites) {
  for (const char* text : {"127.0.0.1:3000", "0.0.0.0:0", "[::1]:65535", "[2001:db8::1]:443"}) {
    Result<Address> address = Address::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(Address, RefusesWhatIsNotOne) {
  for (const char* text :
       {"", "3000", "localhost:80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1",
        "1.2.3.4: 80", "1.2.3.4:80x", "::1:80", "[1.2.3.4]:80", "[::1]", "1.2.3:80",
        "0x7f000001:80", "2130706433:80", "0177.0.0.1:80"}) {
    Result<Address> address = Address::Parse(text);
    EXPECT_FALSE(address) << text;
    if (!address) {
      EXPECT_NE(address.error().what.find("'" + std::string(text) + "'"), std::string::npos);
    }
  }
}

TEST(Address, TakesOnlyCanonicalLiterals) {
  EXPECT_TRUE(Address::FromLiteral("192.0.2.1", 1));
  EXPECT_TRUE(Address::FromLiteral("[::1]", 1));
  EXPECT_TRUE(Address::FromLiteral("::1", 1));
  for (const char* text : {"example.com", "127.1", "0x7f.0.0.1", "2130706433", "[127.0.0.1]", ""}) {
    EXPECT_FALSE(Address::FromLiteral(text, 1)) << text;
  }
  EXPECT_FALSE(Address::FromLiteral(std::string_view("1.2.3.4\0", 8), 1));
}

TEST(Address, AMappedIpv4AddressIsIpv4) {
  EXPECT_EQ(Address::FromLiteral("::ffff:192.0.2.1", 80)->ToString(), "192.0.2.1:80");
}

TEST(Address, KnowsTheOpenInternet) {
  for (const char* text : {"8.8.8.8", "160.79.104.10", "2607:6bc0::10", "172.32.0.1", "100.128.0.1",
                           "64:ff9b::808:808"}) {
    EXPECT_TRUE(Address::FromLiteral(text, 1)->IsPublic()) << text;
  }
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.0.0.1",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "198.18.0.1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "ff02::1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::a00:1",
                           "2002:7f00:1::",
                           "2001::1",
                           "2001:db8::1"}) {
    EXPECT_FALSE(Address::FromLiteral(text, 1)->IsPublic()) << text;
  }
}

TEST(Address, ComparesHostAndPort) {
  EXPECT_EQ(*Address::Parse("1.2.3.4:5"), *Address::Parse("1.2.3.4:5"));
  EXPECT_FALSE(*Address::Parse("1.2.3.4:5") == *Address::Parse("1.2.3.4:6"));
  EXPECT_FALSE(*Address::Parse("1.2.3.4:5") == *Address::Parse("[::1]:5"));
}

}  // namespace
}  // namespace relay
