// SPDX-License-Identifier: MIT
#include "core/net/proxy.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/net/address.h"

namespace relay {
namespace {

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

class HttpConnect final : public ProxyDialogue {
 public:
  HttpConnect(const Proxy& proxy, const std::string& host, uint16_t port) : ProxyDialogue(proxy) {
    std::string authority = Bracketed(host) + ":" + std::to_string(port);
    Send("CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n");
    if (has_user()) {
      std::string pair(user().Reveal());
      pair += ':';
      pair += password().Reveal();
      std::string text = Base64Encode(pair);
      Send("Proxy-Authorization: Basic " + text + "\r\n");
      WipeString(pair);
      WipeString(text);
    }
    Send("\r\n");
  }

 private:
  Result<bool> Advance(std::string& input) override {
    while (true) {
      constexpr std::string_view kVersion = "HTTP/1.";
      size_t known = std::min(input.size(), kVersion.size());
      if (std::string_view(input).substr(0, known) != kVersion.substr(0, known)) {
        return Refuse(Fault::kProxy, "does not speak HTTP/1");
      }
      size_t end = input.find("\r\n\r\n");
      if (end == std::string::npos) return false;
      int status = StatusOf(std::string_view(input).substr(0, input.find("\r\n")));
      if (status == 0) return Refuse(Fault::kProxy, "does not speak HTTP/1");
      input.erase(0, end + 4);
      if (status >= 200) return Judge(status);
      // RFC 9110 §15.2: an interim answer; the final one follows.
    }
  }
  // "HTTP/1.1 200 Connection established"; 0: none.
  static int StatusOf(std::string_view line) {
    constexpr size_t kDigits = 9;
    bool shape = line.size() >= kDigits + 3 && (line[7] == '0' || line[7] == '1') &&
                 line[8] == ' ' && (line.size() == kDigits + 3 || line[kDigits + 3] == ' ');
    if (!shape) return 0;
    int status = 0;
    for (char c : line.substr(kDigits, 3)) {
      if (c < '0' || c > '9') return 0;
      status = status * 10 + (c - '0');
    }
    return status >= 100 ? status : 0;
  }
  Result<bool> Judge(int status) const {
    // RFC 9110 §9.3.6: lengths in such an answer mean nothing; the tunnel begins.
    if (status / 100 == 2) return true;
    std::string code = std::to_string(status);
    // Some say 401 of a wrong user, though 407 is the word for it.
    if (status == 407 || status == 401) {
      std::string_view what =
          has_user() ? "does not accept user and password (" : "wants a user and a password (";
      return Refuse(Fault::kUnauthenticated, std::string(what) + code + ")");
    }
    if (status / 100 == 5) {
      return Refuse(Fault::kConnect, "could not reach the upstream (" + code + ")");
    }
    return Refuse(Fault::kProxy, "refuses to connect to the upstream (" + code + ")");
  }
};

class Socks5 final : public ProxyDialogue {
 public:
  Socks5(const Proxy& proxy, std::string host, uint16_t port)
      : ProxyDialogue(proxy), host_(std::move(host)), port_(port) {
    // RFC 1928 §3: version, how many ways to log in, which: none, user and password.
    using namespace std::string_view_literals;
    Send(has_user() ? "\5\2\0\2"sv : "\5\1\0"sv);
  }

 private:
  enum class Step : uint8_t { kMethod, kLogin, kReply };

  Result<bool> Advance(std::string& input) override {
    while (!input.empty()) {
      char version = step_ == Step::kLogin ? '\1' : '\5';
      if (input[0] != version) return Refuse(Fault::kProxy, "does not speak SOCKS5");
      size_t size = step_ == Step::kReply ? ReplySize(input) : 2;
      if (size == 0) return Refuse(Fault::kProxy, "does not speak SOCKS5");
      if (input.size() < size) return false;
      auto word = static_cast<unsigned char>(input[1]);
      input.erase(0, size);
      Result<bool> done = Take(word);
      if (!done || *done) return done;
    }
    return false;
  }
  Result<bool> Take(unsigned char word) {
    switch (step_) {
      case Step::kMethod: return TakeMethod(word);
      case Step::kLogin:
        if (word != 0) return Refuse(Fault::kUnauthenticated, "does not accept user and password");
        Ask();
        return false;
      case Step::kReply: return Judge(word);
    }
    return false;
  }
  Result<bool> TakeMethod(unsigned char method) {
    constexpr unsigned char kNone = 0;
    constexpr unsigned char kPassword = 2;
    constexpr unsigned char kNoneFits = 0xff;
    if (method == kNone) {
      Ask();
      return false;
    }
    if (method == kPassword && has_user()) {
      // RFC 1929 §2.
      step_ = Step::kLogin;
      Send("\1");
      SendText(user().Reveal());
      SendText(password().Reveal());
      return false;
    }
    if (method != kNoneFits)
      return Refuse(Fault::kProxy, "chose a way to log in that was not offered");
    return Refuse(Fault::kUnauthenticated,
                  has_user() ? "does not take user and password" : "wants a user and a password");
  }
  void SendText(std::string_view text) {
    char size = static_cast<char>(text.size());
    Send({&size, 1});
    Send(text);
  }
  // RFC 1928 §4: CONNECT to an address or a name.
  void Ask() {
    using namespace std::string_view_literals;
    step_ = Step::kReply;
    Send("\5\1\0"sv);
    if (std::optional<Address> literal = Address::FromLiteral(host_, port_)) {
      std::string bytes = literal->Bytes();
      Send(bytes.size() == 4 ? "\1" : "\4");
      Send(bytes);
    } else {
      Send("\3");
      SendText(host_);
    }
    std::array<char, 2> port = {static_cast<char>(port_ >> 8), static_cast<char>(port_ & 0xff)};
    Send({port.data(), port.size()});
  }
  // RFC 1928 §6: version, reply, reserved, the kind of an address, address, port. As far as can be
  // told by now; 0: not a reply.
  static size_t ReplySize(std::string_view input) {
    if (input.size() < 5) return 5;
    switch (input[3]) {
      case 1: return 4 + 4 + 2;
      case 3: return size_t{4} + 1 + static_cast<unsigned char>(input[4]) + 2;
      case 4: return 4 + 16 + 2;
      default: return 0;
    }
  }
  Result<bool> Judge(unsigned char reply) const {
    switch (reply) {
      case 0: return true;
      case 1: return Refuse(Fault::kConnect, "could not reach the upstream (general failure)");
      case 2: return Refuse(Fault::kProxy, "does not allow this connection (its ruleset)");
      case 3: return Refuse(Fault::kConnect, "could not reach the upstream (network unreachable)");
      case 4: return Refuse(Fault::kConnect, "could not reach the upstream (host unreachable)");
      case 5: return Refuse(Fault::kConnect, "could not reach the upstream (connection refused)");
      case 6: return Refuse(Fault::kConnect, "could not reach the upstream (TTL expired)");
      default:
        return Refuse(Fault::kProxy,
                      "refuses to connect to the upstream (" + std::to_string(reply) + ")");
    }
  }

  std::string host_;
  uint16_t port_;
  Step step_ = Step::kMethod;
};

}  // namespace

std::string Proxy::Name() const {
  std::string_view scheme = kind == Kind::kSocks5 ? "socks5" : tls != nullptr ? "https" : "http";
  return std::string(scheme) + "://" + Bracketed(host) + ":" + std::to_string(port);
}

ProxyDialogue::ProxyDialogue(const Proxy& proxy)
    : name_(proxy.Name()), user_(proxy.user), password_(proxy.password) {}

std::unique_ptr<ProxyDialogue> ProxyDialogue::Begin(const Proxy& proxy, std::string host,
                                                    uint16_t port) {
  if (proxy.kind == Proxy::Kind::kSocks5) {
    return std::make_unique<Socks5>(proxy, std::move(host), port);
  }
  return std::make_unique<HttpConnect>(proxy, host, port);
}

Result<bool> ProxyDialogue::Receive(std::string_view bytes) {
  bool over = bytes.size() > room_;
  bytes = bytes.substr(0, room_);
  room_ -= bytes.size();
  input_ += bytes;
  Result<bool> done = Advance(input_);
  if (!done) return done;
  if (*done && (over || !input_.empty())) return Refuse(Fault::kProxy, "says more than it should");
  if (over) return Refuse(Fault::kProxy, "says too much");
  return done;
}

std::unexpected<Error> ProxyDialogue::Refuse(Fault fault, std::string_view what) const {
  return Fail(Party::kUpstream, fault, "the proxy " + name_ + " " + std::string(what), true);
}

Error ProxyFailed(const Proxy& proxy, const Error& why) {
  return Error{Party::kUpstream, Fault::kProxy, "the proxy " + proxy.Name() + " fails: " + why.what,
               true};
}

}  // namespace relay
