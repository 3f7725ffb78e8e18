// SPDX-License-Identifier: MIT
// Requests that were made to be read in two ways, or to make a server hold too much. Each must be
// refused with its status, whole or byte by byte, and nothing behind it may be read.
#include <gtest/gtest.h>

#include "tests/core/http/http1_peer.h"

namespace relay {
namespace {

using std::string_literals::operator""s;

// What an attacker hopes to have read as a second request.
constexpr std::string_view kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

struct Hostile {
  const char* requirement;
  const char* name;
  std::string bytes;
  std::string told = "refused:400";
};

std::ostream& operator<<(std::ostream& out, const Hostile& hostile) {
  return out << hostile.name;
}

std::string Line(std::string_view line) {
  return std::string(line) + "\r\nHost: a\r\n\r\n" + std::string(kSmuggled);
}

// A POST with these fields beside Host, and this behind its head.
std::string Post(std::string_view fields, std::string_view body = "") {
  return "POST /p HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body) +
         std::string(kSmuggled);
}

std::string Chunked(std::string_view body) {
  return Post("Transfer-Encoding: chunked\r\n", body);
}

std::string Get(std::string_view head) {
  return "GET / HTTP/1.1\r\n" + std::string(head) + "\r\n" + std::string(kSmuggled);
}

std::string Repeat(std::string_view text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

std::vector<Hostile> Framing() {
  const std::string both = "0\r\n\r\n";
  return {
      {"R2", "ContentLengthThenChunked",
       Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", both)},
      {"R2", "ChunkedThenContentLength",
       Post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", both)},
      {"R2", "ContentLengthZeroAndChunked",
       Post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", both)},
      {"R2", "TwoContentLengths", Post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")},
      {"R2", "TwoEqualContentLengths", Post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")},
      {"R2", "TwoContentLengthsOtherCase",
       Post("Content-Length: 5\r\ncontent-LENGTH: 0\r\n", "hello")},
      {"R2", "ContentLengthList", Post("Content-Length: 5, 5\r\n", "hello")},
      {"R2", "ContentLengthListOtherValue", Post("Content-Length: 5,6\r\n", "hello")},
      {"R2", "ContentLengthEmpty", Post("Content-Length:\r\n")},
      {"R2", "ContentLengthBlank", Post("Content-Length: \t \r\n")},
      {"R2", "ContentLengthTabBehind", Post("Content-Length: 5\t\r\n", "hello")},
      {"R2", "ContentLengthPlus", Post("Content-Length: +5\r\n", "hello")},
      {"R2", "ContentLengthMinus", Post("Content-Length: -5\r\n", "hello")},
      {"R2", "ContentLengthMinusZero", Post("Content-Length: -0\r\n")},
      {"R2", "ContentLengthHex", Post("Content-Length: 0x5\r\n", "hello")},
      {"R2", "ContentLengthHexDigit", Post("Content-Length: a\r\n", "0123456789")},
      {"R2", "ContentLengthUnderscore", Post("Content-Length: 1_0\r\n", "0123456789")},
      {"R2", "ContentLengthFraction", Post("Content-Length: 5.0\r\n", "hello")},
      {"R2", "ContentLengthExponent", Post("Content-Length: 1e1\r\n", "0123456789")},
      {"R2", "ContentLengthInnerSpace", Post("Content-Length: 1 0\r\n", "0123456789")},
      {"R2", "ContentLengthQuoted", Post("Content-Length: \"5\"\r\n", "hello")},
      {"R2", "ContentLengthSemicolon", Post("Content-Length: 5;x=y\r\n", "hello")},
      {"R2", "ContentLengthOver63Bits", Post("Content-Length: 9223372036854775808\r\n")},
      {"R2", "ContentLengthOver64Bits", Post("Content-Length: 18446744073709551616\r\n")},
      {"R2", "ContentLengthWrapsToFive", Post("Content-Length: 18446744073709551621\r\n", "hello")},
      {"R2", "ContentLengthOtherDigits", Post("Content-Length: \xd9\xa5\r\n", "hello")},
      {"R2", "ContentLengthNoBreakSpace", Post("Content-Length: \xa0"s + "5\r\n", "hello")},
      {"R2", "TwoChunkedFields",
       Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", both)},
      {"R2", "ChunkedThenIdentity",
       Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", both)},
      {"R2", "IdentityThenChunked",
       Post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", both)},
      {"R2", "ChunkedTwiceInOne", Post("Transfer-Encoding: chunked, chunked\r\n", both)},
      {"R2", "GzipThenChunked", Post("Transfer-Encoding: gzip, chunked\r\n", both)},
      {"R2", "ChunkedThenGzip", Post("Transfer-Encoding: chunked, gzip\r\n", both)},
      {"R2", "Identity", Post("Transfer-Encoding: identity\r\n", both)},
      {"R2", "UnknownEncoding", Post("Transfer-Encoding: xchunked\r\n", both)},
      {"R2", "EncodingEmpty", Post("Transfer-Encoding:\r\n", both)},
      {"R2", "EncodingComma", Post("Transfer-Encoding: ,chunked\r\n", both)},
      {"R2", "EncodingTrailingComma", Post("Transfer-Encoding: chunked,\r\n", both)},
      {"R2", "EncodingParameter", Post("Transfer-Encoding: chunked;q=1\r\n", both)},
      {"R2", "EncodingQuoted", Post("Transfer-Encoding: \"chunked\"\r\n", both)},
      {"R2", "EncodingDotted", Post("Transfer-Encoding: chunked.\r\n", both)},
      {"R2", "EncodingVerticalTab", Post("Transfer-Encoding: \x0b"s + "chunked\r\n", both)},
      {"R2", "EncodingFormFeed", Post("Transfer-Encoding: chunked\x0c\r\n", both)},
      {"R2", "EncodingNul", Post("Transfer-Encoding: chunked\0\r\n"s, both)},
      {"R2", "EncodingInHttp10",
       "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + both +
           std::string(kSmuggled)},
      {"R2", "EncodingOnGetWithLength",
       Get("Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n")},
  };
}

std::vector<Hostile> RequestLines() {
  std::vector<Hostile> all = {
      {"R3", "NoVersion", Line("GET /")},
      {"R3", "OnlyMethod", Line("GET")},
      {"R3", "NoTarget", Line("GET HTTP/1.1")},
      {"R3", "EmptyTarget", Line("GET  HTTP/1.1")},
      {"R3", "TwoSpacesBeforeTarget", Line("GET  / HTTP/1.1")},
      {"R3", "TwoSpacesBehindTarget", Line("GET /  HTTP/1.1")},
      {"R3", "SpaceBehindVersion", Line("GET / HTTP/1.1 ")},
      {"R3", "SpaceBeforeMethod", Line(" GET / HTTP/1.1")},
      {"R3", "SpaceInTarget", Line("GET /a b HTTP/1.1")},
      {"R3", "TabForSpace", Line("GET\t/ HTTP/1.1")},
      {"R3", "TabBehindTarget", Line("GET /\tHTTP/1.1")},
      {"R3", "TabInTarget", Line("GET /a\tb HTTP/1.1")},
      {"R3", "VerticalTabForSpace", Line("GET\x0b/ HTTP/1.1")},
      {"R3", "NulInTarget", Line("GET /a\0b HTTP/1.1"s)},
      {"R3", "DelInTarget", Line("GET /a\x7f HTTP/1.1")},
      {"R3", "ObsTextInTarget", Line("GET /\xc3\xa4 HTTP/1.1")},
      {"R3", "Fragment", Line("GET /a#b HTTP/1.1")},
      {"R3", "FragmentInQuery", Line("GET /a?b#c HTTP/1.1")},
      {"R3", "FragmentInAbsoluteTarget", Line("GET http://a/#c HTTP/1.1")},
      {"R3", "RelativeTarget", Line("GET a HTTP/1.1")},
      {"R3", "BackslashTarget", Line("GET \\a HTTP/1.1")},
      {"R3", "QueryOnlyTarget", Line("GET ?a HTTP/1.1")},
      {"R3", "StarTarget", Line("GET * HTTP/1.1")},
      {"R3", "AuthorityTarget", Line("GET a:80 HTTP/1.1")},
      {"R3", "OtherScheme", Line("GET ftp://a/ HTTP/1.1")},
      {"R3", "FileScheme", Line("GET file:///etc/passwd HTTP/1.1")},
      {"R3", "SchemeWithoutAuthority", Line("GET http:///a HTTP/1.1")},
      {"R3", "SchemeOneSlash", Line("GET http:/a HTTP/1.1")},
      {"R3", "UserInAbsoluteTarget", Line("GET http://u:p@a/ HTTP/1.1")},
      {"R3", "BadPortInAbsoluteTarget", Line("GET http://a:b/ HTTP/1.1")},
      {"R3", "BackslashInAbsoluteTarget", Line("GET http://a\\b/ HTTP/1.1")},
      {"R3", "Version09", Line("GET / HTTP/0.9")},
      {"R3", "Version12", Line("GET / HTTP/1.2")},
      {"R3", "Version2", Line("GET / HTTP/2.0")},
      {"R3", "Version11WithZero", Line("GET / HTTP/1.10")},
      {"R3", "VersionZeroPadded", Line("GET / HTTP/01.1")},
      {"R3", "VersionLowerCase", Line("GET / http/1.1")},
      {"R3", "VersionComma", Line("GET / HTTP/1,1")},
      {"R3", "VersionMinus", Line("GET / HTTP/-1.1")},
      {"R3", "VersionHttps", Line("GET / HTTPS/1.1")},
      {"R3", "VersionShort", Line("GET / HTTP/1")},
      {"R3", "VersionSpace", Line("GET / HTTP /1.1")},
      {"R3", "MethodColon", Line("GE:T / HTTP/1.1")},
      {"R3", "MethodBraces", Line("{GET} / HTTP/1.1")},
      {"R3", "MethodNul", Line("GE\0T / HTTP/1.1"s)},
      {"R3", "MethodObsText", Line("G\xc3\x89T / HTTP/1.1")},
      {"R3", "Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {"R3", "TlsHello", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"s},
      {"R9", "Connect", Line("CONNECT a:443 HTTP/1.1"), "refused:405"},
      {"R9", "ConnectPath", Line("CONNECT /a HTTP/1.1"), "refused:405"},
      {"R9", "Trace", Line("TRACE / HTTP/1.1"), "refused:405"},
      {"R9", "Track", Line("TRACK / HTTP/1.1"), "refused:405"},
      {"R9", "LowerCaseMethod", Line("get / HTTP/1.1"), "refused:405"},
      {"R9", "UnknownMethod", Line("SMUGGLE / HTTP/1.1"), "refused:405"},
      {"R9", "OptionsStar", Line("OPTIONS * HTTP/1.1"), "refused:405"},
  };
  return all;
}

std::vector<Hostile> Fields() {
  std::vector<Hostile> all = {
      {"R3", "BareLfEverywhere", "GET / HTTP/1.1\nHost: a\n\n" + std::string(kSmuggled)},
      {"R3", "BareLfAfterRequestLine", "GET / HTTP/1.1\nHost: a\r\n\r\n" + std::string(kSmuggled)},
      {"R3", "BareLfAfterField", Get("Host: a\nX: b\r\n")},
      {"R3", "BareLfAtEnd", "GET / HTTP/1.1\r\nHost: a\r\n\n" + std::string(kSmuggled)},
      {"R3", "BareLfBeforeRequest", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"R3", "BareCrInValue", Get("Host: a\r\nX: a\rb\r\n")},
      {"R3", "BareCrHidesField", Get("Host: a\r\nX: a\rContent-Length: 5\r\n")},
      {"R3", "BareCrBeforeCrLf", Get("Host: a\r\nX: a\r\r\n")},
      {"R3", "BareCrInName", Get("Host: a\r\nX\rY: a\r\n")},
      {"R3", "BareCrAtEnd", "GET / HTTP/1.1\r\nHost: a\r\n\rX" + std::string(kSmuggled)},
      {"R3", "BareCrInRequestLine", Line("GET /\rHTTP/1.1")},
      {"R3", "NulInValue", Get("Host: a\r\nX: a\0b\r\n"s)},
      {"R3", "NulInName", Get("Host: a\r\nX\0: b\r\n"s)},
      {"R3", "NulAtValuesEnd", Get("Host: a\r\nX: key\0\r\n"s)},
      {"R3", "SohInValue", Get("Host: a\r\nX: a\x01\r\n")},
      {"R3", "BackspaceInValue", Get("Host: a\r\nX: a\x08\r\n")},
      {"R3", "EscapeInValue", Get("Host: a\r\nX: \x1b[2J\r\n")},
      {"R3", "UnitSeparatorInValue", Get("Host: a\r\nX: a\x1f\r\n")},
      {"R3", "DelInValue", Get("Host: a\r\nX: a\x7f\r\n")},
      {"R3", "SpaceBeforeColon", Get("Host: a\r\nX : b\r\n")},
      {"R3", "TabBeforeColon", Get("Host: a\r\nX\t: b\r\n")},
      {"R3", "SpaceBeforeColonOfLength", Post("Content-Length : 5\r\n", "hello")},
      {"R3", "SpaceBeforeColonOfEncoding", Post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")},
      {"R3", "SpaceInName", Get("Host: a\r\nX Y: b\r\n")},
      {"R3", "FoldBySpace", Get("Host: a\r\nX: b\r\n c\r\n")},
      {"R3", "FoldByTab", Get("Host: a\r\nX: b\r\n\tc\r\n")},
      {"R3", "FoldedEncoding", Post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")},
      {"R3", "FoldBehindRequestLine", Get(" X: b\r\nHost: a\r\n")},
      {"R3", "FoldedLengthOfNothing", Post("X: y\r\n Content-Length: 5\r\n", "hello")},
      {"R3", "BlankLineOfSpaces", Get("Host: a\r\n \r\n")},
      {"R3", "EmptyName", Get("Host: a\r\n: b\r\n")},
      {"R3", "NoColon", Get("Host: a\r\nX\r\n")},
      {"R3", "NoColonButLength", Post("Content-Length 5\r\n", "hello")},
      {"R3", "NameInParentheses", Get("Host: a\r\n(X): b\r\n")},
      {"R3", "NameWithSlash", Get("Host: a\r\nX/Y: b\r\n")},
      {"R3", "NameWithObsText", Get("Host: a\r\nX\xc3\xa4: b\r\n")},
      {"R3", "NameWithQuote", Get("Host: a\r\n\"X\": b\r\n")},
      {"R3", "NameWithComma", Get("Host: a\r\nX,Y: b\r\n")},
      {"R3", "NameWithAt", Get("Host: a\r\nX@Y: b\r\n")},
      {"R3", "ByteOrderMarkBeforeName", Get("\xef\xbb\xbfHost: a\r\n")},
      {"R3", "NoHost", Get("X: y\r\n")},
      {"R3", "TwoHosts", Get("Host: a\r\nHost: b\r\n")},
      {"R3", "TwoEqualHosts", Get("Host: a\r\nHost: a\r\n")},
      {"R3", "TwoHostsOtherCase", Get("Host: a\r\nhOST: a\r\n")},
      {"R3", "NoHostButAbsoluteTarget", "GET http://a/ HTTP/1.1\r\n\r\n"},
      {"R3", "HostEmpty", Get("Host:\r\n")},
      {"R3", "HostWithSpace", Get("Host: a b\r\n")},
      {"R3", "HostWithTab", Get("Host: a\tb\r\n")},
      {"R3", "HostWithUser", Get("Host: u@a\r\n")},
      {"R3", "HostWithPath", Get("Host: a/b\r\n")},
      {"R3", "HostWithScheme", Get("Host: http://a\r\n")},
      {"R3", "HostList", Get("Host: a,b\r\n")},
      {"R3", "HostWithQuery", Get("Host: a?b\r\n")},
      {"R3", "HostWithFragment", Get("Host: a#b\r\n")},
      {"R3", "HostWithBackslash", Get("Host: a\\b\r\n")},
      {"R3", "HostWithQuote", Get("Host: a\"\r\n")},
      {"R3", "HostWithObsText", Get("Host: \xc3\xa4\r\n")},
      {"R3", "HostPortNotNumber", Get("Host: a:b\r\n")},
      {"R3", "HostPortEmpty", Get("Host: a:\r\n")},
      {"R3", "HostPortTooLarge", Get("Host: a:65536\r\n")},
      {"R3", "HostPortTooLong", Get("Host: a:000080\r\n")},
      {"R3", "HostPortNegative", Get("Host: a:-1\r\n")},
      {"R3", "HostTwoPorts", Get("Host: a:80:80\r\n")},
      {"R3", "HostOnlyPort", Get("Host: :80\r\n")},
      {"R3", "HostOpenBracket", Get("Host: [::1\r\n")},
      {"R3", "HostEmptyBracket", Get("Host: []\r\n")},
      {"R3", "HostWordInBracket", Get("Host: [xyz]\r\n")},
      {"R3", "HostBehindBracket", Get("Host: [::1]a\r\n")},
      {"R10", "ExpectOther", Post("Expect: 200-ok\r\nContent-Length: 5\r\n", "hello"),
       "refused:417"},
      {"R10", "ExpectList", Post("Expect: 100-continue, x\r\nContent-Length: 5\r\n", "hello"),
       "refused:417"},
      {"R10", "ExpectTwice",
       Post("Expect: 100-continue\r\nExpect: y\r\nContent-Length: 5\r\n", "hello"), "refused:417"},
      {"R10", "ExpectEmpty", Post("Expect:\r\nContent-Length: 5\r\n", "hello"), "refused:417"},
  };
  return all;
}

std::vector<Hostile> Chunks() {
  return {
      {"R4", "SizeNegative", Chunked("-1\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizePlus", Chunked("+5\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeHexPrefix", Chunked("0x5\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeUnderscore", Chunked("1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
       "POST /p broken:400"},
      {"R4", "SizeFraction", Chunked("5.0\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeEmpty", Chunked("\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeOnlyExtension", Chunked(";a=b\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeSpaceBefore", Chunked(" 5\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeSpaceBehind", Chunked("5 \r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeTabBehind", Chunked("5\t\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeSpaceThenExtension", Chunked("5 ;a\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeSeventeenDigits", Chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"),
       "POST /p broken:400"},
      {"R4", "SizeWraps", Chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeHuge", Chunked("ffffffffffffffff\r\nhello"), "POST /p broken:413"},
      {"R4", "SizeBareLf", Chunked("5\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeBareCr", Chunked("5\rhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeCrCrLf", Chunked("5\r\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "SizeNul", Chunked("5\0\r\nhello\r\n0\r\n\r\n"s), "POST /p broken:400"},
      {"R4", "ExtensionBareLf", Chunked("5;a\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "ExtensionBareCr", Chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), "POST /p broken:400"},
      {"R4", "ExtensionQuotedLf", Chunked("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
       "POST /p broken:400"},
      {"R4", "ExtensionNul", Chunked("5;a\0\r\nhello\r\n0\r\n\r\n"s), "POST /p broken:400"},
      {"R4", "ExtensionTooLong", Chunked("5;" + std::string(1025, 'a') + "\r\nhello\r\n0\r\n\r\n"),
       "POST /p broken:400"},
      {"R4", "ExtensionsTooLongInAll",
       Chunked(Repeat("1;" + std::string(1000, 'a') + "\r\nx\r\n", 17) + "0\r\n\r\n"),
       "POST /p +" + std::string(16, 'x') + " broken:400"},
      {"R4", "DataLongerThanSize", Chunked("4\r\nhello\r\n0\r\n\r\n"), "POST /p +hell broken:400"},
      {"R4", "DataShorterThanSize", Chunked("6\r\nhello\r\n0\r\n\r\n"),
       "POST /p +hello\r broken:400"},
      {"R4", "DataEndBareLf", Chunked("5\r\nhello\n0\r\n\r\n"), "POST /p +hello broken:400"},
      {"R4", "DataEndBareCr", Chunked("5\r\nhello\r0\r\n\r\n"), "POST /p +hello broken:400"},
      {"R4", "DataEndTwoBytes", Chunked("5\r\nhelloXX0\r\n\r\n"), "POST /p +hello broken:400"},
      {"R4", "DataEndMissing", Chunked("5\r\nhello0\r\n\r\n"), "POST /p +hello broken:400"},
      {"R4", "LastChunkBareLf", Chunked("5\r\nhello\r\n0\n\r\n"), "POST /p +hello broken:400"},
      {"R4", "EndBareLf", Chunked("5\r\nhello\r\n0\r\n\n"), "POST /p +hello broken:400"},
      {"R4", "EndBareCr", Chunked("5\r\nhello\r\n0\r\n\rX"), "POST /p +hello broken:400"},
      {"R4", "EndMissing", Chunked("5\r\nhello\r\n0\r\n"), "POST /p +hello broken:400"},
      {"R4", "TrailerNoColon", Chunked("0\r\nX\r\n\r\n"), "POST /p broken:400"},
      {"R4", "TrailerSpaceBeforeColon", Chunked("0\r\nX : a\r\n\r\n"), "POST /p broken:400"},
      {"R4", "TrailerFolded", Chunked("0\r\nX: a\r\n b\r\n\r\n"), "POST /p broken:400"},
      {"R4", "TrailerEmptyName", Chunked("0\r\n: a\r\n\r\n"), "POST /p broken:400"},
      {"R4", "TrailerNul", Chunked("0\r\nX: \0\r\n\r\n"s), "POST /p broken:400"},
      {"R4", "TrailerBareLf", Chunked("0\r\nX: a\n\r\n"), "POST /p broken:400"},
      {"R4", "TrailerBareCr", Chunked("0\r\nX: a\rb\r\n\r\n"), "POST /p broken:400"},
      {"R4", "TrailersTooLong", Chunked("0\r\n" + Repeat("X: 0123456789\r\n", 600) + "\r\n"),
       "POST /p broken:400"},
      {"R4", "NotChunkedAtAll", Chunked("hello"), "POST /p broken:400"},
  };
}

std::vector<Hostile> Sizes() {
  const std::string host = "Host: a\r\n";
  return {
      {"R5", "TargetTooLong", Line("GET /" + std::string(16 << 10, 'a') + " HTTP/1.1"),
       "refused:414"},
      {"R5", "MethodTooLong", Line(std::string(17 << 10, 'A') + " / HTTP/1.1"), "refused:414"},
      {"R5", "LineWithoutEnd", std::string(17 << 10, 'A'), "refused:414"},
      {"R5", "OneFieldTooLong", Get(host + "X: " + std::string(33 << 10, 'a') + "\r\n"),
       "refused:431"},
      {"R5", "OneNameTooLong", Get(host + std::string(33 << 10, 'a') + ": b\r\n"), "refused:431"},
      {"R5", "FieldWithoutEnd", "GET / HTTP/1.1\r\nX: " + std::string(33 << 10, 'a'),
       "refused:431"},
      {"R5", "ManyFields", Get(host + Repeat("X: a\r\n", 100)), "refused:431"},
      {"R5", "ManyLongFields", Get(host + Repeat("X: " + std::string(500, 'a') + "\r\n", 80)),
       "refused:431"},
      {"R5", "NineEmptyLines", Repeat("\r\n", 9) + std::string(kSmuggled)},
      {"R5", "EmptyLinesWithoutEnd", Repeat("\r\n", 100)},
      {"R5", "BodyAnnouncedTooLarge", Post("Content-Length: 33554433\r\n"), "POST /p broken:413"},
      {"R5", "BodyAnnouncedHuge", Post("Content-Length: 9223372036854775807\r\n"),
       "POST /p broken:413"},
      {"R5", "ChunkAnnouncedTooLarge", Chunked("2000001\r\n"), "POST /p broken:413"},
  };
}

std::vector<Hostile> AllHostile() {
  std::vector<Hostile> all;
  for (auto* part : {Framing, RequestLines, Fields, Chunks, Sizes}) {
    for (Hostile& hostile : part()) all.push_back(std::move(hostile));
  }
  return all;
}

class HostileRequest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileRequest, IsRefusedHoweverItIsCutAndNothingBehindItIsRead) {
  const Hostile& hostile = GetParam();
  for (size_t size : {hostile.bytes.size(), size_t{1}, size_t{7}, size_t{1000}}) {
    std::unique_ptr<Codec> codec = MakeHttp1Server(CodecLimits());
    Record record;
    for (std::string_view piece : Pieces(hostile.bytes, size)) {
      ASSERT_TRUE(codec->Receive(ExactChunk(piece), record));
    }
    EXPECT_EQ(record.Text(), hostile.told) << "in pieces of " << size;
    ASSERT_FALSE(record.messages.empty());
    EXPECT_TRUE(codec->must_close());

    Head answer;
    answer.status = 400;
    answer.content_length = 3;
    Buffer body;
    body.AppendCopy("no\n");
    codec->SendHead(record.messages.back().id, answer, /*end=*/false);
    codec->SendData(record.messages.back().id, body, /*end=*/true);
    EXPECT_EQ(Output(*codec),
              "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
    EXPECT_TRUE(codec->must_close());

    ASSERT_TRUE(codec->Receive(ExactChunk(kSmuggled), record));
    ASSERT_TRUE(codec->Receive(Chunk(), record));
    EXPECT_EQ(record.Text(), hostile.told);
    EXPECT_FALSE(codec->mid_message());
    EXPECT_EQ(Output(*codec), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Http1, HostileRequest, ::testing::ValuesIn(AllHostile()),
                         [](const auto& at) {
                           return std::string(at.param.requirement) + at.param.name;
                         });

TEST(HostileRequests, AreAtLeast150) {
  EXPECT_GE(AllHostile().size(), 150U);
}

}  // namespace
}  // namespace relay
