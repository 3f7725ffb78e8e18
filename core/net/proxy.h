// SPDX-License-Identifier: MIT
// An outbound proxy, and what is said to it until a connection to somebody else stands through it:
// HTTP's CONNECT (RFC 9110 §9.3.6), or SOCKS5 (RFC 1928) with user and password (RFC 1929). Bytes
// in, bytes out, no socket: the dialler has that.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/secret.h"

namespace relay {

class TlsClientContext;

struct Proxy {
  enum class Kind : uint8_t { kHttp, kSocks5 };
  Kind kind = Kind::kHttp;
  std::string host;  // a name, or a literal address
  uint16_t port = 0;
  std::shared_ptr<const TlsClientContext> tls;  // kHttp: TLS to the proxy itself; null: plain
  Secret user;                                  // empty: none is offered
  Secret password;
  // Refuses a proxy outside the open internet (Address::IsPublic).
  bool public_only = false;

  // "socks5://proxy.test:1080", without user and password.
  std::string Name() const;
};

class ProxyDialogue {
 public:
  // Of what a proxy says, bytes; more is an error.
  static constexpr size_t kMostAnswer = size_t{8} << 10;

  // To reach `host`, a name of at most 255 bytes, or a literal address without brackets.
  static std::unique_ptr<ProxyDialogue> Begin(const Proxy& proxy, std::string host, uint16_t port);
  virtual ~ProxyDialogue() = default;
  ProxyDialogue(const ProxyDialogue&) = delete;
  ProxyDialogue& operator=(const ProxyDialogue&) = delete;

  // What is to be sent now; it is asked for once at the start, and after each Receive. May hold the
  // password.
  std::string TakeOutput() { return std::exchange(output_, {}); }
  // Takes what the proxy said, in any pieces. True when the connection stands. Errors, all
  // Party::kUpstream, name the proxy: kUnauthenticated (it wants a user, or not this one), kProxy
  // (it will not have us, or breaks its protocol), kConnect (it could not reach the host). What
  // comes behind its last word is an error too: nobody speaks there before we did.
  Result<bool> Receive(std::string_view bytes);

 protected:
  explicit ProxyDialogue(const Proxy& proxy);
  // Goes on with what has come; takes it off the front of `input`. True when the connection stands.
  virtual Result<bool> Advance(std::string& input) = 0;
  void Send(std::string_view bytes) { output_ += bytes; }
  std::unexpected<Error> Refuse(Fault fault, std::string_view what) const;
  bool has_user() const { return !user_.empty(); }
  const Secret& user() const { return user_; }
  const Secret& password() const { return password_; }

 private:
  std::string name_;
  Secret user_;
  Secret password_;
  std::string input_;  // not taken yet
  size_t room_ = kMostAnswer;
  std::string output_;
};

// A failure on the way to the proxy itself, or with it before the dialogue was over.
Error ProxyFailed(const Proxy& proxy, const Error& why);

}  // namespace relay
