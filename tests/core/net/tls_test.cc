// SPDX-License-Identifier: MIT
#include "core/net/tls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/net/dialer.h"
#include "core/net/linger.h"
#include "tests/core/net/certificates.h"
#include "tests/core/net/net_test.h"

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Dialled = Result<std::unique_ptr<Transport>>;

void WriteText(Transport& to, std::string_view text) {
  Buffer buffer;
  buffer.AppendCopy(text);
  to.Write(buffer);
}

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

// Counts what OpenSSL holds in blocks that are as large as a record: its buffers for reading and
// writing. Each block of its memory has its size in front.
struct RecordBuffers {
  static constexpr size_t kLarge = size_t{16} << 10;
  static constexpr size_t kFront = 16;
  static inline int live = 0;

  static void* Allocate(size_t size, const char*, int) {
    auto* block = static_cast<char*>(std::malloc(kFront + size));
    if (block == nullptr) return nullptr;
    std::memcpy(block, &size, sizeof size);
    if (size >= kLarge) ++live;
    return block + kFront;
  }
  static void Free(void* memory, const char*, int) {
    if (memory == nullptr) return;
    if (SizeOf(memory) >= kLarge) --live;
    std::free(static_cast<char*>(memory) - kFront);
  }
  static void* Reallocate(void* memory, size_t size, const char* file, int line) {
    void* moved = Allocate(size, file, line);
    if (memory == nullptr || moved == nullptr) return moved;
    std::memcpy(moved, memory, std::min(size, SizeOf(memory)));
    Free(memory, file, line);
    return moved;
  }
  static size_t SizeOf(void* memory) {
    size_t size = 0;
    std::memcpy(&size, static_cast<char*>(memory) - kFront, sizeof size);
    return size;
  }
  // Only before OpenSSL allocates anything.
  static inline const bool kCounting = CRYPTO_set_mem_functions(Allocate, Reallocate, Free) == 1;
};

// A client with OpenSSL's own sockets, for what a well-behaved peer does not do.
class RawTls {
 public:
  explicit RawTls(const Address& to, int highest = TLS1_3_VERSION, const char* ciphers = nullptr)
      : context_(SSL_CTX_new(TLS_client_method())), client_(to) {
    SSL_CTX_set_max_proto_version(context_, highest);
    SSL_CTX_set_security_level(context_, 0);  // so that it may offer what a server must refuse
    if (ciphers != nullptr) SSL_CTX_set_cipher_list(context_, ciphers);
    ::fcntl(client_.fd(), F_SETFL, O_NONBLOCK);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, client_.fd());
    SSL_set_connect_state(ssl_);
  }
  ~RawTls() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;
  void Offer(std::string_view wire) {
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wire.data()),
                        static_cast<unsigned>(wire.size()));
  }
  // One step; true when it is done or has failed.
  bool Settled() {
    if (failed || SSL_is_init_finished(ssl_) == 1) return true;
    int done = SSL_do_handshake(ssl_);
    failed = done != 1 && SSL_get_error(ssl_, done) != SSL_ERROR_WANT_READ;
    if (failed) why = TakeTlsError();
    return failed || done == 1;
  }
  std::string Receive() {
    std::string part(64U << 10, '\0');
    int got = SSL_read(ssl_, part.data(), static_cast<int>(part.size()));
    if (got <= 0) {
      int error = SSL_get_error(ssl_, got);
      if (error == SSL_ERROR_ZERO_RETURN) closed = true;
      if (error == SSL_ERROR_SSL) why = TakeTlsError();
      return {};
    }
    return part.substr(0, static_cast<size_t>(got));
  }
  SSL* ssl() { return ssl_; }
  RawClient& socket() { return client_; }
  bool failed = false;
  bool closed = false;
  std::string why;

 private:
  SSL_CTX* context_;
  RawClient client_;
  SSL* ssl_;
};

struct TlsTest : NetTest {
  TempFolder folder;
  Authority authority{folder};
  Authority::Pair good = authority.Issue("good", "DNS:api.test,DNS:*.wild.test,IP:127.0.0.1");
  std::shared_ptr<const TlsServerContext> server_context = Server(good);
  std::shared_ptr<const TlsClientContext> client_context = Client(authority.file());
  Resolver resolver{loop, [](const std::string&) { return std::vector<Address>{Loopback()}; }};
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Transport> client;
  std::unique_ptr<Transport> server;
  Recorder at_client;
  Recorder at_server;

  static std::shared_ptr<const TlsServerContext> Server(const Authority::Pair& pair) {
    auto loaded = TlsServerContext::Load(pair.certificate, pair.key);
    EXPECT_TRUE(loaded) << loaded.error().what;
    return loaded ? *loaded : nullptr;
  }
  static std::shared_ptr<const TlsClientContext> Client(const std::string& file) {
    auto made = TlsClientContext::Make(file);
    EXPECT_TRUE(made) << made.error().what;
    return made ? *made : nullptr;
  }
  void ListenTls(int stall_seconds = 60) {
    ListenOptions options;
    options.tls = server_context;
    options.write_stall = seconds(stall_seconds);
    listener = Listen(std::move(options));
  }
  Endpoint To(std::string host, std::vector<std::string> alpn = {}) {
    Endpoint endpoint;
    endpoint.host = std::move(host);
    endpoint.port = listener->bound().port();
    endpoint.tls = client_context;
    endpoint.alpn = std::move(alpn);
    return endpoint;
  }
  // The dial's result, with the server's end started as soon as it is there.
  Dialled Finish(Endpoint endpoint) {
    Running<Dialled> dial(loop, Dial(loop, resolver, std::move(endpoint), loop.Now() + seconds(5)));
    EXPECT_TRUE(TurnUntil(loop, [&] {
      StartServer();
      return dial.done();
    }));
    return std::move(dial.result());
  }
  void StartServer() {
    if (accepted.empty() || server != nullptr) return;
    server = TakeAccepted();
    server->Start(at_server);
  }
  void Connect(Endpoint endpoint) {
    Dialled dialled = Finish(std::move(endpoint));
    ASSERT_TRUE(dialled) << dialled.error().what;
    client = *std::move(dialled);
    client->Start(at_client);
    ASSERT_TRUE(TurnUntil(loop, [&] {
      StartServer();
      return server != nullptr;
    }));
  }
  void ExpectRefused(Endpoint endpoint, const std::string& what) {
    Dialled dialled = Finish(std::move(endpoint));
    ASSERT_FALSE(dialled);
    EXPECT_EQ(dialled.error().fault, Fault::kTls);
    EXPECT_EQ(dialled.error().party, Party::kUpstream);
    EXPECT_TRUE(dialled.error().retryable);
    EXPECT_EQ(dialled.error().what, what);
  }
};

TEST_F(TlsTest, CarriesBytesBothWays) {
  ListenTls();
  Connect(To("api.test"));
  WriteText(*client, "ping");
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_server.text == "ping"; }));
  WriteText(*server, "pong");
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_client.text == "pong"; }));
  EXPECT_TRUE(server->peer().starts_with("127.0.0.1:"));
}

TEST_F(TlsTest, AnIdleConnectionHoldsNoRecordBuffer) {
  ASSERT_TRUE(RecordBuffers::kCounting);
  // As vendors do: tickets come behind the handshake, though nobody will use them.
  SSL_CTX_set_num_tickets(server_context->get(), 2);
  ListenTls();
  int before = RecordBuffers::live;
  Connect(To("api.test"));
  WriteText(*client, "ping");
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_server.text == "ping"; }));
  WriteText(*server, "pong");
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_client.text == "pong"; }));
  EXPECT_EQ(RecordBuffers::live, before);
  // And goes on when there is something to say again.
  WriteText(*client, "ping");
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_server.text == "pingping"; }));
  EXPECT_EQ(RecordBuffers::live, before);
}

TEST_F(TlsTest, BothSidesAgreeOnAProtocol) {
  ListenTls();
  Connect(To("api.test", {"http/1.1", "h2"}));
  EXPECT_EQ(client->alpn(), "h2");  // the server's liking counts
  ASSERT_TRUE(TurnUntil(loop, [&] { return server->alpn() == "h2"; }));
}

TEST_F(TlsTest, AClientWithOnlyHttp1GetsIt) {
  ListenTls();
  Connect(To("api.test", {"http/1.1"}));
  EXPECT_EQ(client->alpn(), "http/1.1");
}

TEST_F(TlsTest, AClientWithoutAlpnGetsNone) {
  ListenTls();
  Connect(To("api.test"));
  EXPECT_EQ(client->alpn(), "");
}

TEST_F(TlsTest, AClientWithOnlyOtherProtocolsGetsAnAlert) {
  ListenTls();
  ExpectRefused(To("api.test", {"spdy/3"}),
                "the TLS handshake with api.test failed: tlsv1 alert no application protocol");
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_EQ(at_server.broken[0].party, Party::kClient);
  EXPECT_EQ(at_server.broken[0].fault, Fault::kTls);
}

TEST_F(TlsTest, RefusesACertificateForAnotherName) {
  ListenTls();
  ExpectRefused(
      To("other.test"),
      "the TLS handshake with other.test failed: certificate verify failed: hostname mismatch");
}

TEST_F(TlsTest, TakesAWildcardOfOneLabelAndALiteralAddress) {
  ListenTls();
  Connect(To("a.wild.test"));
  server.reset();
  client.reset();
  Connect(To("127.0.0.1"));
  server.reset();
  client.reset();
  Dialled deep = Finish(To("a.b.wild.test"));
  EXPECT_FALSE(deep);
}

TEST_F(TlsTest, RefusesACertificateForAnotherAddress) {
  server_context = Server(authority.Issue("names", "DNS:api.test"));
  ListenTls();
  ExpectRefused(
      To("127.0.0.1"),
      "the TLS handshake with 127.0.0.1 failed: certificate verify failed: IP address mismatch");
}

TEST_F(TlsTest, RefusesAnUnknownAuthority) {
  TempFolder elsewhere;
  Authority stranger(elsewhere);
  client_context = Client(stranger.file());
  ListenTls();
  Dialled dialled = Finish(To("api.test"));
  ASSERT_FALSE(dialled);
  EXPECT_TRUE(dialled.error().what.starts_with(
      "the TLS handshake with api.test failed: certificate verify failed: "))
      << dialled.error().what;
  // The server learns why, for its operator's log.
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_NE(at_server.broken[0].what.find("alert"), std::string::npos) << at_server.broken[0].what;
}

TEST_F(TlsTest, TheSystemsAuthoritiesDoNotKnowATestsOwn) {
  client_context = Client("");
  ListenTls();
  Dialled dialled = Finish(To("api.test"));
  ASSERT_FALSE(dialled);
  EXPECT_NE(dialled.error().what.find("certificate verify failed"), std::string::npos);
}

TEST_F(TlsTest, RefusesAnExpiredCertificate) {
  server_context = Server(authority.Issue("old", "DNS:api.test", -60));
  ListenTls();
  ExpectRefused(To("api.test"),
                "the TLS handshake with api.test failed: certificate verify failed: certificate "
                "has expired");
}

TEST_F(TlsTest, CarriesLargeTransfersToASlowReader) {
  ListenTls();
  Connect(To("api.test"));
  at_client.keep = at_server.keep = true;
  client->PauseReads(Pause::kStream);
  std::string big = Pattern(12U << 20);
  WriteText(*server, big);
  TurnFor(loop, 50);
  EXPECT_EQ(at_client.size, 0U);
  EXPECT_GT(server->Pending(), Transport::kHighWater);
  EXPECT_EQ(at_server.drained, 0);
  client->ResumeReads(Pause::kStream);
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_client.size >= big.size(); }));
  EXPECT_TRUE(at_client.text == big);
  EXPECT_EQ(at_server.drained, 1);
  EXPECT_EQ(server->Pending(), 0U);
}

TEST_F(TlsTest, AReceiverThatPausesInTheMiddleGetsNoMoreAndLosesNothing) {
  ListenTls();
  Connect(To("api.test"));
  at_client.on_bytes = [&](const Chunk&) { client->PauseReads(Pause::kStream); };
  std::string big = Pattern(300U << 10);
  WriteText(*server, big);
  int calls = 0;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    EXPECT_LE(at_client.calls, calls + 1);
    calls = at_client.calls;
    client->ResumeReads(Pause::kStream);
    return at_client.size == big.size();
  }));
  EXPECT_TRUE(at_client.text == big);
}

TEST_F(TlsTest, SmallSlicesShareARecord) {
  ListenTls();
  Connect(To("api.test"));
  Buffer buffer;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    buffer.AppendCopy("piece ");
    expected += "piece ";
  }
  server->Write(buffer);
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_client.size == expected.size(); }));
  EXPECT_EQ(at_client.text, expected);
  EXPECT_LE(at_client.calls, 500 / 64 + 2);
}

TEST_F(TlsTest, WhatIsWrittenBeforeTheHandshakeGoesOutAfterIt) {
  ListenTls();
  RawTls raw(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  std::string big = Pattern(100U << 10);
  WriteText(*server, big);
  server->ShutdownWrites();
  EXPECT_EQ(server->Pending(), big.size());
  ASSERT_TRUE(TurnUntil(loop, [&] { return raw.Settled(); }));
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += raw.Receive();
    return raw.closed;
  }));
  EXPECT_TRUE(got == big);
}

TEST_F(TlsTest, AHalfClosedConnectionStillSends) {
  ListenTls();
  Connect(To("api.test"));
  WriteText(*client, "ask");
  client->ShutdownWrites();
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_server.eofs == 1; }));
  EXPECT_EQ(at_server.text, "ask");
  WriteText(*server, "answer");
  server->ShutdownWrites();
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_client.eofs == 1; }));
  EXPECT_EQ(at_client.text, "answer");
  EXPECT_TRUE(at_client.broken.empty());
  EXPECT_TRUE(at_server.broken.empty());
}

TEST_F(TlsTest, AnEndWithoutCloseNotifyIsATruncation) {
  ListenTls();
  RawTls raw(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  ASSERT_TRUE(TurnUntil(loop, [&] { return raw.Settled(); }));
  SSL_write(raw.ssl(), "half", 4);
  raw.socket().ShutdownWrites();
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_EQ(at_server.text, "half");
  EXPECT_EQ(at_server.eofs, 0);
  EXPECT_EQ(at_server.broken[0].fault, Fault::kTruncated);
}

TEST_F(TlsTest, AResetIsTold) {
  ListenTls();
  Connect(To("api.test"));
  WriteText(*client, Pattern(8U << 20));
  client.reset();
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_EQ(at_server.broken[0].fault, Fault::kReset);
  EXPECT_EQ(at_server.broken.size(), 1U);
}

TEST_F(TlsTest, TamperedBytesBreakTheConnectionWithAnAlert) {
  ListenTls();
  RawTls raw(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  ASSERT_TRUE(TurnUntil(loop, [&] { return raw.Settled(); }));
  raw.socket().Send(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_EQ(at_server.broken[0].fault, Fault::kTls);
  EXPECT_EQ(at_server.size, 0U);
  loop.Bury(std::make_unique<Holder>(std::move(server)));
  ASSERT_TRUE(TurnUntil(loop, [&] {
    raw.Receive();
    return !raw.why.empty();
  }));
  EXPECT_EQ(raw.why, "sslv3 alert bad record mac");
}

TEST_F(TlsTest, R30AHandshakeHasItsTime) {
  ListenTls();
  RawClient silent(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  After(milliseconds(9900));
  EXPECT_TRUE(at_server.broken.empty());
  After(milliseconds(200));
  ASSERT_EQ(at_server.broken.size(), 1U);
  EXPECT_EQ(at_server.broken[0].fault, Fault::kTimeout);
}

TEST_F(TlsTest, AnEndInTheHandshakeIsTold) {
  ListenTls();
  RawClient leaves(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  leaves.Send("\x16\x03");
  leaves.Close();
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_NE(at_server.broken[0].what.find("during the TLS handshake"), std::string::npos);
}

TEST_F(TlsTest, AClientThatForgotTheSIsToldInPlainHttp) {
  ListenTls();
  RawClient plain(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  plain.Send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_NE(at_server.broken[0].what.find("a plain HTTP request came to this TLS port"),
            std::string::npos)
      << at_server.broken[0].what;
  loop.Bury(std::make_unique<Holder>(std::move(server)));
  std::string got;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    got += plain.Receive();
    return plain.ended || plain.error != 0;
  }));
  EXPECT_TRUE(got.starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(
      got.ends_with("content-length: " + std::to_string(got.size() - got.find("\r\n\r\n") - 4) +
                    "\r\nconnection: close\r\n\r\nThis port speaks TLS: use https.\n"))
      << got;
}

TEST_F(TlsTest, GarbageIsRefused) {
  ListenTls();
  RawClient garbage(listener->bound());
  server = TakeAccepted();
  server->Start(at_server);
  garbage.Send(std::string(2000, '\x7f'));
  ASSERT_TRUE(TurnUntil(loop, [&] { return !at_server.broken.empty(); }));
  EXPECT_EQ(at_server.broken[0].fault, Fault::kTls);
  EXPECT_EQ(at_server.size, 0U);
}

TEST_F(TlsTest, DiallingAPlainPortSaysThatItIsNotTls) {
  listener = Listen();
  at_server.on_bytes = [&](const Chunk&) {
    WriteText(*server, "HTTP/1.1 400 Bad Request\r\n\r\n");
  };
  ExpectRefused(To("api.test"),
                "the TLS handshake with api.test failed: it does not speak TLS on this port");
}

TEST_F(TlsTest, ADialIsOverAtItsDeadlineAlsoInTheHandshake) {
  listener = Listen();  // accepts, and says nothing
  Running<Dialled> dial(loop, Dial(loop, resolver, To("127.0.0.1"), loop.Now() + seconds(5)));
  TurnFor(loop, 20);
  EXPECT_FALSE(dial.done());
  After(seconds(6));
  ASSERT_TRUE(TurnUntil(loop, [&] { return dial.done(); }));
  EXPECT_EQ(dial.result().error().fault, Fault::kTimeout);
  EXPECT_TRUE(dial.result().error().retryable);
}

TEST_F(TlsTest, ADialMayBeCancelledAfterAnyTurn) {
  ListenTls();
  bool finished = false;
  for (int turns = 0; turns < 100 && !finished; ++turns) {
    Running<Dialled> dial(loop,
                          Dial(loop, resolver, To("127.0.0.1", {"h2"}), loop.Now() + seconds(5)));
    for (int i = 0; i < turns; ++i) loop.Turn();
    finished = dial.done();
    dial.Cancel();
    TurnFor(loop, 2);
  }
  EXPECT_TRUE(finished);
  accepted.clear();
}

TEST_F(TlsTest, TheServersFirstWordsWaitForTheClientsStart) {
  ListenTls();
  accepted.clear();
  Running<Dialled> dial(loop, Dial(loop, resolver, To("api.test"), loop.Now() + seconds(5)));
  ASSERT_TRUE(TurnUntil(loop, [&] {
    if (server == nullptr && !accepted.empty()) {
      StartServer();
      WriteText(*server, "welcome");
      server->ShutdownWrites();
    }
    return dial.done();
  }));
  TurnFor(loop, 20);
  client = *std::move(dial.result());
  client->Start(at_client);
  EXPECT_TRUE(TurnUntil(loop, [&] { return at_client.eofs == 1; }));
  EXPECT_EQ(at_client.text, "welcome");
}

TEST_F(TlsTest, OldVersionsAndWeakCiphersAreRefused) {
  ListenTls();
  for (auto [version, ciphers] :
       {std::pair{TLS1_1_VERSION, "ALL"}, std::pair{TLS1_2_VERSION, "AES128-GCM-SHA256"},
        std::pair{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256"}}) {
    Recorder seen;
    RawTls raw(listener->bound(), version, ciphers);
    auto transport = TakeAccepted();
    transport->Start(seen);
    ASSERT_TRUE(TurnUntil(loop, [&] { return raw.Settled(); }));
    EXPECT_TRUE(raw.failed) << ciphers;
    ASSERT_TRUE(TurnUntil(loop, [&] { return !seen.broken.empty(); }));
    transport.reset();
  }
}

TEST_F(TlsTest, VersionTwelveWorksWithoutTicketsAndRenegotiation) {
  ListenTls();
  RawTls raw(listener->bound(), TLS1_2_VERSION);
  raw.Offer("\x08http/1.1");
  server = TakeAccepted();
  server->Start(at_server);
  ASSERT_TRUE(TurnUntil(loop, [&] { return raw.Settled(); }));
  ASSERT_FALSE(raw.failed) << raw.why;
  EXPECT_EQ(server->alpn(), "http/1.1");
  EXPECT_EQ(SSL_SESSION_has_ticket(SSL_get0_session(raw.ssl())), 0);
  EXPECT_EQ(SSL_get_current_compression(raw.ssl()), nullptr);
  SSL_renegotiate(raw.ssl());
  std::string failure;
  ASSERT_TRUE(TurnUntil(loop, [&] {
    int done = SSL_do_handshake(raw.ssl());
    if (done != 1 && SSL_get_error(raw.ssl(), done) == SSL_ERROR_SSL) failure = TakeTlsError();
    return !failure.empty() || !at_server.broken.empty();
  }));
  EXPECT_NE(failure.find("no renegotiation"), std::string::npos) << failure;
}

TEST_F(TlsTest, ANewCertificateServesNewConnections) {
  ListenTls();
  ListenOptions renewed;
  renewed.tls = Server(authority.Issue("new", "DNS:new.test"));
  listener->SetOptions(std::move(renewed));
  Connect(To("new.test"));
}

TEST_F(TlsTest, LingeringSaysGoodByeInTls) {
  ListenTls();
  Connect(To("api.test"));
  WriteText(*server, "bye");
  LingerAndClose(loop, std::move(server));
  ASSERT_TRUE(TurnUntil(loop, [&] { return at_client.eofs == 1; }));
  EXPECT_EQ(at_client.text, "bye");
  LingerAndClose(loop, std::move(client));
  EXPECT_TRUE(TurnUntil(loop, [&] { return listener->connections() == 0; }));
}

TEST_F(TlsTest, SaysWhichFileItCannotUse) {
  auto missing = TlsServerContext::Load(folder.File("none.crt"), good.key);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().what, "cannot read the certificate '" + folder.File("none.crt") +
                                      "': no such file or directory");
  auto no_key = TlsServerContext::Load(good.certificate, good.certificate);
  ASSERT_FALSE(no_key);
  EXPECT_TRUE(no_key.error().what.starts_with("cannot read the key '" + good.certificate +
                                              "' (PEM, without a passphrase)"))
      << no_key.error().what;
  Authority::Pair other = authority.Issue("other", "DNS:other.test");
  auto mixed = TlsServerContext::Load(good.certificate, other.key);
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().what, "the key '" + other.key + "' does not belong to the certificate '" +
                                    good.certificate + "'");
  auto no_ca = TlsClientContext::Make(folder.File("none.pem"));
  ASSERT_FALSE(no_ca);
  EXPECT_TRUE(no_ca.error().what.starts_with("cannot read the certificate authorities in '" +
                                             folder.File("none.pem") + "'"));
}

}  // namespace
}  // namespace relay
