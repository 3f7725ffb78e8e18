// SPDX-License-Identifier: MIT
#include "core/exchange/client_address.h"

#include <algorithm>
#include <string>

namespace relay {
namespace {

// "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:4711".
std::optional<IpAddress> WithoutPort(std::string_view text) {
  if (text.starts_with('[')) return IpAddress::Parse(text.substr(1, text.find(']') - 1));
  size_t colon = text.find(':');
  bool one = colon != text.npos && text.find(':', colon + 1) == text.npos;
  return IpAddress::Parse(one ? text.substr(0, colon) : text);
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<IpAddress> ClientAddress(std::string_view peer, const Head& request,
                                       std::span<const Network> trusted) {
  std::optional<IpAddress> client = WithoutPort(peer);
  // From the last field and its last item to the first: each was written by who is known by then.
  for (auto field = request.fields.rbegin(); field != request.fields.rend(); ++field) {
    if (!EqualsIgnoreCase(field->name, "x-forwarded-for")) continue;
    std::string_view rest = field->value;
    while (!rest.empty()) {
      if (!client || !AnyContains(trusted, *client)) return client;
      size_t comma = rest.rfind(',');
      std::string_view item = Trim(comma == rest.npos ? rest : rest.substr(comma + 1));
      rest = comma == rest.npos ? std::string_view() : rest.substr(0, comma);
      std::optional<IpAddress> named = WithoutPort(item);
      if (!named) return client;  // a proxy that hides its client stands for it
      client = named;
    }
  }
  return client;
}

}  // namespace relay
