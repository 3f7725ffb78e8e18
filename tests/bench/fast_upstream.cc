// SPDX-License-Identifier: MIT
// The upstream of the benchmark: one epoll loop, HTTP/1.1 with keep-alive, as little work a request
// as possible, so that what is measured is the proxy in front of it. POST to a path ending in
// /v1/messages is answered with a JSON message, or with an SSE stream if the body holds
// `"stream":true`. Request headers steer the stream: x-bench-events (how many deltas),
// x-bench-interval-us (pause between them; 0 is none), x-bench-hold: 1 (one delta, then silence).
// Usage: bench_upstream [--port N] [--port-file F] [--certificate F --key F]
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/wire.h"

namespace relay::bench {
namespace {

constexpr std::string_view kStreamFlag = "\"stream\":true";
constexpr size_t kLongestHead = 64 * 1024;

// What every answer carries beside its length: the vendor's own header names.
constexpr std::string_view kVendorHeaders =
    "date: Mon, 24 Nov 2025 06:00:00 GMT\r\n"
    "request-id: req_01BenchBenchBenchBench\r\n"
    "anthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n"
    "anthropic-ratelimit-requests-limit: 4000\r\n"
    "anthropic-ratelimit-requests-remaining: 3999\r\n"
    "anthropic-ratelimit-requests-reset: 2099-01-01T00:00:00Z\r\n";

std::string WithHead(std::string_view status, std::string_view body) {
  std::string answer = "HTTP/1.1 ";
  answer += status;
  answer += "\r\n";
  answer += kVendorHeaders;
  answer += "content-type: application/json\r\ncontent-length: ";
  answer += std::to_string(body.size());
  answer += "\r\n\r\n";
  answer += body;
  return answer;
}

int64_t Number(std::string_view head, std::string_view name, int64_t otherwise) {
  const auto text = HeaderValue(head, name);
  int64_t value = otherwise;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

// One accepted connection and the request it is in.
struct Peer {
  int fd = -1;
  SSL* tls = nullptr;  // owned; null on plain connections
  uint64_t serial = 0;
  std::string head;      // a head that has not ended yet
  bool in_body = false;  // the head was read, body_left bytes are to come
  size_t body_left = 0;
  bool known_path = false;
  bool streamed = false;  // the body holds kStreamFlag
  std::string seam;       // the last bytes of the body so far: the flag may be cut in two
  uint32_t events = 0;    // deltas to send
  uint32_t sent = 0;      // deltas sent
  int64_t interval_ns = 0;
  int64_t due_ns = 0;
  bool hold = false;
  bool streaming = false;
  std::string unsent;  // what the socket did not take

  Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    if (tls != nullptr) SSL_free(tls);
    if (fd >= 0) close(fd);
  }
};

struct Due {
  int64_t when;
  int fd;
  uint64_t serial;
  bool operator<(const Due& other) const { return when > other.when; }
};

class FastUpstream {
 public:
  FastUpstream(int listener, SSL_CTX* tls)
      : listener_(listener), tls_(tls), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    Watch(listener_, EPOLLIN);
    message_ = WithHead("200 OK", MessageBody());
    unknown_ =
        WithHead("404 Not Found",
                 R"({"type":"error","error":{"type":"not_found_error","message":"no such path"}})");
    stream_head_ = "HTTP/1.1 200 OK\r\n";
    stream_head_ += kVendorHeaders;
    stream_head_ +=
        "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
        "transfer-encoding: chunked\r\n\r\n";
    stream_head_ += AsChunk(StreamHead());
    stream_tail_ = AsChunk(StreamTail()) + "0\r\n\r\n";
  }

  [[noreturn]] void Serve() {
    std::array<epoll_event, 512> ready{};
    for (;;) {
      const timespec wait = UntilNextEvent();
      const int count =
          epoll_pwait2(epoll_, ready.data(), static_cast<int>(ready.size()), &wait, nullptr);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = ready[static_cast<size_t>(i)];
        if (event.data.fd == listener_) {
          Accept();
        } else {
          OnReady(event.data.fd, event.events);
        }
      }
      SendDue();
      SendUnpaced();
    }
  }

 private:
  void Watch(int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void Accept() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      SetNoDelay(fd);
      if (peers_.size() <= static_cast<size_t>(fd)) peers_.resize(static_cast<size_t>(fd) + 1);
      auto peer = std::make_unique<Peer>();
      peer->fd = fd;
      peer->serial = ++serial_;
      if (tls_ != nullptr) {
        peer->tls = SSL_new(tls_);
        SSL_set_fd(peer->tls, fd);
        SSL_set_accept_state(peer->tls);
      }
      peers_[static_cast<size_t>(fd)] = std::move(peer);
      Watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
  }

  Peer* Find(int fd) { return peers_[static_cast<size_t>(fd)].get(); }
  void Drop(Peer& peer) { peers_[static_cast<size_t>(peer.fd)].reset(); }

  // Bytes read, 0 at the end of the connection, -1 if nothing is there now.
  ssize_t Read(Peer& peer) {
    if (peer.tls == nullptr) {
      const ssize_t got = recv(peer.fd, input_.data(), input_.size(), 0);
      if (got < 0) return errno == EAGAIN || errno == EINTR ? -1 : 0;
      return got;
    }
    const int got = SSL_read(peer.tls, input_.data(), static_cast<int>(input_.size()));
    if (got > 0) return got;
    const int why = SSL_get_error(peer.tls, got);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
  }

  // Bytes that the socket took; 0 if it is full, -1 if it is broken.
  ssize_t Write(Peer& peer, std::string_view bytes) {
    if (peer.tls == nullptr) {
      const ssize_t took = send(peer.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (took < 0) return errno == EAGAIN ? 0 : -1;
      return took;
    }
    const int took = SSL_write(peer.tls, bytes.data(), static_cast<int>(bytes.size()));
    if (took > 0) return took;
    const int why = SSL_get_error(peer.tls, took);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
  }

  // False if the peer was dropped.
  bool Send(Peer& peer, std::string_view bytes) {
    if (!peer.unsent.empty()) {
      peer.unsent += bytes;
      return true;
    }
    const ssize_t took = Write(peer, bytes);
    if (took < 0) {
      Drop(peer);
      return false;
    }
    peer.unsent.assign(bytes.substr(static_cast<size_t>(took)));
    return true;
  }

  void OnReady(int fd, uint32_t events) {
    Peer* peer = Find(fd);
    if (peer == nullptr) return;
    if ((events & EPOLLOUT) != 0 && !peer->unsent.empty()) {
      const ssize_t took = Write(*peer, peer->unsent);
      if (took < 0) return Drop(*peer);
      peer->unsent.erase(0, static_cast<size_t>(took));
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return;
    const bool closing = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    for (;;) {
      const ssize_t got = Read(*peer);
      if (got < 0) break;
      if (got == 0) return Drop(*peer);
      if (!OnBytes(*peer, std::string_view(input_.data(), static_cast<size_t>(got)))) return;
      // A short read has emptied a plain socket; TLS may hold a further record.
      if (peer->tls == nullptr && !closing && static_cast<size_t>(got) < input_.size()) break;
    }
    if (closing) Drop(*peer);
  }

  // False if the peer was dropped.
  bool OnBytes(Peer& peer, std::string_view bytes) {
    while (!bytes.empty()) {
      if (!peer.in_body && !TakeHead(peer, bytes)) return false;
      if (!peer.in_body) return true;
      const size_t piece = std::min(bytes.size(), peer.body_left);
      LookForFlag(peer, bytes.substr(0, piece));
      bytes.remove_prefix(piece);
      peer.body_left -= piece;
      if (peer.body_left > 0) return true;
      peer.in_body = false;
      if (!Answer(peer)) return false;
    }
    return true;
  }

  // Takes a head's bytes away from `bytes`; in_body is set once it is whole. False if dropped.
  bool TakeHead(Peer& peer, std::string_view& bytes) {
    const size_t before = peer.head.size();
    peer.head += bytes;
    const size_t end = peer.head.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    if (end == std::string::npos) {
      bytes = {};
      if (peer.head.size() <= kLongestHead) return true;
      Drop(peer);
      return false;
    }
    bytes.remove_prefix(end + 4 - before);
    peer.head.resize(end);
    const std::string_view head = peer.head;
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const size_t path_end = line.find_first_of("? ", line.find(' ') + 1);
    peer.known_path =
        line.starts_with("POST ") && line.substr(0, path_end).ends_with("/v1/messages");
    peer.body_left = static_cast<size_t>(Number(head, "content-length", 0));
    peer.events = static_cast<uint32_t>(Number(head, "x-bench-events", 10));
    peer.interval_ns = Number(head, "x-bench-interval-us", 0) * 1000;
    peer.hold = Number(head, "x-bench-hold", 0) != 0;
    peer.streamed = false;
    peer.in_body = true;
    if (HeaderValue(head, "transfer-encoding")) {
      std::fprintf(stderr,
                   "bench_upstream: request with a transfer coding, which it cannot read\n");
      Drop(peer);
      return false;
    }
    peer.head.clear();
    peer.seam.clear();
    if (peer.body_left > 0) return true;
    peer.in_body = false;
    return Answer(peer);
  }

  static void LookForFlag(Peer& peer, std::string_view piece) {
    if (peer.streamed) return;
    peer.seam += piece.substr(0, kStreamFlag.size() - 1);
    peer.streamed =
        memmem(piece.data(), piece.size(), kStreamFlag.data(), kStreamFlag.size()) != nullptr ||
        peer.seam.find(kStreamFlag) != std::string::npos;
    const size_t keep = kStreamFlag.size() - 1;
    if (piece.size() >= keep) {
      peer.seam.assign(piece.substr(piece.size() - keep));
    } else if (peer.seam.size() > keep) {
      peer.seam.erase(0, peer.seam.size() - keep);
    }
  }

  // False if the peer was dropped.
  bool Answer(Peer& peer) {
    if (!peer.known_path) return Send(peer, unknown_);
    if (!peer.streamed) return Send(peer, message_);
    if (!Send(peer, stream_head_)) return false;
    peer.sent = 0;
    peer.streaming = true;
    if (peer.hold) return Send(peer, AsChunk(DeltaEvent(0, NowNs())));
    if (peer.interval_ns == 0) {
      unpaced_.push_back({0, peer.fd, peer.serial});
      return true;
    }
    // Streams that begin together are spread over the interval, else they would queue behind each
    // other at every step and the queue would be what is measured.
    constexpr double kGolden = 0.6180339887498949;
    const double turns = static_cast<double>(++streams_) * kGolden;
    const double phase = turns - static_cast<double>(static_cast<int64_t>(turns));
    peer.due_ns = NowNs() + static_cast<int64_t>(phase * static_cast<double>(peer.interval_ns));
    paced_.push({peer.due_ns, peer.fd, peer.serial});
    return true;
  }

  // The peer a queue entry means, if it still lives.
  Peer* Find(const Due& due) {
    Peer* peer = Find(due.fd);
    return peer != nullptr && peer->serial == due.serial ? peer : nullptr;
  }

  // One delta, or the end after the last. False when nothing more is to come.
  bool Step(Peer& peer) {
    if (peer.sent == peer.events) {
      peer.streaming = false;
      Send(peer, stream_tail_);
      return false;
    }
    return Send(peer, AsChunk(DeltaEvent(peer.sent++, NowNs())));
  }

  void SendDue() {
    while (!paced_.empty() && paced_.top().when <= NowNs()) {
      const Due due = paced_.top();
      paced_.pop();
      Peer* peer = Find(due);
      if (peer == nullptr || !Step(*peer)) continue;
      peer->due_ns += peer->interval_ns;
      paced_.push({peer->due_ns, due.fd, due.serial});
    }
  }

  // One event of each stream a turn, each in its own send; a full socket waits for its turn.
  void SendUnpaced() {
    size_t kept = 0;
    for (const Due& due : unpaced_) {
      Peer* peer = Find(due);
      if (peer == nullptr) continue;
      if (peer->unsent.empty() && !Step(*peer)) continue;
      unpaced_[kept++] = due;
    }
    unpaced_.resize(kept);
  }

  timespec UntilNextEvent() const {
    if (!unpaced_.empty()) return {0, 0};
    if (paced_.empty()) return {60, 0};
    const int64_t left = std::max<int64_t>(0, paced_.top().when - NowNs());
    return {left / 1'000'000'000, left % 1'000'000'000};
  }

  int listener_;
  SSL_CTX* tls_;
  int epoll_;
  uint64_t serial_ = 0;
  uint64_t streams_ = 0;
  std::vector<std::unique_ptr<Peer>> peers_;  // by descriptor
  std::priority_queue<Due> paced_;
  std::vector<Due> unpaced_;
  std::string message_, unknown_, stream_head_, stream_tail_;
  std::vector<char> input_ = std::vector<char>(256 * 1024);
};

SSL_CTX* MakeTls(const std::string& certificate, const std::string& key) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(
      context,
      [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
         unsigned int in_size, void*) {
        static constexpr std::array<unsigned char, 9> kOnly = {8,   'h', 't', 't', 'p',
                                                               '/', '1', '.', '1'};
        return SSL_select_next_proto(const_cast<unsigned char**>(out), size, kOnly.data(),
                                     kOnly.size(), in, in_size) == OPENSSL_NPN_NEGOTIATED
                   ? SSL_TLSEXT_ERR_OK
                   : SSL_TLSEXT_ERR_NOACK;
      },
      nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    std::exit(1);
  }
  return context;
}

int Main(int argc, char** argv) {
  uint16_t port = 0;
  std::string port_file, certificate, key;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--port") {
      port = static_cast<uint16_t>(std::atoi(value));
    } else if (name == "--port-file") {
      port_file = value;
    } else if (name == "--certificate") {
      certificate = value;
    } else if (name == "--key") {
      key = value;
    } else {
      std::fprintf(stderr, "bench_upstream: unknown option %s\n", argv[i]);
      return 2;
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
  PrepareProcess();
  SSL_CTX* tls = certificate.empty() ? nullptr : MakeTls(certificate, key);
  const int listener = Listen(port);
  if (port_file.empty()) {
    std::printf("%u\n", port);
    std::fflush(stdout);
  } else if (std::FILE* file = std::fopen(port_file.c_str(), "w")) {
    std::fprintf(file, "%u\n", port);
    std::fclose(file);
  }
  FastUpstream(listener, tls).Serve();
}

}  // namespace
}  // namespace relay::bench

int main(int argc, char** argv) {
  return relay::bench::Main(argc, argv);
}
