// SPDX-License-Identifier: MIT
// OAuth as subscriptions log in and stay so: the authorization code grant with PKCE, and refresh
// tokens (RFC 6749 §4.1, §5, §6; RFC 7636). Requests and answers as plain values; who sends them
// is vendor_call.h. Every answer is taken for hostile: bounded, checked, never shown as it came.
//
// Sources: Claude Code 2.1 and Gemini CLI 0.61 as captured and documented by their vendors; their
// client ids are public, since every copy of those programs carries them.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/config/root.h"
#include "upstreams/vendor_call.h"

namespace relay {

// Anthropic takes a subscription's bearer only with this beta.
inline constexpr std::string_view kOauthBeta = "oauth-2025-04-20";

// As whom the relay asks, and where. A cluster's `oauth` over the vendor's own.
struct OauthClient {
  ProviderKind provider = ProviderKind::kClaude;
  Url authorize_url;
  Url token_url;
  Url profile_url;           // who logged in
  std::string redirect_url;  // a page of the vendor's that shows the code
  std::string client_id;
  Secret client_secret;  // Google's clients have one; never in this source
  std::vector<std::string> scopes;
};
OauthClient OauthClientOf(const ClusterConfig& cluster);

// A setup token: a year of the subscription's inference, and nothing else; it is never refreshed.
enum class LoginKind : uint8_t { kLogin, kSetupToken };

// RFC 7636: `verifier` stays here, its challenge goes into the URL.
struct LoginSecrets {
  Secret verifier;
  std::string state;
  static LoginSecrets Make();
};
std::string ChallengeOf(std::string_view verifier);

// What a person opens in a browser.
std::string AuthorizeUrl(const OauthClient& client, LoginKind kind, const LoginSecrets& secrets);
// The code in what a person pasted: the code, `code#state`, or the address of the page that showed
// it. A state that is there must be ours. Errors (kClient, for people): the person or the vendor
// said no, another login's state, or no code in it.
Result<std::string> CodeOf(std::string_view pasted, const LoginSecrets& secrets);

VendorRequest CodeRequest(const OauthClient& client, LoginKind kind, std::string_view code,
                          const LoginSecrets& secrets);
VendorRequest RefreshRequest(const OauthClient& client, const Secret& refresh_token);

struct TokenAnswer {
  Secret access;
  Secret refresh;  // empty: the one that was used stays good
  Duration life = std::chrono::hours(1);
  std::vector<std::string> scopes;
};
struct TokenRefusal {
  enum class Why : uint8_t {
    kRevoked,    // the code or refresh token is good for nothing any more: a person logs in again
    kProxy,      // the account's proxy does not accept its user: the configuration
    kClient,     // client id, secret or scopes are not accepted: the configuration
    kTemporary,  // the vendor's trouble, or the network's: the same request may be made again
  };
  Why why = Why::kTemporary;
  std::string what;        // for people; nothing of the answer but its status and known words
  Duration retry_after{};  // kTemporary: as the vendor says, within an hour; zero: it does not
};
// `answer` may be a failure to get one.
std::expected<TokenAnswer, TokenRefusal> ReadTokenAnswer(const Result<VendorAnswer>& answer,
                                                         WallTime wall);

// Who an access token belongs to.
struct Profile {
  std::string who;   // an address, or an id where there is none
  std::string plan;  // "claude_max"; "" where the vendor does not say
};
VendorRequest ProfileRequest(const OauthClient& client, const Secret& access);
// Errors (kUpstream, for people): refused, or no profile in it.
Result<Profile> ReadProfile(ProviderKind provider, const Result<VendorAnswer>& answer);

// What a subscription of Claude's has used of its windows.
struct UsageWindow {
  std::string name;  // "five_hour"
  double used_percent = 0;
  std::string resets_at;  // RFC 3339; "" where nothing was used
};
VendorRequest UsageRequest(const Url& endpoint, const Secret& access);
Result<std::vector<UsageWindow>> ReadUsage(const Result<VendorAnswer>& answer);

// RFC 4648 §5 without padding.
std::string Base64UrlEncode(std::string_view bytes);

}  // namespace relay
