// SPDX-License-Identifier: MIT
#include "core/net/linger.h"

namespace relay {
namespace {

constexpr Duration kLongest = std::chrono::seconds(1);
constexpr size_t kMost = size_t{64} << 10;

class Lingering final : public Orphan, private TransportEvents {
 public:
  Lingering(Loop& loop, std::unique_ptr<Transport> transport)
      : loop_(loop), transport_(std::move(transport)), timer_(loop.timers(), *this) {
    for (Pause reason : {Pause::kStream, Pause::kOutput, Pause::kMemory, Pause::kDrain}) {
      transport_->ResumeReads(reason);
    }
    transport_->ShutdownWrites();
    transport_->Start(*this);
    timer_.ArmIn(kLongest);
  }

 private:
  void OnBytes(Chunk bytes) override {
    discarded_ += bytes.size();
    if (discarded_ > kMost) CloseOnceSent();
  }
  void OnEof() override {
    eof_ = true;
    CloseOnceSent();
  }
  void OnBroken(Error) override { Close(); }
  void OnDrained() override {}

  void CloseOnceSent() {
    if (transport_->Pending() == 0) {
      Close();
    } else {
      transport_->PauseReads(Pause::kDrain);  // the timer looks again
    }
  }
  void OnTimer() {
    if (transport_->Pending() > 0) {
      // The transport's own limit of a stalled write ends this if nothing moves.
      waiting_ = true;
      timer_.ArmIn(kLongest);
    } else if (waiting_ && !eof_ && discarded_ <= kMost) {
      waiting_ = false;
      timer_.ArmIn(kLongest);
    } else {
      Close();
    }
  }
  void Close() {
    if (closed_) return;
    closed_ = true;
    timer_.Disarm();
    loop_.Bury(std::unique_ptr<Mortal>(this));
  }

  Loop& loop_;
  std::unique_ptr<Transport> transport_;
  MethodTimer<Lingering, &Lingering::OnTimer> timer_;
  size_t discarded_ = 0;
  bool waiting_ = false;  // output was still pending at the last look
  bool eof_ = false;
  bool closed_ = false;
};

}  // namespace

void LingerAndClose(Loop& loop, std::unique_ptr<Transport> transport) {
  if (transport == nullptr) return;
  loop.Adopt(std::make_unique<Lingering>(loop, std::move(transport)));
}

}  // namespace relay
