// SPDX-License-Identifier: MIT
// Bytes pass unchanged: a client, a small pump in the relay's place and an upstream, joined by
// lines that cut anywhere, over HTTP/1 and HTTP/2 on both sides.
#include <random>

#include "tests/core/http/connection_test.h"

namespace relay {
namespace {

using Random = std::mt19937_64;

// Text of many alphabets, so that cuts fall inside characters.
std::string Text(uint64_t seed, size_t size) {
  static constexpr std::array<std::string_view, 9> kParts = {"a",           "é",
                                                             "漢字",        "🙂",
                                                             "\n",          "data: {\"text\":\"",
                                                             "\"}\r\n\r\n", "👩‍👩‍👧",
                                                             "0\r\n\r\n"};
  Random random(seed);
  std::string block;
  while (block.size() < std::min(size, size_t{64} << 10)) block += kParts[random() % kParts.size()];
  std::string text;
  text.reserve(size + block.size());
  // Repeats with a number in between, so that no piece can stand for another.
  while (text.size() < size) text.append(block).append(std::to_string(text.size()));
  text.resize(size);
  return text;
}

// Everything about one request follows from its number.
struct Plan {
  explicit Plan(uint64_t its_seed) : seed(its_seed) {
    Random random(seed);
    constexpr size_t kMega = size_t{1} << 20;
    // Numbers of a million and more are the large ones: so many megabytes.
    size_t large = seed / 1'000'000;
    auto small = [&] { return random() % 8 == 0 ? 0 : random() % (size_t{8} << 10); };
    request_size = large > 0 ? large * kMega : small();
    answer_size = large > 0 ? large * kMega / 8 : small();
    request_has_length = random() % 2 == 0;
    answer_has_length = random() % 2 == 0;
  }
  std::string Request() const { return Text(seed * 2, request_size); }
  std::string Answer() const { return Text(seed * 2 + 1, answer_size); }
  uint64_t seed;
  size_t request_size;
  size_t answer_size;
  bool request_has_length;
  bool answer_has_length;
};

Plan PlanOf(const Head& head) {
  return Plan(std::stoull(std::string(head.target.substr(1))));
}

Task<Unit> Generate(Call& call) {
  const Plan plan = PlanOf(call.head);
  Result<std::string> body = co_await call.ReadBody();
  if (!body || *body != plan.Request()) {
    call.server.notes.push_back("request " + std::to_string(plan.seed) + " came changed");
    co_return Unit{};
  }
  std::string answer = plan.Answer();
  call.Begin(plan.answer_has_length ? std::optional<uint64_t>(answer.size()) : std::nullopt);
  Random random(plan.seed + 7);
  std::string_view rest = answer;
  while (!rest.empty()) {
    size_t size = std::min<size_t>(rest.size(), 1 + random() % (size_t{16} << 10));
    Result<Unit> written = co_await call.stream->Write(Chunk::Copy(rest.substr(0, size)));
    if (!written) co_return Unit{};
    rest.remove_prefix(size);
  }
  call.stream->Send(Chunk(), true);
  co_return Unit{};
}

struct Sides {
  bool client_http2;
  bool upstream_http2;
};

class ByteExact;
ByteExact* chain = nullptr;  // of the test that runs; the pump's stories find it here

class ByteExact : public ConnectionTest, public testing::WithParamInterface<Sides> {
 public:
  ByteExact() { chain = this; }
  ~ByteExact() override {
    connections.ForEach([](Connection& connection) { connection.CloseNow(); });
    loop.Turn();
    chain = nullptr;
  }

  // A connection to the upstream with room for one more request.
  ClientConnection& ToUpstream() {
    return Usable(to_upstream_, GetParam().upstream_http2, Generate);
  }

  // Sends these, `at_once` at a time, and compares what comes back.
  void Send(const std::vector<Plan>& plans, size_t at_once);

  uint64_t most_cut = size_t{2} << 10;

 protected:
  static Task<Unit> Pump(Call& call);

 private:
  struct Asked final : Mortal {
    explicit Asked(uint64_t seed) : plan(seed) {}
    static Task<Unit> Run(Asked& self);
    Plan plan;
    std::unique_ptr<Stream> stream;
    bool done = false;
    std::string problem;
    Task<Unit> root;
  };
  using Pool = std::vector<ClientConnection*>;

  ClientConnection& Usable(Pool& pool, bool http2, Story story) {
    for (ClientConnection* connection : pool) {
      if (connection->usable()) return *connection;
    }
    lines_.push_back(std::make_unique<MemoryLine>(loop, http2 ? "h2" : "http/1.1"));
    MemoryLine& made = *lines_.back();
    made.cut = [this](size_t waiting) { return 1 + random_() % std::min(waiting, most_cut); };
    servers.push_back(std::make_unique<StoryServer>(loop, story));
    connections.PushBack(
        *ServerConnection::Start(loop, made.Take(MemoryLine::kServer), limits, *servers.back()));
    pool.push_back(
        ClientConnection::Start(loop, made.Take(MemoryLine::kClient), std::chrono::hours(1)));
    connections.PushBack(*pool.back());
    return *pool.back();
  }
  std::unique_ptr<Asked> Ask(const Plan& plan);

  Random random_{1};
  std::vector<std::unique_ptr<MemoryLine>> lines_;
  Pool to_relay_;
  Pool to_upstream_;
};

Task<Unit> ByteExact::Pump(Call& call) {
  Buffer body;
  while (!call.stream->at_end()) {
    Result<Chunk> chunk = co_await call.stream->Read(TimePoint::max());
    if (!chunk) co_return Unit{};
    body.Append(std::move(*chunk));
  }
  Head head;
  head.method = call.head.method;
  head.target = call.head.target;
  head.authority = "upstream";
  if (call.head.content_length) head.content_length = body.size();
  ClientConnection& upstream = chain->ToUpstream();
  Result<std::unique_ptr<Stream>> stream = upstream.Open(head, std::move(body));
  if (!stream) co_return Unit{};
  Result<Head> answer = co_await (*stream)->ReadHead(TimePoint::max());
  if (!answer) co_return Unit{};
  call.Begin(answer->content_length);
  while (true) {
    Result<Chunk> chunk = co_await (*stream)->Read(TimePoint::max());
    if (!chunk) co_return Unit{};
    if (chunk->empty()) break;
    Result<Unit> written = co_await call.stream->Write(std::move(*chunk));
    if (!written) co_return Unit{};
  }
  call.stream->Send(Chunk(), true);
  co_return Unit{};
}

Task<Unit> ByteExact::Asked::Run(Asked& self) {
  std::string expected = self.plan.Answer();
  size_t at = 0;
  Result<Head> head = co_await self.stream->ReadHead(TimePoint::max());
  if (!head || head->status != 200) self.problem = "no good head";
  while (self.problem.empty()) {
    Result<Chunk> chunk = co_await self.stream->Read(TimePoint::max());
    if (!chunk) {
      self.problem = chunk.error().what;
      break;
    }
    if (chunk->empty()) break;
    if (expected.compare(at, chunk->size(), chunk->view()) != 0) self.problem = "changed";
    at += chunk->size();
  }
  if (self.problem.empty() && at != expected.size()) self.problem = "too short";
  self.done = true;
  co_return Unit{};
}

std::unique_ptr<ByteExact::Asked> ByteExact::Ask(const Plan& plan) {
  auto asked = std::make_unique<Asked>(plan.seed);
  ClientConnection& connection = Usable(to_relay_, GetParam().client_http2, Pump);
  Head head;
  head.method = "POST";
  head.target = head.Keep("/" + std::to_string(plan.seed));
  head.authority = "relay";
  Buffer body;
  body.Append(Chunk::Copy(plan.Request()));
  if (plan.request_has_length) head.content_length = body.size();
  Result<std::unique_ptr<Stream>> stream = connection.Open(head, std::move(body));
  EXPECT_TRUE(stream);
  asked->stream = *std::move(stream);
  asked->root = Asked::Run(*asked);
  asked->root.Start([](void*) noexcept {}, nullptr);
  return asked;
}

void ByteExact::Send(const std::vector<Plan>& plans, size_t at_once) {
  std::vector<std::unique_ptr<Asked>> running;
  size_t next = 0;
  size_t idle_turns = 0;
  while (next < plans.size() || !running.empty()) {
    while (next < plans.size() && running.size() < at_once) running.push_back(Ask(plans[next++]));
    bool moved = false;
    for (size_t i = 0; i < lines_.size(); ++i) moved = lines_[i]->Step() || moved;
    loop.Turn();
    idle_turns = moved ? 0 : idle_turns + 1;
    ASSERT_LT(idle_turns, 100U) << "request " << running.front()->plan.seed << " hangs";
    for (auto& asked : running) {
      if (!asked->done) continue;
      ASSERT_EQ(asked->problem, "") << "request " << asked->plan.seed;
      loop.Bury(std::move(asked));
    }
    std::erase(running, nullptr);
  }
  loop.Turn();
  for (const auto& server : servers) {
    EXPECT_TRUE(server->notes.empty()) << server->notes.front();
    EXPECT_EQ(server->alive, 0);
    EXPECT_TRUE(server->lost.empty()) << server->lost.front().what;
  }
}

TEST_P(ByteExact, PassesAThousandStreamsCutAnywhere) {
  std::vector<Plan> plans;
  for (uint64_t seed = 1; seed <= 1000; ++seed) plans.emplace_back(seed);
  Send(plans, 8);
}

TEST_P(ByteExact, PassesStreamsByteByByte) {
  most_cut = 1;
  std::vector<Plan> plans;
  for (uint64_t seed = 2001; seed <= 2008; ++seed) plans.emplace_back(seed);
  Send(plans, 4);
}

TEST_P(ByteExact, PassesLargeBodies) {
  most_cut = size_t{64} << 10;
  std::vector<Plan> plans;
  // Both with and without a length: 1, 5 and 30 MiB.
  for (uint64_t megabytes : {1U, 5U, 30U}) {
    for (bool with_length : {false, true}) {
      uint64_t seed = megabytes * 1'000'000;
      while (Plan(seed).request_has_length != with_length) ++seed;
      plans.emplace_back(seed);
    }
  }
  Send(plans, 2);
}

INSTANTIATE_TEST_SUITE_P(Http, ByteExact,
                         testing::Values(Sides{false, false}, Sides{false, true},
                                         Sides{true, false}, Sides{true, true}),
                         [](const auto& one) {
                           return std::string(one.param.client_http2 ? "H2" : "H1") + "To" +
                                  (one.param.upstream_http2 ? "H2" : "H1");
                         });

}  // namespace
}  // namespace relay
