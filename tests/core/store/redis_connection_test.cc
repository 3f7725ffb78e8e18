// SPDX-License-Identifier: MIT
#include "core/store/redis_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/net/net_test.h"
#include "tests/core/store/redis_server.h"

namespace relay {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Link = RedisConnection::Link;

std::string CommandOf(std::vector<std::string_view> words) {
  std::string command;
  AppendCommand(command, words);
  return command;
}

// Real sockets, and a clock that stands still: what takes time happens when the test says so.
struct RedisConnectionTest : ::testing::Test, RedisGreeter {
  Task<Result<Unit>> Greet(RedisConnection&) override {
    ++greetings;
    return Task<Result<Unit>>(Result<Unit>(Unit()));
  }
  void Connect(RedisOptions with) {
    options = std::move(with);
    connection = std::make_unique<RedisConnection>(loop, resolver, options, *this);
  }
  // The answer's place: filled when it comes.
  std::shared_ptr<std::optional<Result<RespReply>>> Send(std::vector<std::string_view> words) {
    auto answer = std::make_shared<std::optional<Result<RespReply>>>();
    connection->Call(CommandOf(std::move(words)),
                     [answer](Result<RespReply> reply) { *answer = std::move(reply); });
    EXPECT_FALSE(answer->has_value()) << "never from within the call";
    return answer;
  }
  Result<RespReply> Ask(std::vector<std::string_view> words) {
    auto answer = Send(std::move(words));
    EXPECT_TRUE(TurnUntil(loop, [&] { return answer->has_value(); }));
    return answer->has_value() ? std::move(**answer) : Fail(Party::kRelay, Fault::kInternal, "-");
  }
  bool Becomes(Link link) {
    return TurnUntil(loop, [&] { return connection->link() == link; });
  }
  void After(Duration by) {
    clock.Advance(by);
    TurnFor(loop, 3);
  }

  ManualClock clock;
  Loop loop{clock};
  Resolver resolver{loop};
  RedisOptions options;
  int greetings = 0;
  std::unique_ptr<RedisConnection> connection;
};

TEST_F(RedisConnectionTest, OpensWhenThereIsSomethingToSay) {
  RedisServer server;
  Connect(server.options());
  TurnFor(loop, 20);
  EXPECT_EQ(greetings, 0);
  EXPECT_EQ(connection->link(), Link::kConnecting);
  EXPECT_EQ(Ask({"PING"})->text, "PONG");
  EXPECT_EQ(connection->link(), Link::kConnected);
  EXPECT_EQ(greetings, 1);
  EXPECT_EQ(connection->commands(), 1U);
}

TEST_F(RedisConnectionTest, AnswersManyCommandsInTheirOrder) {
  RedisServer server;
  Connect(server.options());
  std::vector<std::shared_ptr<std::optional<Result<RespReply>>>> answers;
  std::vector<std::string> texts;
  for (int i = 0; i < 500; ++i) texts.push_back(std::to_string(i));
  for (const std::string& text : texts) answers.push_back(Send({"ECHO", text}));
  ASSERT_TRUE(TurnUntil(loop, [&] { return answers.back()->has_value(); }));
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ((**answers[i])->text, texts[i]);
  EXPECT_EQ(greetings, 1);
}

TEST_F(RedisConnectionTest, LetsAnIdleOneGoAndOpensItWhenItIsNeeded) {
  RedisServer server;
  Connect(server.options());
  ASSERT_TRUE(Ask({"PING"}));
  After(RedisConnection::kIdle);
  server.Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  TurnFor(loop, 50);
  After(1min);
  EXPECT_EQ(connection->link(), Link::kConnected) << "nothing is wrong";
  EXPECT_EQ(greetings, 1) << "and nothing is said";
  EXPECT_EQ(connection->last_heard(), clock.Now() - 1min) << "it lived when it closed";
  EXPECT_EQ(Ask({"PING"})->text, "PONG");
  EXPECT_EQ(greetings, 2);
}

TEST_F(RedisConnectionTest, OpensABusyOneAgainByItself) {
  RedisServer server;
  Connect(server.options());
  ASSERT_TRUE(Ask({"PING"}));
  After(5s);
  server.Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  EXPECT_TRUE(TurnUntil(loop, [&] { return greetings == 2; }));
  EXPECT_TRUE(Becomes(Link::kConnected));
}

TEST_F(RedisConnectionTest, R37_TriesAgainEverMoreRarelyUpToTwoSeconds) {
  RedisServer server;
  server.Stop();
  Connect(server.options());
  EXPECT_FALSE(Ask({"PING"}));
  EXPECT_EQ(connection->link(), Link::kDisconnected);
  EXPECT_FALSE(Ask({"PING"})) << "at once";
  for (int i = 0; i < 10; ++i) {
    After(RedisConnection::kMaxBackoff);
    TurnFor(loop, 20);
  }
  server.Start();
  TurnFor(loop, 50);
  EXPECT_EQ(greetings, 0) << "it is not time yet";
  After(RedisConnection::kMaxBackoff + 100ms);
  EXPECT_TRUE(Becomes(Link::kConnected));
  EXPECT_EQ(Ask({"PING"})->text, "PONG");
}

TEST_F(RedisConnectionTest, R37_GivesUpAServerThatIsSilentForTwoSeconds) {
  RedisServer server;
  Connect(server.options());
  ASSERT_TRUE(Ask({"PING"}));
  server.Signal(SIGSTOP);
  auto first = Send({"PING"});
  auto second = Send({"PING"});
  After(1900ms);
  EXPECT_FALSE(first->has_value());
  After(200ms);
  ASSERT_TRUE(first->has_value() && second->has_value());
  EXPECT_THAT((*first)->error().what, HasSubstr("has not answered for 3 s"));
  EXPECT_TRUE((*first)->error().retryable);
  server.Signal(SIGCONT);
}

TEST_F(RedisConnectionTest, R37_KnowsWhenTheServerWasLastHeard) {
  RedisServer server;
  Connect(server.options());
  EXPECT_EQ(connection->last_heard(), TimePoint());
  ASSERT_TRUE(Ask({"PING"}));
  const TimePoint heard = clock.Now();
  server.Signal(SIGSTOP);
  After(1min);  // it died a while ago, for all that is known
  auto asked = Send({"PING"});
  After(3s);
  ASSERT_TRUE(asked->has_value());
  EXPECT_TRUE(TurnUntil(loop, [&] { return greetings == 2; }));
  EXPECT_EQ(connection->last_heard(), heard);
  server.Signal(SIGCONT);
}

TEST_F(RedisConnectionTest, R37_WaitsAsLongAsAnAnswerComesButNotForEver) {
  RedisServer server;
  Connect(server.options());
  ASSERT_TRUE(Ask({"PING"}));
  server.Signal(SIGSTOP);
  // As when a byte comes now and then, which pushes this bound back, not the other.
  options.command_timeout = 1h;
  auto asked = Send({"PING"});
  After(RedisConnection::kWholeAnswer - 1s);
  EXPECT_FALSE(asked->has_value());
  After(2s);
  EXPECT_TRUE(asked->has_value());
  server.Signal(SIGCONT);
}

TEST_F(RedisConnectionTest, R37_AThousandCommandsWaitAndNoMore) {
  RedisServer server;
  Connect(server.options());
  std::vector<std::shared_ptr<std::optional<Result<RespReply>>>> answers;
  for (size_t i = 0; i <= RedisConnection::kMaxWaiting; ++i) answers.push_back(Send({"PING"}));
  ASSERT_TRUE(TurnUntil(loop, [&] { return answers[999]->has_value(); }));
  ASSERT_TRUE(answers.back()->has_value());
  EXPECT_THAT((*answers.back())->error().what, HasSubstr("too much waits"));
  EXPECT_EQ((*answers[999])->value().text, "PONG");
}

TEST_F(RedisConnectionTest, AsksAServerThatRefusesItLessOften) {
  RedisServer server({"--requirepass", "secret"});
  RedisOptions wrong = server.options();
  wrong.password = Secret("other");
  Connect(wrong);
  auto refused = Ask({"PING"});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("REDIS_PASSWORD"));
  uint64_t before = connection->commands();
  After(RedisConnection::kMaxBackoff);
  TurnFor(loop, 50);
  EXPECT_EQ(connection->commands(), before);
  After(RedisConnection::kRefusedBackoff);
  EXPECT_TRUE(TurnUntil(loop, [&] { return connection->commands() > before; }));
}

TEST_F(RedisConnectionTest, FailsWhatIsUnderWayWhenItIsTakenDown) {
  RedisServer server;
  Connect(server.options());
  ASSERT_TRUE(Ask({"PING"}));
  server.Signal(SIGSTOP);
  auto asked = Send({"PING"});
  connection.reset();
  ASSERT_TRUE(asked->has_value());
  EXPECT_FALSE((*asked)->has_value());
  server.Signal(SIGCONT);
}

}  // namespace
}  // namespace relay
