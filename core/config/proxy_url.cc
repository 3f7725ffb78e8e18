// SPDX-License-Identifier: MIT
#include "core/config/proxy_url.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/percent.h"
#include "core/base/text.h"

namespace relay {
namespace {

using Kind = ProxyUrl::Kind;

constexpr size_t kMostUserinfo = 255;  // RFC 1929 §2: a length is one byte

std::optional<unsigned> HexDigit(char c) {
  constexpr std::string_view kDigits = "0123456789abcdef0123456789ABCDEF";
  size_t at = kDigits.find(c);
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned>(at % 16);
}

bool HasScheme(std::string_view text, std::string_view scheme) {
  return text.size() >= scheme.size() && std::equal(scheme.begin(), scheme.end(), text.begin(),
                                                    [](char a, char b) { return a == LowerOf(b); });
}

// One character from the front of `text`, percent-decoded; nothing when it is none that may stand
// in a user or password.
std::optional<char> TakeCharacter(std::string_view& text) {
  char c = text.front();
  size_t taken = 1;
  if (c == '%') {
    if (text.size() < 3) return std::nullopt;
    std::optional<unsigned> high = HexDigit(text[1]);
    std::optional<unsigned> low = HexDigit(text[2]);
    if (!high || !low) return std::nullopt;
    c = static_cast<char>(*high * 16 + *low);
    taken = 3;
  }
  auto byte = static_cast<unsigned char>(c);
  // A space, and bytes beyond ASCII, only where they were encoded.
  if (byte < 0x20 || byte == 0x7f || (taken == 1 && (byte == 0x20 || byte > 0x7f))) {
    return std::nullopt;
  }
  text.remove_prefix(taken);
  return c;
}

// A user or a password.
std::optional<Secret> Decode(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  bool good = !text.empty();
  while (good && !text.empty()) {
    std::optional<char> c = TakeCharacter(text);
    good = c && bytes.size() < kMostUserinfo;
    if (good) bytes += *c;
  }
  Secret secret = Secret::Take(bytes);
  if (!good) return std::nullopt;
  return secret;
}

// "user" or "user:password"; false when it is neither.
bool ReadUserinfo(std::string_view text, ProxyUrl& proxy) {
  size_t colon = std::min(text.find(':'), text.size());
  std::optional<Secret> user = Decode(text.substr(0, colon));
  if (!user) return false;
  bool socks = proxy.kind == Kind::kSocks5;
  if (!socks && user->Reveal().find(':') != std::string_view::npos) return false;
  proxy.user = *std::move(user);
  std::string_view rest = text.substr(std::min(colon + 1, text.size()));
  if (rest.empty()) return !socks;
  std::optional<Secret> password = Decode(rest);
  if (!password) return false;
  proxy.password = *std::move(password);
  return true;
}

// "" for none.
std::string_view SchemeOf(Kind kind) {
  switch (kind) {
    case Kind::kDirect: break;
    case Kind::kHttp: return "http://";
    case Kind::kHttps: return "https://";
    case Kind::kSocks5: return "socks5://";
  }
  return "";
}

}  // namespace

Parsed<ProxyUrl> ParseProxyUrl(std::string_view text) {
  ProxyUrl proxy;
  if (text == "direct") return proxy;
  constexpr std::pair<std::string_view, Kind> kSchemes[] = {{"http://", Kind::kHttp},
                                                            {"https://", Kind::kHttps},
                                                            {"socks5://", Kind::kSocks5},
                                                            {"socks5h://", Kind::kSocks5}};
  const auto* scheme =
      std::find_if(std::begin(kSchemes), std::end(kSchemes),
                   [&](const auto& known) { return HasScheme(text, known.first); });
  if (scheme == std::end(kSchemes)) return std::unexpected(Unfit::kSyntax);
  proxy.kind = scheme->second;
  text.remove_prefix(scheme->first.size());
  if (size_t at = text.rfind('@'); at != std::string_view::npos) {
    if (!ReadUserinfo(text.substr(0, at), proxy)) return std::unexpected(Unfit::kSyntax);
    text.remove_prefix(at + 1);
  }
  if (text.ends_with('/')) text.remove_suffix(1);
  Parsed<HostPort> authority = ParseHostPort(text);
  if (!authority) return std::unexpected(authority.error());
  if (authority->port == 0) return std::unexpected(Unfit::kTooLarge);
  proxy.host = std::move(authority->host);
  proxy.port = authority->port;
  return proxy;
}

std::string FormatProxyUrl(const ProxyUrl& value) {
  if (value.direct()) return "direct";
  return std::string(SchemeOf(value.kind)) + FormatHostPort({value.host, value.port});
}

Secret RevealProxyUrl(const ProxyUrl& value) {
  if (value.user.empty()) return Secret(FormatProxyUrl(value));
  std::string text(SchemeOf(value.kind));
  std::string user = PercentEncode(value.user.Reveal());
  std::string password = PercentEncode(value.password.Reveal());
  text += user;
  if (!password.empty()) text.append(1, ':').append(password);
  WipeString(user);
  WipeString(password);
  text.append(1, '@').append(FormatHostPort({value.host, value.port}));
  return Secret::Take(text);
}

}  // namespace relay
