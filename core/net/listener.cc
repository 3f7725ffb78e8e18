// SPDX-License-Identifier: MIT
#include "core/net/listener.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "core/net/tcp.h"
#include "core/net/tls.h"

namespace relay {
namespace {

// Connections accepted in one turn, so that a flood of them does not starve those that are open.
constexpr int kAcceptsPerTurn = 64;
constexpr Duration kShortageWait = std::chrono::milliseconds(100);

std::string Advice(int error) {
  switch (error) {
    case EADDRINUSE: return ": another program uses it; stop that one or choose another port";
    case EACCES: return ": not permitted; choose a port above 1023";
    case EADDRNOTAVAIL: return ": this machine has no such address; 0.0.0.0 means all that it has";
    default: return ": " + ErrnoText(error);
  }
}

std::unexpected<Error> CannotListen(const Address& address, int error) {
  return Fail(Party::kRelay, Fault::kConnect,
              "cannot listen on " + address.ToString() + Advice(error));
}

}  // namespace

// Counts the open connections; outlives the listener as long as one of them is open.
struct Listener::Seats {
  size_t taken = 0;
  Listener* listener = nullptr;
};

class Listener::Seat final : public Mortal {
 public:
  explicit Seat(std::shared_ptr<Seats> seats) : seats_(std::move(seats)) { ++seats_->taken; }
  ~Seat() override {
    --seats_->taken;
    if (seats_->listener != nullptr) seats_->listener->UpdateWatch();
  }

 private:
  std::shared_ptr<Seats> seats_;
};

Result<std::unique_ptr<Listener>> Listener::Open(Loop& loop, ListenOptions options,
                                                 Accepted accepted) {
  const Address& address = options.address;
  Socket socket = Socket::Open(address);
  if (!socket.open()) return CannotListen(address, errno);
  socket.SetOption(SOL_SOCKET, SO_REUSEADDR, 1);
  socket.SetOption(SOL_SOCKET, SO_REUSEPORT, 1);
  // "::" takes IPv4 as well, as people expect; any other IPv6 address takes only its own.
  if (address.v6()) socket.SetOption(IPPROTO_IPV6, IPV6_V6ONLY, address.IsWildcard() ? 0 : 1);
  // Linux hands this on to each accepted connection, which saves a call for each.
  socket.SetOption(IPPROTO_TCP, TCP_NODELAY, 1);
  if (::bind(socket.fd(), address.data(), address.size()) != 0 ||
      ::listen(socket.fd(), options.backlog) != 0) {
    return CannotListen(address, errno);
  }
  return std::unique_ptr<Listener>(
      new Listener(loop, std::move(socket), std::move(options), std::move(accepted)));
}

Listener::Listener(Loop& loop, Socket socket, ListenOptions options, Accepted accepted)
    : loop_(loop),
      options_(std::move(options)),
      accepted_(std::move(accepted)),
      socket_(std::move(socket)),
      watch_(loop, socket_, *this),
      bound_(socket_.LocalAddress()),
      seats_(std::make_shared<Seats>()),
      retry_(loop.timers(), *this) {
  seats_->listener = this;
  UpdateWatch();
}

Listener::~Listener() {
  seats_->listener = nullptr;
}

void Listener::SetOptions(ListenOptions options) {
  options.address = options_.address;
  options_ = std::move(options);
  UpdateWatch();
}

size_t Listener::connections() const {
  return seats_->taken;
}

void Listener::Close() {
  if (!socket_.open()) return;
  // Closing resets what waits in the kernel's queue, and those clients were told that they are in.
  AcceptSome(options_.backlog);
  watch_.Set(SocketWatch::kNone);
  retry_.Disarm();
  socket_.Close();
}

void Listener::OnSocket(bool, bool, bool) {
  AcceptSome(kAcceptsPerTurn);
}

void Listener::AcceptSome(int most) {
  while (most > 0 && socket_.open() && seats_->taken < options_.connections && AcceptOne()) --most;
  UpdateWatch();
}

bool Listener::AcceptOne() {
  sockaddr_storage storage{};
  auto* peer = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof storage;
  Socket socket(::accept4(socket_.fd(), peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.open()) {
    Deliver(std::move(socket), Address::FromSockaddr(peer));
    return true;
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
  if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) return true;  // try the next one
  // No descriptor or memory left. The connection stays in the queue and the socket readable: look
  // away for a while instead of asking again at once.
  ++shortages_;
  retry_.ArmIn(kShortageWait);
  return false;
}

void Listener::Deliver(Socket socket, const Address& peer) {
  TcpOptions options;
  options.party = Party::kClient;
  options.write_stall = options_.write_stall;
  options.ticket = std::make_unique<Seat>(seats_);
  auto tcp = std::make_unique<Tcp>(loop_, std::move(socket), peer, std::move(options));
  if (options_.tls == nullptr) {
    accepted_(std::move(tcp));
    return;
  }
  accepted_(Tls::Accept(loop_, std::move(tcp), options_.tls, options_.handshake_timeout));
}

void Listener::OnRetry() {
  UpdateWatch();
}

void Listener::UpdateWatch() {
  if (!socket_.open()) return;
  bool room = seats_->taken < options_.connections && !retry_.armed();
  watch_.Set(room ? SocketWatch::kReadable : SocketWatch::kNone);
}

}  // namespace relay
