// SPDX-License-Identifier: MIT
#include "core/net/dialer.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/net/socket.h"
#include "core/net/tcp.h"
#include "core/net/tls.h"

namespace relay {
namespace {

// One address being connected to.
class Attempt final : public SocketEvents {
 public:
  Attempt(Loop& loop, const Address& address, Event& changed)
      : address_(address), changed_(changed), socket_(Socket::Open(address)) {
    if (!socket_.open()) {
      Finish(errno);
      return;
    }
    socket_.SetOption(IPPROTO_TCP, TCP_NODELAY, 1);
    if (::connect(socket_.fd(), address.data(), address.size()) == 0) {
      Finish(0);
    } else if (errno != EINPROGRESS) {
      Finish(errno);
    } else {
      watch_ = std::make_unique<SocketWatch>(loop, socket_, *this);
      watch_->Set(SocketWatch::kWritable);
    }
  }
  bool done() const { return done_; }
  int error() const { return error_; }
  const Address& address() const { return address_; }
  // The connected socket, once done without an error. Not from within a callback.
  Socket Take() {
    watch_.reset();
    return std::move(socket_);
  }

 private:
  void OnSocket(bool, bool, bool) override {
    watch_->Set(SocketWatch::kNone);
    Finish(socket_.TakeError());
  }
  void Finish(int error) {
    done_ = true;
    error_ = error;
    changed_.NotifyAll();
  }

  Address address_;
  Event& changed_;
  Socket socket_;
  std::unique_ptr<SocketWatch> watch_;
  bool done_ = false;
  int error_ = 0;
};

// Several addresses of one host, each tried when the one before failed or took too long; the first
// that answers wins.
class Race {
 public:
  Race(Loop& loop, std::vector<Address> addresses)
      : loop_(loop), changed_(loop), addresses_(std::move(addresses)) {}

  // Starts what is due. Returns when to call again at the latest.
  TimePoint Advance() {
    while (attempts_.size() < addresses_.size() && (loop_.Now() >= next_at_ || AllFailed()) &&
           Winner() == nullptr) {
      const Address& address = addresses_[attempts_.size()];
      attempts_.push_back(std::make_unique<Attempt>(loop_, address, changed_));
      next_at_ = loop_.Now() + kNextAddressAfter;
    }
    return attempts_.size() < addresses_.size() ? next_at_ : TimePoint::max();
  }
  // Every address was tried, and none answered.
  bool lost() const { return attempts_.size() == addresses_.size() && AllFailed(); }
  Attempt* Winner() const {
    for (const auto& attempt : attempts_) {
      if (attempt->done() && attempt->error() == 0) return attempt.get();
    }
    return nullptr;
  }
  const Attempt& last() const { return *attempts_.back(); }
  Event& changed() { return changed_; }

 private:
  bool AllFailed() const {
    return std::all_of(attempts_.begin(), attempts_.end(),
                       [](const auto& attempt) { return attempt->done(); });
  }

  Loop& loop_;
  Event changed_;
  std::vector<Address> addresses_;
  std::vector<std::unique_ptr<Attempt>> attempts_;
  TimePoint next_at_{};
};

std::string Name(const Endpoint& endpoint) {
  return endpoint.host + ":" + std::to_string(endpoint.port);
}

std::unexpected<Error> TooLate(const Endpoint& endpoint) {
  return Fail(Party::kUpstream, Fault::kTimeout,
              "connecting to " + Name(endpoint) + " took too long", true);
}

// Whether all of them may be dialled.
Result<Unit> Check(const std::string& host, const std::vector<Address>& addresses) {
  for (const Address& address : addresses) {
    if (address.IsPublic()) continue;
    return Fail(
        Party::kUpstream, Fault::kConnect,
        host + " is " + address.HostString() + ", which is not an address of the public internet",
        true);
  }
  return Unit{};
}

// The addresses that may be dialled: all, or those in the open internet.
Task<Result<std::vector<Address>>> Resolve(Resolver& resolver, std::string host, uint16_t port,
                                           bool public_only, TimePoint deadline) {
  Result<std::vector<Address>> addresses = co_await resolver.Resolve(host, port, deadline);
  if (!addresses || !public_only) co_return std::move(addresses);
  Result<Unit> allowed = Check(host, *addresses);
  if (!allowed) co_return std::unexpected(allowed.error());
  co_return std::move(addresses);
}

Task<Result<std::unique_ptr<Transport>>> Connect(Loop& loop, Endpoint endpoint,
                                                 std::vector<Address> addresses,
                                                 TimePoint deadline) {
  Race race(loop, std::move(addresses));
  while (true) {
    TimePoint again = std::min(race.Advance(), deadline);
    if (Attempt* winner = race.Winner()) {
      TcpOptions options;
      options.party = Party::kUpstream;
      options.write_stall = endpoint.write_stall;
      options.keepalive = true;
      co_return std::make_unique<Tcp>(loop, winner->Take(), winner->address(), std::move(options));
    }
    if (race.lost()) {
      co_return Fail(Party::kUpstream, Fault::kConnect,
                     "cannot connect to " + Name(endpoint) + " (" +
                         race.last().address().HostString() +
                         "): " + ErrnoText(race.last().error()),
                     true);
    }
    if (loop.Now() >= deadline) co_return TooLate(endpoint);
    co_await race.changed().Wait(again);
  }
}

// The TLS handshake over a connected transport.
Task<Result<std::unique_ptr<Transport>>> Secure(Loop& loop, Endpoint endpoint,
                                                std::unique_ptr<Transport> transport,
                                                TimePoint deadline) {
  std::unique_ptr<Tls> tls = Tls::Connect(loop, std::move(transport), endpoint.tls, endpoint.host,
                                          endpoint.alpn, deadline);
  // Its own timer ends it at the deadline.
  while (!tls->settled()) co_await tls->changed().Wait();
  if (tls->failure() != nullptr) co_return std::unexpected(*tls->failure());
  co_return std::move(tls);
}

// TCP, and TLS if it is to be.
Task<Result<std::unique_ptr<Transport>>> DialStraight(Loop& loop, Resolver& resolver,
                                                      Endpoint endpoint, TimePoint deadline) {
  Result<std::vector<Address>> addresses =
      co_await Resolve(resolver, endpoint.host, endpoint.port, endpoint.public_only, deadline);
  if (!addresses) co_return std::unexpected(addresses.error());
  Result<std::unique_ptr<Transport>> transport =
      co_await Connect(loop, endpoint, *std::move(addresses), deadline);
  if (!transport || endpoint.tls == nullptr) co_return std::move(transport);
  transport = co_await Secure(loop, std::move(endpoint), *std::move(transport), deadline);
  co_return std::move(transport);
}

// What a proxy says until the tunnel stands.
class ProxyEar final : public TransportEvents {
 public:
  // `transport` is stopped when this dies: what it has to say then waits for the next Start.
  ProxyEar(Loop& loop, Transport& transport) : changed_(loop), transport_(transport) {
    transport_.Start(*this);
  }
  ~ProxyEar() { transport_.Stop(); }
  ProxyEar(const ProxyEar&) = delete;
  ProxyEar& operator=(const ProxyEar&) = delete;

  std::string Take() { return std::exchange(heard_, {}); }
  bool heard() const { return !heard_.empty(); }
  // Why nothing more will come.
  const std::optional<Error>& end() const { return end_; }
  Event& changed() { return changed_; }

 private:
  void OnBytes(Chunk bytes) override {
    heard_ += bytes.view();
    changed_.NotifyAll();
  }
  void OnEof() override {
    OnBroken({Party::kUpstream, Fault::kReset, "it closed the connection unasked", true});
  }
  void OnBroken(Error why) override {
    end_ = std::move(why);
    changed_.NotifyAll();
  }
  void OnDrained() override {}

  std::string heard_;
  std::optional<Error> end_;
  Event changed_;
  Transport& transport_;
};

// Asks the proxy at the other end of `transport` for a connection to `host`.
Task<Result<std::unique_ptr<Transport>>> Tunnel(Loop& loop, Proxy proxy, std::string host,
                                                uint16_t port, std::unique_ptr<Transport> transport,
                                                TimePoint deadline) {
  std::unique_ptr<ProxyDialogue> dialogue = ProxyDialogue::Begin(proxy, std::move(host), port);
  {
    ProxyEar ear(loop, *transport);
    for (Result<bool> done = false; !*done;) {
      Buffer words;
      words.AppendCopy(dialogue->TakeOutput());
      transport->Write(words);
      if (!ear.heard() && !ear.end()) co_await ear.changed().Wait(deadline);
      if (!ear.heard()) {
        Error silent{Party::kUpstream, Fault::kTimeout, "it does not answer in time", true};
        co_return std::unexpected(ProxyFailed(proxy, ear.end().value_or(silent)));
      }
      done = dialogue->Receive(ear.Take());
      if (!done) co_return std::unexpected(done.error());
    }
  }
  co_return std::move(transport);
}

Task<Result<std::unique_ptr<Transport>>> DialProxy(Loop& loop, Resolver& resolver,
                                                   Endpoint endpoint, TimePoint deadline) {
  std::string target = endpoint.host;
  bool literal = Address::FromLiteral(target, endpoint.port).has_value();
  if (endpoint.public_only && (literal || !endpoint.proxy->public_only)) {
    Result<std::vector<Address>> addresses =
        co_await Resolve(resolver, target, endpoint.port, true, deadline);
    if (!addresses) co_return std::unexpected(addresses.error());
    target = addresses->front().HostString();
  }
  Endpoint first;
  first.host = endpoint.proxy->host;
  first.port = endpoint.proxy->port;
  first.tls = endpoint.proxy->tls;
  if (first.tls != nullptr) first.alpn = {"http/1.1"};
  first.public_only = endpoint.proxy->public_only;
  first.write_stall = endpoint.write_stall;
  Result<std::unique_ptr<Transport>> transport =
      co_await DialStraight(loop, resolver, std::move(first), deadline);
  if (!transport) co_return std::unexpected(ProxyFailed(*endpoint.proxy, transport.error()));
  transport = co_await Tunnel(loop, *endpoint.proxy, std::move(target), endpoint.port,
                              *std::move(transport), deadline);
  if (!transport || endpoint.tls == nullptr) co_return std::move(transport);
  transport = co_await Secure(loop, std::move(endpoint), *std::move(transport), deadline);
  co_return std::move(transport);
}

}  // namespace

Task<Result<std::unique_ptr<Transport>>> Dial(Loop& loop, Resolver& resolver, Endpoint endpoint,
                                              TimePoint deadline) {
  if (endpoint.proxy) return DialProxy(loop, resolver, std::move(endpoint), deadline);
  return DialStraight(loop, resolver, std::move(endpoint), deadline);
}

}  // namespace relay
