// SPDX-License-Identifier: MIT
#include "core/config/proxy_url.h"

#include <gtest/gtest.h>

namespace relay {
namespace {

using Kind = ProxyUrl::Kind;

ProxyUrl Read(std::string_view text) {
  Parsed<ProxyUrl> parsed = ParseProxyUrl(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : ProxyUrl();
}

TEST(ParseProxyUrl, TakesEachKindOfProxy) {
  struct Case {
    const char* text;
    Kind kind;
    const char* host;
    uint16_t port;
    const char* formatted;
  };
  for (const Case& c : {
           Case{"http://proxy.test:8888", Kind::kHttp, "proxy.test", 8888,
                "http://proxy.test:8888"},
           Case{"HTTPS://Proxy.Test:443/", Kind::kHttps, "proxy.test", 443,
                "https://proxy.test:443"},
           Case{"socks5://127.0.0.1:1080", Kind::kSocks5, "127.0.0.1", 1080,
                "socks5://127.0.0.1:1080"},
           Case{"socks5h://[::1]:1080", Kind::kSocks5, "::1", 1080, "socks5://[::1]:1080"},
       }) {
    SCOPED_TRACE(c.text);
    ProxyUrl proxy = Read(c.text);
    EXPECT_EQ(proxy.kind, c.kind);
    EXPECT_EQ(proxy.host, c.host);
    EXPECT_EQ(proxy.port, c.port);
    EXPECT_TRUE(proxy.user.empty());
    EXPECT_EQ(FormatProxyUrl(proxy), c.formatted);
  }
  EXPECT_TRUE(Read("direct").direct());
  EXPECT_EQ(FormatProxyUrl(ProxyUrl()), "direct");
}

TEST(ParseProxyUrl, ReadsUserAndPasswordAsTheyWereMeant) {
  struct Case {
    const char* userinfo;
    const char* user;
    const char* password;
  };
  for (const Case& c : {
           Case{"u:p", "u", "p"},
           Case{"u:p:q", "u", "p:q"},
           Case{"u:p@ss/w?rd#", "u", "p@ss/w?rd#"},
           Case{"u%40corp:%25%3a%C3%A4%20x", "u@corp", "%:\xC3\xA4 x"},
       }) {
    SCOPED_TRACE(c.userinfo);
    for (const char* scheme : {"http://", "socks5://"}) {
      ProxyUrl proxy = Read(std::string(scheme) + c.userinfo + "@proxy.test:1");
      EXPECT_EQ(proxy.user.Reveal(), c.user);
      EXPECT_EQ(proxy.password.Reveal(), c.password);
      EXPECT_EQ(proxy.host, "proxy.test");
    }
  }
  EXPECT_EQ(Read("http://u@proxy.test:1").user.Reveal(), "u");
  EXPECT_EQ(Read("http://u:@proxy.test:1").password.Reveal(), "");
  std::string longest(255, 'x');
  EXPECT_EQ(Read("socks5://u:" + longest + "@p.test:1").password.Reveal(), longest);
}

TEST(RevealProxyUrl, IsReadAsItWasWritten) {
  for (const char* text : {"direct", "http://p.test:1", "https://u@p.test:1",
                           "socks5://u%40x:%25p%3Aq%2Fr@p.test:1", "http://u:@[::1]:8080"}) {
    ProxyUrl proxy = Read(text);
    EXPECT_EQ(Read(RevealProxyUrl(proxy).Reveal()), proxy) << text;
  }
}

TEST(ParseProxyUrl, NeverShowsThem) {
  EXPECT_EQ(FormatProxyUrl(Read("socks5://alice:s3cret@p.test:1")), "socks5://p.test:1");
}

TEST(ParseProxyUrl, RefusesWhatIsNone) {
  std::string too_long(256, 'x');
  for (const std::string& text : {
           std::string(""),
           std::string("none"),
           std::string("Direct"),
           std::string("proxy.test:8888"),
           std::string("socks4://p.test:1"),
           std::string("socks://p.test:1"),
           std::string("http:/p.test:1"),
           std::string("http://p.test"),        // no port
           std::string("http://p.test:0"),      // no port either
           std::string("http://p.test:65536"),  // none
           std::string("http://p.test:1/path"),
           std::string("http://p.test:1?q"),
           std::string("http://:1"),
           std::string("http://0x7f.1:1"),
           std::string("http://u:p@:1"),
           std::string("http://@p.test:1"),
           std::string("http://:p@p.test:1"),
           std::string("http://u:p%@p.test:1"),
           std::string("http://u:p%4@p.test:1"),
           std::string("http://u:p%zz@p.test:1"),
           std::string("http://u:p%00@p.test:1"),
           std::string("http://u:p%0d%0aX-Y:z@p.test:1"),
           std::string("http://u:p%7f@p.test:1"),
           std::string("http://u:p q@p.test:1"),
           std::string("http://u:p\xC3\xA4@p.test:1"),
           std::string("http://u%3av:p@p.test:1"),  // RFC 7617: its password would be 'v:p'
           std::string("socks5://u@p.test:1"),      // RFC 1929: a password has a byte at least
           std::string("socks5://u:@p.test:1"),
           "http://u:" + too_long + "@p.test:1",
           "http://" + too_long + ":p@p.test:1",
       }) {
    EXPECT_FALSE(ParseProxyUrl(text)) << text;
  }
}

}  // namespace
}  // namespace relay
