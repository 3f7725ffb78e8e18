// SPDX-License-Identifier: MIT
// What the tests of connections share: a loop with a manual clock, lines in memory, a peer that
// speaks in bytes, and a server whose requests are told by coroutines.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/http/connection.h"
#include "tests/support/memory_transport.h"

namespace relay {

// The other end of a line, in plain bytes.
class RawPeer final : public TransportEvents {
 public:
  explicit RawPeer(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {
    transport_->Start(*this);
  }
  void Send(std::string_view bytes) {
    Buffer buffer;
    buffer.AppendCopy(bytes);
    transport_->Write(buffer);
  }
  void Finish() { transport_->ShutdownWrites(); }
  void Close() { transport_.reset(); }
  std::string TakeText() { return std::exchange(text, std::string()); }

  void OnBytes(Chunk bytes) override {
    size += bytes.size();
    if (keep) text += bytes.view();
  }
  void OnEof() override { ended = true; }
  void OnBroken(Error) override { broken = true; }
  void OnDrained() override {}

  std::string text;
  size_t size = 0;
  bool keep = true;
  bool ended = false;
  bool broken = false;

 private:
  std::unique_ptr<Transport> transport_;
};

class StoryServer;
struct CallTag {};

// One request at a server, told by a coroutine; ends like an exchange does.
class Call final : public Mortal, private Stream::Watcher, public ListNode<CallTag> {
 public:
  Call(StoryServer& its_server, std::unique_ptr<Stream> its_stream, Head its_head);
  ~Call() override;

  StoryServer& server;
  Head head;
  std::unique_ptr<Stream> stream;

  Task<Result<std::string>> ReadBody() {
    std::string body;
    while (true) {
      Result<Chunk> chunk = co_await stream->Read(TimePoint::max());
      if (!chunk) co_return std::unexpected(chunk.error());
      if (chunk->empty()) co_return body;
      body += chunk->view();
    }
  }
  void Answer(int status, std::string_view body) {
    Head answer;
    answer.status = status;
    answer.content_length = body.size();
    stream->SendHead(answer, body.empty());
    if (!body.empty()) stream->Send(Chunk::Copy(body), true);
  }
  void Begin(std::optional<uint64_t> length = {}) {
    Head answer;
    answer.status = 200;
    answer.content_length = length;
    stream->SendHead(answer, false);
  }

 private:
  friend class StoryServer;
  void OnStreamLost(const Error& why) override;
  void End();
  bool ending_ = false;
  Waiter start_;
  Task<Unit> root_;
};

using Story = Task<Unit> (*)(Call&);

class StoryServer final : public ServerHandler {
 public:
  StoryServer(Loop& its_loop, Story its_story) : loop(its_loop), story(its_story) {}

  void OnRequest(std::unique_ptr<Stream> stream, Head head) override {
    seen.emplace_back(std::string(head.method) + " " + std::string(head.target));
    auto* call = new Call(*this, std::move(stream), std::move(head));
    calls.PushBack(*call);
    call->root_ = story(*call);
    call->root_.StartOn(
        loop, call->start_, [](void* arg) noexcept { static_cast<Call*>(arg)->End(); }, call);
  }
  void OnRefused(std::unique_ptr<Stream> stream, Error why) override {
    refused.push_back(why);
    auto* call = new Call(*this, std::move(stream), Head());
    call->Answer(why.fault == Fault::kHeadTooLarge ? 431 : 400, "no");
    call->End();
  }

  Loop& loop;
  Story story;
  List<Call, CallTag> calls;
  std::vector<std::string> seen;
  std::vector<Error> refused;
  std::vector<Error> lost;
  std::vector<std::string> notes;  // whatever a story wants to say
  Event go{loop};                  // whatever a story waits for
  size_t bytes = 0;
  int alive = 0;
};

inline Call::Call(StoryServer& its_server, std::unique_ptr<Stream> its_stream, Head its_head)
    : server(its_server), head(std::move(its_head)), stream(std::move(its_stream)) {
  ++server.alive;
  stream->Watch(this);
}
inline Call::~Call() {
  stream->Watch(nullptr);
  root_ = Task<Unit>();
  --server.alive;
}
inline void Call::OnStreamLost(const Error& why) {
  server.lost.push_back(why);
  End();
}
inline void Call::End() {
  if (ending_) return;
  ending_ = true;
  server.loop.Bury(std::unique_ptr<Mortal>(this));
}

inline Head Get(std::string_view target) {
  Head head;
  head.method = "GET";
  head.target = head.Keep(target);
  head.authority = "up";
  return head;
}

inline Head PostHead(std::string_view target, std::optional<uint64_t> length) {
  Head head = Get(target);
  head.method = "POST";
  head.content_length = length;
  return head;
}

// What became of one request of a client's: a coroutine that reads all of its answer.
struct Asked final : Mortal, Stream::Watcher {
  void OnStreamLost(const Error& why) override { lost.push_back(why); }
  static Task<Unit> ReadAll(Asked& self) {
    Result<Head> head = co_await self.stream->ReadHead(self.deadline);
    if (!head) {
      self.fault = head.error();
      co_return Unit{};
    }
    self.status = head->status;
    while (self.reads) {
      Result<Chunk> chunk = co_await self.stream->Read(self.deadline);
      if (!chunk) {
        self.fault = chunk.error();
        co_return Unit{};
      }
      if (chunk->empty()) {
        self.whole = true;
        co_return Unit{};
      }
      self.body += chunk->view();
    }
    co_return Unit{};
  }
  std::unique_ptr<Stream> stream;
  TimePoint deadline = TimePoint::max();
  bool reads = true;
  int status = 0;
  std::string body;
  bool whole = false;
  std::optional<Error> fault;
  std::vector<Error> lost;
  Task<Unit> root;  // last: dies first
};

struct ConnectionTest : ::testing::Test {
  ManualClock clock;
  Loop loop{clock};
  List<Connection, ConnectionTag> connections;
  ServerLimits limits;
  std::unique_ptr<MemoryLine> line = std::make_unique<MemoryLine>(loop);
  std::vector<std::unique_ptr<StoryServer>> servers;

  ~ConnectionTest() override {
    connections.ForEach([](Connection& connection) { connection.CloseNow(); });
    for (int i = 0; i < 4; ++i) loop.Turn();
  }

  // A server at the line's end, whose requests `story` tells.
  StoryServer& Serve(Story story) {
    servers.push_back(std::make_unique<StoryServer>(loop, story));
    connections.PushBack(
        *ServerConnection::Start(loop, line->Take(MemoryLine::kServer), limits, *servers.back()));
    return *servers.back();
  }
  Connection* connection() { return connections.front(); }
  ClientConnection& Dial(Duration idle_timeout = std::chrono::seconds(60)) {
    auto* connection = ClientConnection::Start(loop, line->Take(MemoryLine::kClient), idle_timeout);
    connections.PushBack(*connection);
    return *connection;
  }
  RawPeer Raw(MemoryLine::Side side) { return RawPeer(line->Take(side)); }

  // One turn of the loop: what is on the line moves by one piece.
  bool Turn() {
    bool moved = line->Step();
    loop.Turn();
    return moved;
  }
  // Until nothing moves any more.
  void Settle() {
    int quiet = 0;
    for (int i = 0; i < 1'000'000 && quiet < 3; ++i) quiet = Turn() ? 0 : quiet + 1;
  }
  void After(Duration by) {
    clock.Advance(by);
    Settle();
  }
};

}  // namespace relay
