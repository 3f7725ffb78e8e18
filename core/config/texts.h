// SPDX-License-Identifier: MIT
// What the texts of relay.yaml must be: names, paths, secrets. For Fits (fields.h).
#pragma once

#include <string_view>

namespace relay {

// Of keys, clusters, accounts, routes, filters: [a-z0-9][a-z0-9-_.]*, at most 64.
bool IsName(std::string_view text);
// What a key may be bound to: an account's name, or "tag:" and a tag.
bool IsBound(std::string_view text);
std::string_view TagOf(std::string_view bound);  // "": an account's name
// What a request's normalised path can equal (RFC 3986 §3.3 without '%'): from '/', without empty
// or dot segments.
bool IsPlainPath(std::string_view text);
// "/" or a plain path without a slash at its end.
bool IsPrefix(std::string_view text);
// Of a test's request: a path and perhaps a query.
bool IsTarget(std::string_view text);

// Not one of the deployment guides' stand-ins ("your-jwt-secret…"), which everybody knows.
bool IsNoPlaceholder(std::string_view text);
// 10 to 512 printable characters without spaces.
bool IsRelayKey(std::string_view text);
// What can stand in an upstream's header: up to 4,096 printable characters without spaces.
bool IsCredential(std::string_view text);
bool IsKeyPrefix(std::string_view text);      // of relay keys: "cr_"
bool IsEncryptionKey(std::string_view text);  // 32 to 1,024 bytes (facts: R52)
bool IsSessionKey(std::string_view text);     // 16 to 1,024 bytes
bool IsPassword(std::string_view text);       // 8 to 1,024 bytes, no control byte (facts: R53)
bool IsUserName(std::string_view text);

// Looks like an IANA name; whether it is one is not looked up.
bool IsTimeZone(std::string_view text);
bool IsModelGlob(std::string_view text);
// An address or a net of them, IPv4 or IPv6 (network.h).
bool IsNetwork(std::string_view text);
// "2027-01-31", a day that is on the calendar.
bool IsDate(std::string_view text);
// A User-Agent in which '*' stands for any text, or the name of a client.
bool IsClientGlob(std::string_view text);
// connect, reset, 4xx, 5xx or 400..599
bool IsFailoverCause(std::string_view text);
// 3xx, 4xx, 5xx or 300..599
bool IsErrorStatus(std::string_view text);
// RFC 9110 §5.5: no control bytes but the tab.
bool IsHeaderValue(std::string_view text);

}  // namespace relay
