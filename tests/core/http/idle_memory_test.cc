// SPDX-License-Identifier: MIT
// What connections hold while their one stream is silent. There are thousands of those at a time.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/core/http/connection_test.h"

namespace {

std::atomic<size_t> live_bytes{0};  // of all that operator new gave

}  // namespace

void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  live_bytes += ::malloc_usable_size(memory);
  return memory;
}
void operator delete(void* memory) noexcept {
  live_bytes -= ::malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  operator delete(memory);
}

namespace relay {
namespace {

constexpr std::string_view kRequest =
    "POST /v1/messages HTTP/1.1\r\nHost: relay\r\ncontent-type: application/json\r\n"
    "accept: text/event-stream\r\nuser-agent: a client that says much of itself\r\n"
    "content-length: 2\r\n\r\n{}";
constexpr std::string_view kEvent = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

struct IdleMemoryTest : ConnectionTest {
  // Of one more line: what `begin` leaves alive on it. The first one pays for what threads keep.
  template <class F>
  size_t HeldBy(F begin) {
    size_t held = 0;
    for (int i = 0; i < 2; ++i) {
      size_t before = live_bytes;
      begin();
      Settle();
      held = live_bytes - before;
      lines.push_back(std::exchange(line, std::make_unique<MemoryLine>(loop)));
    }
    return held;
  }
  std::vector<std::unique_ptr<MemoryLine>> lines;  // done with
  std::vector<std::unique_ptr<RawPeer>> peers;
  std::vector<std::unique_ptr<Asked>> asked;
};

TEST_F(IdleMemoryTest, OfAClientsConnection) {
  StoryServer server(loop, [](Call& call) -> Task<Unit> {
    Result<std::string> body = co_await call.ReadBody();
    call.head = Head();
    call.Begin();
    call.stream->Send(Chunk::Copy(kEvent), false);
    bool woken = co_await call.server.go.Wait();
    call.stream->Send(Chunk(), woken);
    co_return Unit{};
  });
  server.seen.reserve(2);
  peers.reserve(2);
  size_t held = HeldBy([&] {
    peers.push_back(std::make_unique<RawPeer>(line->Take(MemoryLine::kClient)));
    peers.back()->keep = false;
    connections.PushBack(
        *ServerConnection::Start(loop, line->Take(MemoryLine::kServer), limits, server));
    peers.back()->Send(kRequest);
  });
  EXPECT_EQ(server.alive, 2);
  EXPECT_GT(peers.back()->size, kEvent.size());
  // The connection, its codec and its stream, beside what is the test's own.
  EXPECT_LT(held, 1700U);
  server.go.NotifyAll();
  Settle();
}

TEST_F(IdleMemoryTest, OfAnUpstreamsConnection) {
  asked.reserve(2);
  peers.reserve(2);
  size_t held = HeldBy([&] {
    peers.push_back(std::make_unique<RawPeer>(line->Take(MemoryLine::kServer)));
    peers.back()->keep = false;
    ClientConnection& connection = Dial();
    Buffer body;
    body.AppendCopy("{}");
    Head head = PostHead("/v1/messages", 2);
    asked.push_back(std::make_unique<Asked>());
    asked.back()->stream = *connection.Open(head, std::move(body));
    asked.back()->root = Asked::ReadAll(*asked.back());
    asked.back()->root.Start([](void*) noexcept {}, nullptr);
    peers.back()->Send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-a: 1\r\n"
        "transfer-encoding: chunked\r\n\r\n23\r\n");
    peers.back()->Send(kEvent);
    peers.back()->Send("\r\n");
  });
  EXPECT_EQ(asked.back()->status, 200);
  EXPECT_EQ(asked.back()->body, kEvent);
  EXPECT_LT(held, 1850U);
  asked.clear();
}

}  // namespace
}  // namespace relay
