// SPDX-License-Identifier: MIT
#include "core/net/tcp.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace relay {
namespace {

// Slices given to one sendmsg.
constexpr size_t kSlices = 64;
// Reads of one connection in one turn, so that a fast peer does not starve the others.
constexpr int kReadsPerTurn = 4;

void SetKeepalive(const Socket& socket) {
  constexpr int kIdleSeconds = 60;
  constexpr int kIntervalSeconds = 10;
  constexpr int kProbes = 6;
  socket.SetOption(SOL_SOCKET, SO_KEEPALIVE, 1);
  socket.SetOption(IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds);
  socket.SetOption(IPPROTO_TCP, TCP_KEEPINTVL, kIntervalSeconds);
  socket.SetOption(IPPROTO_TCP, TCP_KEEPCNT, kProbes);
}

bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

Tcp::Tcp(Loop& loop, Socket socket, const Address& peer, TcpOptions options)
    : loop_(loop),
      socket_(std::move(socket)),
      watch_(loop, socket_, *this),
      ticket_(std::move(options.ticket)),
      peer_(peer.ToString()),
      write_stall_(options.write_stall),
      stall_(loop.timers(), *this),
      party_(options.party) {
  if (options.keepalive) SetKeepalive(socket_);
}

Tcp::~Tcp() {
  // The peer must not take what it got for all that there was.
  if (!pending_.empty() && socket_.open()) {
    linger reset{.l_onoff = 1, .l_linger = 0};
    (void)::setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
}

void Tcp::Start(TransportEvents& events) {
  events_ = &events;
  end_told_ = false;
  if (broken_ || eof_) loop_.FlushLater(*this);
  UpdateWatch();
}

void Tcp::Stop() {
  events_ = nullptr;
  UpdateWatch();
}

void Tcp::Write(Buffer& from) {
  if (broken_ || no_more_writes_) {
    from.Clear();
    return;
  }
  if (pending_.empty() && !Send(from)) {
    from.Clear();
    return;
  }
  if (from.empty()) return;
  bool first = pending_.empty();
  from.Compact();
  pending_.Append(from);
  if (pending_.size() > kHighWater) above_ = true;
  if (!first) return;
  stall_.ArmIn(write_stall_);
  UpdateWatch();
}

bool Tcp::Send(Buffer& buffer) {
  while (!buffer.empty()) {
    std::array<iovec, kSlices> slices;
    msghdr message{};
    message.msg_iov = slices.data();
    message.msg_iovlen = buffer.Iovecs(slices);
    size_t offered = 0;
    for (size_t i = 0; i < message.msg_iovlen; ++i) offered += slices[i].iov_len;
    ssize_t sent = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (WouldBlock(errno)) return true;
      // An upstream that takes no more may have said why before; the last read tells the rest.
      bool may_have_spoken = (errno == EPIPE || errno == ECONNRESET) && Reading();
      if (may_have_spoken && party_ == Party::kUpstream) {
        no_more_writes_ = fin_sent_ = true;
        stall_.Disarm();
        return false;
      }
      Break(errno, "write to");
      return false;
    }
    buffer.Consume(static_cast<size_t>(sent));
    // It took a part: another call now would only hear that it takes no more.
    if (static_cast<size_t>(sent) < offered) return true;
  }
  return true;
}

void Tcp::SendPending() {
  size_t before = pending_.size();
  if (!Send(pending_)) {
    if (broken_) return;
    pending_.Clear();
    above_ = false;
    UpdateWatch();
    return;
  }
  if (pending_.empty()) {
    stall_.Disarm();
    if (no_more_writes_) FinishWrites();
  } else if (pending_.size() < before) {
    stall_.ArmIn(write_stall_);
  }
  UpdateWatch();
  if (above_ && pending_.size() < kLowWater) {
    above_ = false;
    if (events_ != nullptr) events_->OnDrained();
  }
}

void Tcp::OnStall() {
  Break(Error{party_, Fault::kTimeout, peer_ + " takes no more of what is sent to it", true});
}

void Tcp::PauseReads(Pause reason) {
  // The watch stays until bytes come in vain: a short pause then costs no system call.
  paused_ |= static_cast<uint8_t>(reason);
}

void Tcp::ResumeReads(Pause reason) {
  paused_ &= static_cast<uint8_t>(~static_cast<unsigned>(reason));
  if (Reading()) UpdateWatch();
}

void Tcp::ShutdownWrites() {
  if (no_more_writes_) return;
  no_more_writes_ = true;
  if (pending_.empty()) FinishWrites();
}

void Tcp::FinishWrites() {
  if (fin_sent_ || broken_) return;
  fin_sent_ = true;
  (void)::shutdown(socket_.fd(), SHUT_WR);  // a connection that is gone by now says so on reading
}

void Tcp::OnSocket(bool readable, bool writable, bool broken) {
  if (broken) {
    OnSocketError();
    return;
  }
  if (writable && !pending_.empty()) SendPending();
  if (readable && Reading()) {
    Read();
    return;
  }
  bool hangup = !readable && !writable;
  if (hangup) hung_up_ = true;
  if (hangup || readable) UpdateWatch();
  if (hangup && events_ != nullptr && !Reading()) events_->OnHangup();
}

void Tcp::OnSocketError() {
  // What the peer sent before it broke off is still there and is read first, in as many turns as
  // it takes; the last read then tells the error.
  if (Reading()) {
    if (Read()) {
      UpdateWatch();
      return;
    }
  } else if (pending_.empty() && party_ == Party::kUpstream) {
    return;  // reads are paused: found again when they resume, after what came before it
  }
  int error = socket_.TakeError();
  Break(error != 0 ? error : ECONNRESET, "use");
}

bool Tcp::Read() {
  bool got_any = false;
  for (int i = 0; i < kReadsPerTurn && Reading(); ++i) {
    std::span<char> space = ReadArea::Get().Space();
    ssize_t got = ::recv(socket_.fd(), space.data(), space.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (WouldBlock(errno)) return got_any;
      Break(errno, "read from");
      return true;
    }
    got_any = true;
    if (got == 0) {
      eof_ = true;
      UpdateWatch();
      TellEnd();
      return true;
    }
    auto size = static_cast<size_t>(got);
    events_->OnBytes(ReadArea::Get().Take(size));
    if (size < space.size()) return true;
  }
  return true;
}

void Tcp::Break(int error, const char* doing) {
  Fault fault = error == ETIMEDOUT || error == EHOSTUNREACH ? Fault::kTimeout : Fault::kReset;
  Break(Error{party_, fault, std::string("cannot ") + doing + " " + peer_ + ": " + ErrnoText(error),
              true});
}

void Tcp::Break(Error why) {
  if (broken_) return;
  broken_ = true;
  why_ = std::make_unique<Error>(std::move(why));
  stall_.Disarm();
  end_told_ = false;
  UpdateWatch();
  // Never told from inside Write: the caller is in the midst of its own work.
  loop_.FlushLater(*this);
}

void Tcp::Flush() {
  TellEnd();
}

void Tcp::TellEnd() {
  if (events_ == nullptr || end_told_) return;
  end_told_ = true;
  if (broken_) {
    events_->OnBroken(*why_);
  } else {
    events_->OnEof();
  }
}

void Tcp::UpdateWatch() {
  if (broken_) {
    watch_.Set(SocketWatch::kNone);
    return;
  }
  // A client that leaves is noticed though nobody reads what it sent.
  bool hangup = party_ == Party::kClient && paused_ != 0 && !eof_ && !hung_up_;
  watch_.Set(static_cast<uint8_t>((Reading() ? SocketWatch::kReadable : 0) |
                                  (pending_.empty() ? 0 : SocketWatch::kWritable) |
                                  (hangup ? SocketWatch::kHangup : 0)));
}

}  // namespace relay
