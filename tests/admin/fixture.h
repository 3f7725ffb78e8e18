// SPDX-License-Identifier: MIT
// What tests of the top layer share: a configuration from a text, and plain blocking sockets for
// both ends of a relay that runs in threads of its own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "core/config/root.h"
#include "filters/registry.h"

namespace relay {

using Variables = std::map<std::string, std::string, std::less<>>;

inline Environment EnvironmentOf(Variables variables) {
  return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end()) return std::nullopt;
    return at->second;
  };
}

// A configuration that is good, chains included.
inline std::shared_ptr<const Config> ConfigOf(std::string_view text, Variables variables = {}) {
  Problems problems;
  auto config =
      LoadConfigText(text, "relay.yaml", "", EnvironmentOf(std::move(variables)), problems);
  CheckChains(*config, problems);
  for (const std::string& line : problems.ErrorLines()) ADD_FAILURE() << line;
  return config;
}

// A blocking socket that gives up after ten seconds.
class PlainSocket {
 public:
  explicit PlainSocket(int fd) : fd_(fd) {
    timeval patience{.tv_sec = 10, .tv_usec = 0};
    if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  PlainSocket(PlainSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  PlainSocket& operator=(PlainSocket&&) = delete;
  ~PlainSocket() {
    if (fd_ >= 0) ::close(fd_);
  }

  static sockaddr_in Loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  // Without a connection nobody listens: open() is false.
  static PlainSocket Connect(uint16_t port) {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(port);
    if (fd < 0) return PlainSocket(fd);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd);
      fd = -1;
    }
    return PlainSocket(fd);
  }
  bool open() const { return fd_ >= 0; }
  void Send(std::string_view bytes) const {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Until what came holds `mark`, or the end. Takes it all.
  std::string ReadUntil(std::string_view mark) {
    std::string text;
    char bytes[4096];
    while (mark.empty() || text.find(mark) == std::string::npos) {
      ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
      if (n <= 0) break;
      text.append(bytes, static_cast<size_t>(n));
    }
    return text;
  }
  // All up to the end of the connection.
  std::string ReadAll() { return ReadUntil(""); }
  // One whole answer with a content-length, on a connection that stays.
  std::string ReadAnswer() {
    std::string text = ReadUntil("\r\n\r\n");
    constexpr std::string_view kLength = "Content-Length: ";
    size_t length = text.find(kLength);
    if (length == std::string::npos) return text;
    size_t whole = text.find("\r\n\r\n") + 4 + std::stoul(text.substr(length + kLength.size()));
    char byte = 0;
    while (text.size() < whole && ::recv(fd_, &byte, 1, 0) == 1) text += byte;
    return text;
  }

 private:
  int fd_;
};

// An upstream for one connection: reads a request's head, says `answer`, and the rest when it is
// told to; then it holds the connection until the other side ends it.
class HoldingUpstream {
 public:
  explicit HoldingUpstream(std::string answer)
      : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (listener_ < 0) std::abort();
    sockaddr_in address = PlainSocket::Loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer)] { Serve(answer); });
  }
  ~HoldingUpstream() {
    if (!said_) Say("");
    // Ends an accept that nobody came for.
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  HoldingUpstream(const HoldingUpstream&) = delete;
  HoldingUpstream& operator=(const HoldingUpstream&) = delete;
  uint16_t port() const { return port_; }
  // The rest of the answer; once.
  void Say(std::string rest) {
    said_ = true;
    rest_.set_value(std::move(rest));
  }

 private:
  void Serve(const std::string& answer) {
    int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    PlainSocket client(fd);
    if (client.ReadUntil("\r\n\r\n").empty()) return;
    if (!answer.empty()) client.Send(answer);
    std::string rest = rest_.get_future().get();
    if (!rest.empty()) client.Send(rest);
    client.ReadAll();
  }

  int listener_;
  uint16_t port_ = 0;
  std::promise<std::string> rest_;
  bool said_ = false;
  std::thread thread_;
};

}  // namespace relay
