// SPDX-License-Identifier: MIT
#include "core/net/tcp.h"

#include <gtest/gtest.h>

#include "core/net/linger.h"
#include "tests/core/net/net_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

void WriteText(Transport& to, std::string_view text) {
  Buffer buffer;
  buffer.AppendCopy(text);
  to.Write(buffer);
  EXPECT_TRUE(buffer.empty());
}

struct TcpTransport : NetTest {
  void Connect(ListenOptions options = {}, int receive_buffer = 0) {
    listener = Listen(std::move(options));
    client = std::make_unique<RawClient>(listener->bound(), receive_buffer);
    ASSERT_TRUE(client->connected());
    server = TakeAccepted();
    ASSERT_NE(server, nullptr);
    server->Start(seen);
  }
  // The same, with the peer as an upstream that was dialled.
  void ConnectUpstream() {
    upstream = Socket::Open(Loopback());
    ASSERT_EQ(::bind(upstream.fd(), Loopback().data(), Loopback().size()), 0);
    ASSERT_EQ(::listen(upstream.fd(), 1), 0);
    client = std::make_unique<RawClient>(upstream.LocalAddress());
    TcpOptions options;
    options.party = Party::kUpstream;
    int fd = -1;
    ASSERT_TRUE(TurnUntil(loop, [&] {
      fd = ::accept4(upstream.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      return fd >= 0;
    }));
    server = std::make_unique<Tcp>(loop, Socket(fd), upstream.LocalAddress(), std::move(options));
    server->Start(seen);
  }
  Socket upstream;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<RawClient> client;
  std::unique_ptr<Transport> server;
  Recorder seen;
};

TEST_F(TcpTransport, TellsWhatThePeerSendsAndSendsWhatIsWritten) {
  Connect();
  client->Send("ping");
  ASSERT_TRUE(TurnUntil(loop, [&] { return seen.text == "ping"; }));
  WriteText(*server, "pong");
  EXPECT_EQ(server->Pending(), 0U);
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] { return (got += client->Receive()) == "pong"; }));
  EXPECT_EQ(server->alpn(), "");
  EXPECT_TRUE(server->peer().starts_with("127.0.0.1:")) << server->peer();
}

TEST_F(TcpTransport, SendsManySlicesInOrder) {
  Connect();
  Buffer buffer;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    std::string piece = "<" + std::to_string(i) + ">";
    buffer.AppendCopy(piece);
    expected += piece;
  }
  server->Write(buffer);
  std::string got;
  EXPECT_TRUE(
      TurnUntil(loop, [&] { return (got += client->Receive()).size() >= expected.size(); }));
  EXPECT_EQ(got, expected);
}

TEST_F(TcpTransport, KeepsWhatASlowReaderDoesNotTakeAndTellsWhenItIsDrained) {
  Connect({}, /*receive_buffer=*/4096);
  std::string big = Pattern(8U << 20);
  WriteText(*server, big);
  EXPECT_GT(server->Pending(), Transport::kHighWater);
  TurnFor(loop, 20);
  EXPECT_EQ(seen.drained, 0);
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] { return (got += client->Receive()).size() >= big.size(); }));
  EXPECT_TRUE(got == big);
  EXPECT_EQ(seen.drained, 1);
  EXPECT_EQ(server->Pending(), 0U);
}

TEST_F(TcpTransport, AWriterThatWaitsForDrainedHoldsLittle) {
  Connect({}, /*receive_buffer=*/4096);
  std::string piece = Pattern(32U << 10);
  size_t written = 0;
  size_t most = 0;
  auto fill = [&] {
    while (written < (16U << 20) && server->Pending() <= Transport::kHighWater) {
      WriteText(*server, piece);
      written += piece.size();
      most = std::max(most, server->Pending());
    }
  };
  seen.on_drained = fill;
  fill();
  size_t got = 0;
  ASSERT_TRUE(TurnUntil(loop, [&] { return (got += client->Receive().size()) >= (16U << 20); }));
  EXPECT_LE(most, Transport::kHighWater + piece.size());
  EXPECT_GT(seen.drained, 1);
}

TEST_F(TcpTransport, ReadsLargeTransfersWholeAndInOrder) {
  Connect();
  std::string big = Pattern(4U << 20);
  size_t sent = 0;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    ssize_t n =
        ::send(client->fd(), big.data() + sent, big.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<size_t>(n);
    return seen.text.size() == big.size();
  }));
  EXPECT_TRUE(seen.text == big);
}

TEST_F(TcpTransport, ReadsOnlyWhenNoReasonToPauseIsLeft) {
  Connect();
  server->PauseReads(Pause::kStream);
  server->PauseReads(Pause::kMemory);
  client->Send("held");
  TurnFor(loop, 20);
  EXPECT_EQ(seen.text, "");
  server->ResumeReads(Pause::kStream);
  TurnFor(loop, 20);
  EXPECT_EQ(seen.text, "");
  server->ResumeReads(Pause::kMemory);
  EXPECT_TRUE(TurnUntil(loop, [&] { return seen.text == "held"; }));
}

TEST_F(TcpTransport, AReceiverThatPausesInTheMiddleGetsNoMore) {
  Connect();
  seen.on_bytes = [&](const Chunk&) { server->PauseReads(Pause::kStream); };
  std::string big = Pattern(1U << 20);
  size_t sent = 0;
  for (int i = 0; i < 50; ++i) {
    ssize_t n =
        ::send(client->fd(), big.data() + sent, big.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<size_t>(n);
    loop.Turn();
  }
  EXPECT_EQ(seen.calls, 1);
  seen.on_bytes = nullptr;
  server->ResumeReads(Pause::kStream);
  EXPECT_TRUE(TurnUntil(loop, [&] { return seen.text.size() >= sent; }));
  EXPECT_TRUE(big.starts_with(seen.text));
}

TEST_F(TcpTransport, AHalfClosedConnectionStillSends) {
  Connect();
  client->Send("ask");
  client->ShutdownWrites();
  ASSERT_TRUE(TurnUntil(loop, [&] { return seen.eofs == 1; }));
  EXPECT_EQ(seen.text, "ask");
  WriteText(*server, "answer");
  server->ShutdownWrites();
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += client->Receive();
    return client->ended;
  }));
  EXPECT_EQ(got, "answer");
  EXPECT_EQ(seen.eofs, 1);
  EXPECT_TRUE(seen.broken.empty());
}

TEST_F(TcpTransport, EndsItsSideOnlyAfterWhatIsPending) {
  Connect({}, /*receive_buffer=*/4096);
  std::string big = Pattern(8U << 20);
  WriteText(*server, big);
  ASSERT_GT(server->Pending(), 0U);
  server->ShutdownWrites();
  WriteText(*server, "too late");
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += client->Receive();
    return client->ended;
  }));
  EXPECT_TRUE(got == big);
}

TEST_F(TcpTransport, TellsAResetOnce) {
  Connect();
  client->Send("x");
  ASSERT_TRUE(TurnUntil(loop, [&] { return seen.text == "x"; }));
  client->Reset();
  ASSERT_TRUE(TurnUntil(loop, [&] { return !seen.broken.empty(); }));
  TurnFor(loop, 20);
  ASSERT_EQ(seen.broken.size(), 1U);
  EXPECT_EQ(seen.broken[0].fault, Fault::kReset);
  EXPECT_EQ(seen.broken[0].party, Party::kClient);
  EXPECT_NE(seen.broken[0].what.find("127.0.0.1:"), std::string::npos);
  WriteText(*server, "into the void");
  EXPECT_EQ(server->Pending(), 0U);
}

TEST_F(TcpTransport, R32TellsThatAClientLeftThoughReadsArePaused) {
  for (bool reset : {false, true}) {
    seen = Recorder();
    Connect();
    server->PauseReads(Pause::kStream);
    client->Send("unread");
    TurnFor(loop, 20);
    if (reset) {
      client->Reset();
    } else {
      client->ShutdownWrites();
    }
    ASSERT_TRUE(TurnUntil(loop, [&] { return seen.hangups > 0 || !seen.broken.empty(); }));
    EXPECT_EQ(seen.broken.size(), reset ? 1U : 0U);
    TurnFor(loop, 20);
    EXPECT_EQ(seen.hangups, reset ? 0 : 1);
    EXPECT_EQ(seen.eofs, 0);
    if (reset) continue;
    server->ResumeReads(Pause::kStream);
    ASSERT_TRUE(TurnUntil(loop, [&] { return seen.eofs > 0; }));
    EXPECT_EQ(seen.text, "unread");
  }
}

TEST_F(TcpTransport, ReadsWhatAnUpstreamSentBeforeItsResetFirst) {
  ConnectUpstream();
  server->PauseReads(Pause::kStream);
  std::string big = Pattern(400U << 10);
  size_t sent = 0;
  for (int i = 0; i < 100 && sent < big.size(); ++i) {
    ssize_t n =
        ::send(client->fd(), big.data() + sent, big.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<size_t>(n);
    loop.Turn();
  }
  client->Reset();  // throws away what the sender still holds
  TurnFor(loop, 20);
  EXPECT_TRUE(seen.broken.empty());
  server->ResumeReads(Pause::kStream);
  ASSERT_TRUE(TurnUntil(loop, [&] { return !seen.broken.empty(); }));
  EXPECT_GT(seen.text.size(), 64U << 10);
  EXPECT_TRUE(big.starts_with(seen.text));
}

// A request that is refused while it is sent: the answer counts, not that no more was taken.
TEST_F(TcpTransport, ReadsWhatAnUpstreamSaidWhoTakesNoMore) {
  ConnectUpstream();
  WriteText(*server, "half of a request");
  TurnFor(loop, 20);
  client->Send("no, too large");
  // What it has not read makes its end a reset.
  client->Close();
  WriteText(*server, std::string(100, 'x'));
  WriteText(*server, std::string(100, 'x'));
  EXPECT_EQ(server->Pending(), 0U);
  ASSERT_TRUE(TurnUntil(loop, [&] { return seen.eofs > 0 || !seen.broken.empty(); }));
  EXPECT_EQ(seen.text, "no, too large");
  TurnFor(loop, 20);
  EXPECT_EQ(seen.eofs + static_cast<int>(seen.broken.size()), 1);
}

TEST_F(TcpTransport, AWriteToAConnectionThatIsGoneIsToldLaterNotInside) {
  Connect();
  client->Reset();
  server->PauseReads(Pause::kStream);
  WriteText(*server, "one");
  EXPECT_TRUE(seen.broken.empty());
  TurnFor(loop, 3);
  EXPECT_EQ(seen.broken.size(), 1U);
}

TEST_F(TcpTransport, R30APeerThatTakesNothingForTooLongIsDropped) {
  ListenOptions options;
  options.write_stall = seconds(60);
  Connect(std::move(options), /*receive_buffer=*/4096);
  WriteText(*server, Pattern(8U << 20));
  TurnFor(loop, 50);
  ASSERT_GT(server->Pending(), 0U);
  After(seconds(59));
  EXPECT_TRUE(seen.broken.empty());
  After(seconds(2));
  ASSERT_EQ(seen.broken.size(), 1U);
  EXPECT_EQ(seen.broken[0].fault, Fault::kTimeout);
}

TEST_F(TcpTransport, ProgressPushesTheStallBack) {
  Connect({}, /*receive_buffer=*/4096);
  WriteText(*server, Pattern(8U << 20));
  for (int i = 0; i < 5; ++i) {
    size_t before = server->Pending();
    ASSERT_TRUE(TurnUntil(loop, [&] {
      client->Receive(64U << 10);
      return server->Pending() < before;
    }));
    After(seconds(40));
    ASSERT_TRUE(seen.broken.empty());
  }
}

TEST_F(TcpTransport, NoStallIsCountedWhileNothingIsPending) {
  Connect();
  WriteText(*server, "small");
  After(seconds(3600));
  EXPECT_TRUE(seen.broken.empty());
}

TEST_F(TcpTransport, DestroyedWithUnsentBytesItResets) {
  Connect({}, /*receive_buffer=*/4096);
  WriteText(*server, Pattern(8U << 20));
  ASSERT_GT(server->Pending(), 0U);
  server.reset();
  ASSERT_TRUE(TurnUntil(loop, [&] {
    client->Receive();
    return client->ended || client->error != 0;
  }));
  EXPECT_EQ(client->error, ECONNRESET);
}

TEST_F(TcpTransport, DestroyedWithNothingUnsentItEndsInPeace) {
  Connect();
  WriteText(*server, "bye");
  server.reset();
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += client->Receive();
    return client->ended || client->error != 0;
  }));
  EXPECT_TRUE(client->ended);
  EXPECT_EQ(got, "bye");
}

TEST_F(TcpTransport, R6LingeringDeliversTheAnswerThoughThePeerGoesOnSending) {
  Connect();
  WriteText(*server, "413");
  client->Send(Pattern(20U << 10));
  LingerAndClose(loop, std::move(server));
  TurnFor(loop, 20);
  client->Send(Pattern(20U << 10));
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += client->Receive();
    return client->ended || client->error != 0;
  }));
  EXPECT_EQ(got, "413");
  EXPECT_TRUE(client->ended);
  EXPECT_EQ(listener->connections(), 1U);
  client->Close();
  EXPECT_TRUE(TurnUntil(loop, [&] { return listener->connections() == 0; }));
  EXPECT_EQ(seen.calls, 0);
}

TEST_F(TcpTransport, R6LingeringEndsAfterASecondOrTooManyBytes) {
  Connect();
  LingerAndClose(loop, std::move(server));
  TurnFor(loop, 5);
  After(milliseconds(900));
  EXPECT_EQ(listener->connections(), 1U);
  After(milliseconds(200));
  EXPECT_EQ(listener->connections(), 0U);

  RawClient flood(listener->bound());
  server = TakeAccepted();
  LingerAndClose(loop, std::move(server));
  EXPECT_TRUE(TurnUntil(loop, [&] {
    flood.Send("x");
    std::string bytes(32 << 10, 'x');
    (void)::send(flood.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return listener->connections() == 0;
  }));
}

TEST_F(TcpTransport, R6LingeringWaitsForASlowReaderOfWhatIsPending) {
  Connect({}, /*receive_buffer=*/4096);
  std::string big = Pattern(8U << 20);
  WriteText(*server, big);
  LingerAndClose(loop, std::move(server));
  for (int i = 0; i < 5; ++i) After(seconds(2));
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += client->Receive();
    return client->ended || client->error != 0;
  }));
  EXPECT_TRUE(got == big);
  client->Close();
  EXPECT_TRUE(TurnUntil(loop, [&] { return listener->connections() == 0; }));
}

TEST_F(TcpTransport, LingeringKnowsOfAnEndToldBefore) {
  Connect();
  client->ShutdownWrites();
  ASSERT_TRUE(TurnUntil(loop, [&] { return seen.eofs == 1; }));
  LingerAndClose(loop, std::move(server));
  EXPECT_TRUE(TurnUntil(loop, [&] { return listener->connections() == 0; }));
}

TEST_F(TcpTransport, WhatLingersEndsWithTheLoop) {
  Connect();
  LingerAndClose(loop, std::move(server));  // the fixture's loop goes while the client stays
  TurnFor(loop, 3);
  SUCCEED();
}

}  // namespace
}  // namespace relay
