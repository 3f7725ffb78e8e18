// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/core/http/http2_peer.h"

namespace relay::h2 {
namespace {

using ::testing::HasSubstr;

TEST(Http2Client, BeginsWithPrefaceAndSettings) {
  ManualClock clock;
  std::unique_ptr<ClientCodec> codec = MakeHttp2Client("https", clock);
  Buffer out;
  codec->TakeOutput(out);
  EXPECT_TRUE(out.ToString().starts_with(kPreface));
  codec = MakeHttp2Client("https", clock);
  Reader reader(/*preface=*/true);
  EXPECT_EQ(reader.Take(*codec), "SETTINGS 6=65536 2=0 4=262144 | WINDOW 0 983041");
}

TEST(Http2Client, SendsARequestAndReadsTheAnswer) {
  Client client;
  Head head = Client::Ask("POST", "/v1/messages");
  head.Add("X-Api-Key", "k");
  head.Add("Host", "a");
  head.Add("Connection", "keep-alive");
  head.content_length = 2;
  EXPECT_EQ(client.Open(head, /*end=*/false), 1U);
  EXPECT_EQ(client.Send(1, "{}", true), 0U);
  EXPECT_EQ(client.Out(),
            "HEADERS 1 :method=POST :scheme=https :authority=a :path=/v1/messages x-api-key=k "
            "content-length=2 | DATA 1 2 end");
  client.Feed(Headers(1, {{":status", "200"}, {"content-length", "5"}}, 0) + Data(1, "hel") +
              Data(1, "lo", kEnd));
  EXPECT_EQ(client.Told(), "1 200 +hello end");
  EXPECT_EQ(client.head().content_length, 5U);
  EXPECT_EQ(client.codec->FreeStreams(), 100U);
}

}  // namespace
}  // namespace relay::h2
