// SPDX-License-Identifier: MIT
#include "core/store/redis_connection.h"

#include <algorithm>
#include <utility>

#include "core/base/jitter.h"
#include "core/base/log.h"
#include "core/store/redis_errors.h"

namespace relay {
namespace {

// At this pace at least a command gets to the server; more time is for what it takes longer for.
constexpr size_t kBytesPerSecond = size_t{256} << 10;

std::string CommandOf(std::initializer_list<std::string_view> words) {
  std::string command;
  AppendCommand(command, {words.begin(), words.size()});
  return command;
}

// RESP2 gives what is published the shape of a reply.
bool IsMessage(const RespReply& reply) {
  return reply.items.size() == 3 && reply.items[0].text == "message";
}

}  // namespace

// --- One connection ------------------------------------------------------------------------------

class RedisConnection::Session final : public TransportEvents {
 public:
  Session(RedisConnection& owner, std::unique_ptr<Transport> transport)
      : owner_(owner),
        transport_(std::move(transport)),
        reader_(owner.options_.replies),
        changed_(owner.loop_),
        timer_(owner.loop_.timers(), *this),
        opened_at_(owner.loop_.Now()),
        last_use_(opened_at_),
        last_heard_(opened_at_) {
    transport_->Start(*this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { Break("is no longer needed"); }

  bool lost() const { return lost_; }
  const Error& why() const { return why_; }
  TimePoint opened_at() const { return opened_at_; }
  TimePoint last_heard() const { return last_heard_; }
  // Nothing was said for a while, and nothing is owed.
  bool idle() const { return idle_; }
  Event& changed() { return changed_; }

  void Send(std::string command, Done done) {
    TimePoint now = owner_.loop_.Now();
    ++owner_.commands_;
    last_use_ = now;
    if (sent_.empty()) progress_ = now;
    auto allowed = std::chrono::seconds(command.size() / kBytesPerSecond);
    sent_.push_back({std::move(done), now + kWholeAnswer + allowed, allowed});
    Buffer bytes;
    bytes.AppendCopy(command);
    transport_->Write(bytes);
    Watch();
  }

 private:
  struct Sent {
    Done done;
    TimePoint by;
    Duration allowed;  // beyond the usual, for its size
  };

  void OnBytes(Chunk bytes) override {
    if (lost_) return;
    heard_ = true;
    progress_ = last_heard_ = owner_.loop_.Now();
    reader_.Feed(bytes.view());
    while (!lost_) {
      auto next = reader_.Next();
      if (!next) {
        Break(next.error().what);
        return;
      }
      if (!*next) break;
      Take(std::move(**next));
    }
    Watch();
  }
  void Take(RespReply reply) {
    if (owner_.listener_ != nullptr && IsMessage(reply)) {
      owner_.listener_->OnMessage(reply.items[1].text, reply.items[2].text);
      return;
    }
    if (sent_.empty()) {
      // A word that nobody asked for comes before the server closes.
      Break(reply.Is(RespReply::Kind::kError) ? ExplainRedis(reply, owner_.options_).what
                                              : std::string("talks out of turn"));
      return;
    }
    Done done = std::move(sent_.front().done);
    sent_.pop_front();
    last_use_ = progress_;
    bool demoted =
        owner_.open_ && reply.Is(RespReply::Kind::kError) && reply.text.contains("READONLY");
    done(std::move(reply));
    // Only a new connection looks for the name's new server.
    if (demoted) Break("has become a read-only replica");
  }
  void OnEof() override { Break(std::string("closed the connection").append(Hint())); }
  void OnBroken(Error why) override { Break(why.what.append(Hint())); }
  // A TLS server has no word for who speaks plain.
  std::string_view Hint() const {
    if (heard_ || owner_.options_.tls != nullptr) return "";
    return " without a word; if this port speaks TLS, set REDIS_ENABLE_TLS=true";
  }
  void OnDrained() override {}

  void Watch() {
    if (sent_.empty() || lost_) {
      timer_.Disarm();
      return;
    }
    const Sent& next = sent_.front();
    timer_.ArmAt(std::min(progress_ + owner_.options_.command_timeout + next.allowed, next.by));
  }
  void OnTime() {
    Break("has not answered for " +
          std::to_string(
              std::chrono::ceil<std::chrono::seconds>(owner_.loop_.Now() - last_use_).count()) +
          " s");
  }
  void Break(std::string why) {
    if (std::exchange(lost_, true)) return;
    idle_ = sent_.empty() && owner_.loop_.Now() - last_use_ >= kIdle;
    why_ = Error{Party::kRelay, Fault::kReset, std::move(why), true};
    timer_.Disarm();
    auto failed = std::exchange(sent_, {});
    for (Sent& sent : failed) sent.done(owner_.Blame(why_));
    changed_.NotifyAll();
  }

  RedisConnection& owner_;
  std::unique_ptr<Transport> transport_;
  RespReader reader_;
  std::deque<Sent> sent_;
  Event changed_;
  MethodTimer<Session, &Session::OnTime> timer_;
  TimePoint opened_at_;
  TimePoint last_use_;
  TimePoint last_heard_;
  TimePoint progress_{};
  Error why_;
  bool heard_ = false;  // the server has said something
  bool lost_ = false;
  bool idle_ = false;
};

// --- From one to the next ------------------------------------------------------------------------

RedisConnection::RedisConnection(Loop& loop, Resolver& resolver, const RedisOptions& options,
                                 RedisGreeter& greeter, RedisListener* listener)
    : loop_(loop),
      resolver_(resolver),
      options_(options),
      greeter_(greeter),
      listener_(listener),
      wake_(loop) {
  task_ = Run();
  task_.Start([](void*) noexcept {}, nullptr);
}

RedisConnection::~RedisConnection() {
  task_ = Task<Unit>();
  open_ = false;
  session_.reset();
  why_ = Error{Party::kRelay, Fault::kCancelled, "the store is being closed", true};
  FailWaiting();
}

// The transport's own words name the host already.
std::unexpected<Error> RedisConnection::Blame(Error why) const {
  if (why.what.find(options_.host) == std::string::npos) {
    why.what = RedisName(options_) + " " + why.what;
  }
  why.party = Party::kRelay;
  return std::unexpected(std::move(why));
}

void RedisConnection::Call(std::string command, Done done) {
  if (open_ && !session_->lost()) {
    session_->Send(std::move(command), std::move(done));
    return;
  }
  bool full = waiting_.size() >= kMaxWaiting;
  if (full || link_ == Link::kDisconnected) {
    Error why =
        full ? Error{Party::kRelay, Fault::kOverloaded, "too much waits for Redis", true} : why_;
    loop_.Post([done = std::move(done), why = std::move(why)] { done(std::unexpected(why)); });
    return;
  }
  waiting_.push_back({std::move(command), std::move(done)});
  wanted_ = true;
  wake_.NotifyAll();
}

void RedisConnection::KeepOpen() {
  kept_ = wanted_ = true;
  wake_.NotifyAll();
}

Task<Result<RespReply>> RedisConnection::Ask(std::string command) {
  struct Answer {
    explicit Answer(Loop& loop) : come(loop) {}
    std::optional<Result<RespReply>> reply;
    Event come;
  };
  if (session_->lost()) co_return Blame(session_->why());
  // What is told again may be much, and goes on for as long as it is answered.
  greet_by_ = std::max(greet_by_, loop_.Now() + options_.command_timeout);
  auto answer = std::make_shared<Answer>(loop_);
  session_->Send(std::move(command), [answer](Result<RespReply> reply) {
    answer->reply = std::move(reply);
    answer->come.NotifyAll();
  });
  while (!answer->reply) {
    if (loop_.Now() >= greet_by_) {
      co_return Blame({Party::kRelay, Fault::kTimeout, "did not answer in time", true});
    }
    co_await answer->come.Wait(greet_by_);
  }
  Result<RespReply> reply = std::move(*answer->reply);
  if (reply && reply->Is(RespReply::Kind::kError) && !reply->text.starts_with("NOSCRIPT")) {
    refused_ = !RedisErrorPasses(reply->text);
    co_return std::unexpected(ExplainRedis(*reply, options_));
  }
  co_return std::move(reply);
}

Task<Result<Unit>> RedisConnection::LogIn() {
  if (!options_.password.empty() || !options_.username.empty()) {
    std::string command = options_.username.empty()
                              ? CommandOf({"AUTH", options_.password.Reveal()})
                              : CommandOf({"AUTH", options_.username, options_.password.Reveal()});
    Result<RespReply> reply = co_await Ask(std::move(command));
    if (!reply) co_return std::unexpected(std::move(reply.error()));
  }
  if (options_.database != 0) {
    std::string command = CommandOf({"SELECT", std::to_string(options_.database)});
    Result<RespReply> reply = co_await Ask(std::move(command));
    if (!reply) co_return std::unexpected(std::move(reply.error()));
  }
  Result<Unit> greeted = co_await greeter_.Greet(*this);
  co_return std::move(greeted);
}

Task<Result<Unit>> RedisConnection::Open() {
  refused_ = false;
  greet_by_ = loop_.Now() + options_.connect_timeout;
  Endpoint endpoint;
  endpoint.host = options_.host;
  endpoint.port = options_.port;
  endpoint.tls = options_.tls;
  endpoint.write_stall = kWholeAnswer;
  Result<std::unique_ptr<Transport>> transport =
      co_await Dial(loop_, resolver_, endpoint, greet_by_);
  if (!transport) {
    Error why = std::move(transport.error());
    // A plain server waits for the end of what it takes for a line.
    if (endpoint.tls != nullptr && why.what.find("TLS") != std::string::npos &&
        why.fault == Fault::kTimeout) {
      why.what += "; if this port does not speak TLS, leave REDIS_ENABLE_TLS out";
    }
    co_return Blame(std::move(why));
  }
  session_ = std::make_unique<Session>(*this, std::move(*transport));
  Result<Unit> ready = co_await LogIn();
  if (!ready && !ready.error().retryable) refused_ = true;
  co_return std::move(ready);
}

Task<Unit> RedisConnection::Run() {
  while (true) {
    if (!wanted_) {
      co_await wake_.Wait();
      continue;
    }
    if (link_ == Link::kConnected) link_ = Link::kConnecting;
    Result<Unit> opened = co_await Open();
    if (opened) {
      OnOpened();
      while (!session_->lost()) co_await session_->changed().Wait();
      OnLost();
    } else {
      session_.reset();
      OnFailed(std::move(opened.error()));
    }
    if (backoff_ > Duration::zero()) co_await Sleep(loop_, NextBackoff());
  }
}

void RedisConnection::OnOpened() {
  link_ = Link::kConnected;
  open_ = true;
  wanted_ = false;
  if (std::exchange(told_, false)) {
    Log(LogLevel::kInfo, listener_ != nullptr ? "redis subscribed" : "redis connected",
        {{"server", RedisName(options_)}});
  }
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    Call(std::move(waiting.command), std::move(waiting.done));
  }
}

void RedisConnection::OnLost() {
  std::unique_ptr<Session> session = std::move(session_);
  open_ = false;
  // A server that closes an idle one has lived until now.
  last_heard_ = session->idle() ? loop_.Now() : session->last_heard();
  bool lasted = loop_.Now() - session->opened_at() >= kMaxBackoff;
  if (lasted) backoff_ = Duration::zero();
  if (session->idle() && !kept_) return;  // waiting commands have set `wanted_`
  if (!lasted) {
    OnFailed(session->why());
    return;
  }
  link_ = Link::kConnecting;
  wanted_ = true;
}

void RedisConnection::OnFailed(Error why) {
  why_ = Blame(std::move(why)).error();
  link_ = Link::kDisconnected;
  wanted_ = true;
  if (backoff_ == Duration::zero()) backoff_ = refused_ ? kRefusedBackoff : kFirstBackoff;
  if (!std::exchange(told_, true)) {
    Log(LogLevel::kError,
        listener_ != nullptr ? "redis cannot be subscribed to" : "redis cannot be reached",
        {{"why", why_.what},
         {"note", listener_ != nullptr
                      ? "until it can, what other relays change (keys, accounts, pauses) is not "
                        "known here; it is tried again and again"
                      : "it is tried again and again"}});
  }
  FailWaiting();
}

void RedisConnection::FailWaiting() {
  for (Waiting& waiting : std::exchange(waiting_, {})) waiting.done(std::unexpected(why_));
}

// Doubled each time, and up to a half shorter: relays that lost one server come back one by one.
Duration RedisConnection::NextBackoff() {
  Duration most = refused_ ? kMaxRefusedBackoff : kMaxBackoff;
  Duration now = std::min(backoff_, most);
  backoff_ = std::min(now * 2, most);
  return now - RandomPart(now / 2);
}

}  // namespace relay
