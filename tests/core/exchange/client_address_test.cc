// SPDX-License-Identifier: MIT
#include "core/exchange/client_address.h"

#include <gtest/gtest.h>

#include <vector>

namespace relay {
namespace {

// The client's address as it is taken, "" for none.
std::string Of(std::string_view peer, const std::vector<std::string>& forwarded,
               const std::vector<std::string>& trusted = {"10.0.0.0/8", "fd00::/8"}) {
  Head head;
  for (const std::string& value : forwarded) head.fields.push_back({"X-Forwarded-For", value});
  std::vector<Network> nets;
  for (const std::string& text : trusted) nets.push_back(*Network::Parse(text));
  auto client = ClientAddress(peer, head, nets);
  return client ? client->ToString() : "";
}

TEST(ClientAddress, IsThePeersUnlessThatIsATrustedProxy) {
  EXPECT_EQ(Of("192.0.2.1:4711", {"203.0.113.9"}), "192.0.2.1");
  EXPECT_EQ(Of("[2001:db8::1]:4711", {"203.0.113.9"}), "2001:db8::1");
  EXPECT_EQ(Of("10.0.0.1:4711", {}), "10.0.0.1");
  EXPECT_EQ(Of("10.0.0.1:4711", {"203.0.113.9"}), "203.0.113.9");
  EXPECT_EQ(Of("[fd00::1]:4711", {"2001:db8::9"}), "2001:db8::9");
  EXPECT_EQ(Of("10.0.0.1:4711", {"203.0.113.9"}, {}), "10.0.0.1");
  EXPECT_EQ(Of("", {"203.0.113.9"}), "");
}

TEST(ClientAddress, BelievesNobodyBeforeTheLastThatIsNotTrusted) {
  EXPECT_EQ(Of("10.0.0.1:1", {"127.0.0.1, 203.0.113.9, 10.0.0.2"}), "203.0.113.9");
  EXPECT_EQ(Of("10.0.0.1:1", {"127.0.0.1", "203.0.113.9,10.0.0.3", "10.0.0.2"}), "203.0.113.9");
  EXPECT_EQ(Of("10.0.0.1:1", {"10.0.0.3, 10.0.0.2"}), "10.0.0.3") << "all of them are ours";
}

TEST(ClientAddress, TakesAProxyForAClientThatItHides) {
  EXPECT_EQ(Of("10.0.0.1:1", {"203.0.113.9, unknown"}), "10.0.0.1");
  EXPECT_EQ(Of("10.0.0.1:1", {"203.0.113.9,"}), "10.0.0.1");
  EXPECT_EQ(Of("10.0.0.1:1", {"192.0.2.7, _hidden, 10.0.0.2"}), "10.0.0.2");
}

TEST(ClientAddress, ReadsItemsWithPorts) {
  EXPECT_EQ(Of("10.0.0.1:1", {"203.0.113.9:55"}), "203.0.113.9");
  EXPECT_EQ(Of("10.0.0.1:1", {"[2001:db8::9]:55"}), "2001:db8::9");
  EXPECT_EQ(Of("10.0.0.1:1", {"\t 203.0.113.9 \t"}), "203.0.113.9");
}

}  // namespace
}  // namespace relay
