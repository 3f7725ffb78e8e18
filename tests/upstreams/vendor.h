// SPDX-License-Identifier: MIT
// A vendor on a loopback socket: reads requests as they come on the wire and answers with bytes of
// the test's choice, by the credential that a request brought.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/http/message.h"
#include "core/net/listener.h"

namespace relay {

// What follows the bytes of an answer.
enum class Then : uint8_t { kStay, kClose, kWait };

struct Scripted {
  std::string bytes;
  Then then = Then::kStay;
};

inline Scripted Json(int status, std::string_view body,
                     const std::vector<std::string>& fields = {}) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Status\r\n";
  text += "content-type: application/json\r\n";
  for (const std::string& field : fields) text += field + "\r\n";
  text += "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  return {text};
}

// An event stream that ends with the connection.
inline Scripted Events(std::string_view body) {
  std::string text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
  return {text + std::string(body), Then::kClose};
}

// Breaks off before a byte of an answer.
inline Scripted Nothing() {
  return {"", Then::kClose};
}
// Never answers.
inline Scripted Silence() {
  return {"", Then::kWait};
}

struct SeenRequest {
  std::string head;  // up to the blank line
  std::string body;
  std::string line() const { return head.substr(0, head.find("\r\n")); }
  // The value of a field, "" if there is none.
  std::string Field(std::string_view name) const {
    size_t at = head.find("\r\n");
    while (at != std::string::npos) {
      size_t end = head.find("\r\n", at + 2);
      std::string text = head.substr(at + 2, end == std::string::npos ? end : end - at - 2);
      size_t colon = text.find(':');
      if (colon != std::string::npos && EqualsIgnoreCase(text.substr(0, colon), name)) {
        size_t value = text.find_first_not_of(' ', colon + 1);
        return value == std::string::npos ? "" : text.substr(value);
      }
      at = end;
    }
    return "";
  }
  // As it came, without "Bearer ".
  std::string credential() const {
    for (const char* name : {"x-api-key", "x-goog-api-key"}) {
      if (std::string value = Field(name); !value.empty()) return value;
    }
    std::string bearer = Field("authorization");
    return bearer.starts_with("Bearer ") ? bearer.substr(7) : bearer;
  }
};

class Vendor {
 public:
  explicit Vendor(Loop& loop) {
    ListenOptions options;
    options.address = *Address::Parse("127.0.0.1:0");
    auto listener =
        Listener::Open(loop, std::move(options), [this](std::unique_ptr<Transport> transport) {
          connections_.push_back(std::make_unique<Line>(*this, std::move(transport)));
          ++accepted;
        });
    EXPECT_TRUE(listener.has_value());
    listener_ = std::move(*listener);
  }
  uint16_t port() const { return listener_->bound().port(); }

  // The next answers for a credential, in order; then `otherwise`.
  void Answer(const std::string& credential, Scripted answer) {
    scripts_[credential].push_back(std::move(answer));
  }
  Scripted otherwise = Json(200, R"({"ok":true})");
  std::vector<SeenRequest> requests;
  int accepted = 0;   // connections
  int abandoned = 0;  // that the relay ended
  // Closes all connections that are open.
  void CloseAll() {
    for (const auto& line : connections_) line->Close();
  }
  int open() const {
    return static_cast<int>(std::count_if(connections_.begin(), connections_.end(),
                                          [](const auto& line) { return line->open(); }));
  }
  // More bytes on the last connection that is open.
  void Say(std::string_view bytes) {
    for (auto line = connections_.rbegin(); line != connections_.rend(); ++line) {
      if (!(*line)->open()) continue;
      (*line)->Say(bytes);
      return;
    }
    ADD_FAILURE() << "no connection is open";
  }

 private:
  class Line final : public TransportEvents {
   public:
    Line(Vendor& vendor, std::unique_ptr<Transport> transport)
        : vendor_(vendor), transport_(std::move(transport)) {
      transport_->Start(*this);
    }
    bool open() const { return transport_ != nullptr && !ended_; }
    void Say(std::string_view bytes) {
      Buffer buffer;
      buffer.AppendCopy(bytes);
      transport_->Write(buffer);
    }
    void Close() {
      if (transport_ != nullptr && !ended_) transport_->ShutdownWrites();
      ended_ = true;
    }

   private:
    void OnBytes(Chunk bytes) override {
      text_ += bytes.view();
      while (TakeRequest()) {
      }
    }
    bool TakeRequest() {
      size_t end = text_.find("\r\n\r\n");
      if (end == std::string::npos) return false;
      SeenRequest seen;
      seen.head = text_.substr(0, end);
      std::string length = seen.Field("content-length");
      size_t size = length.empty() ? 0 : std::stoul(length);
      if (text_.size() < end + 4 + size) return false;
      seen.body = text_.substr(end + 4, size);
      text_.erase(0, end + 4 + size);
      Scripted answer = vendor_.Next(seen.credential());
      vendor_.requests.push_back(std::move(seen));
      if (!answer.bytes.empty()) Say(answer.bytes);
      if (answer.then == Then::kClose) Close();
      return true;
    }
    void OnEof() override {
      if (!std::exchange(ended_, true)) ++vendor_.abandoned;
    }
    void OnBroken(Error) override {
      if (!std::exchange(ended_, true)) ++vendor_.abandoned;
    }
    void OnDrained() override {}

    Vendor& vendor_;
    std::unique_ptr<Transport> transport_;
    std::string text_;
    bool ended_ = false;
  };

  Scripted Next(const std::string& credential) {
    std::deque<Scripted>& script = scripts_[credential];
    if (script.empty()) return otherwise;
    Scripted next = std::move(script.front());
    script.pop_front();
    return next;
  }

  std::unique_ptr<Listener> listener_;
  std::vector<std::unique_ptr<Line>> connections_;
  std::map<std::string, std::deque<Scripted>> scripts_;
};

}  // namespace relay
