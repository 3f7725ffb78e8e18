// SPDX-License-Identifier: MIT
#include "core/base/network.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

bool In(std::string_view net, std::string_view address) {
  return Network::Parse(net)->Contains(*IpAddress::Parse(address));
}

TEST(IpAddress, ReadsBothFamiliesInTheirUsualForms) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "::1"}) {
    ASSERT_TRUE(IpAddress::Parse(text)) << text;
    EXPECT_EQ(IpAddress::Parse(text)->ToString(), text);
  }
  EXPECT_EQ(IpAddress::Parse("::ffff:192.0.2.1"), IpAddress::Parse("192.0.2.1"));
  for (const char* text : {"", "localhost", "1.2.3", "010.0.0.1", "1.2.3.4 ", "[::1]", "::1%lo",
                           "1.2.3.4:80", "0x7f000001", "1::2::3"}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
}

TEST(Network, HoldsItsAddressesAndNoOthers) {
  EXPECT_TRUE(In("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(In("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(In("192.0.2.128/25", "192.0.2.128"));
  EXPECT_FALSE(In("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(In("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(In("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(In("2001:db8::/32", "2001:db8:ffff::1"));
  EXPECT_FALSE(In("2001:db8::/32", "2001:db9::1"));
  EXPECT_TRUE(In("2001:db8::/33", "2001:db8:7fff::"));
  EXPECT_FALSE(In("2001:db8::/33", "2001:db8:8000::"));
}

TEST(Network, OfOneFamilyHoldsNoneOfTheOther) {
  EXPECT_TRUE(In("0.0.0.0/0", "203.0.113.9"));
  EXPECT_FALSE(In("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(In("::/0", "2001:db8::1"));
  EXPECT_FALSE(In("::/0", "203.0.113.9"));
  EXPECT_TRUE(In("::ffff:10.0.0.0/104", "10.1.1.1"));
}

TEST(Network, IsNothingWhereItIsNotExact) {
  for (const char* text : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/08",
                           "/8", "2001:db8::1/32", "::/129", "10.0.0.0/8/8", "example.com/8"}) {
    EXPECT_FALSE(Network::Parse(text)) << text;
  }
}

}  // namespace
}  // namespace relay
