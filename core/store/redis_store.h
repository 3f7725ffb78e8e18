// SPDX-License-Identifier: MIT
// The store in Redis or Valkey, near or far: a thread with a loop of its own and one connection on
// it. Each call is one script, and so one command; nothing is said while nothing is called. Relays
// that share a database have one connection more each, on which they hear of changed objects. How
// it all lies there is in README.md.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/store/redis_budget.h"
#include "core/store/redis_connection.h"
#include "core/store/redis_limits.h"
#include "core/store/redis_requests.h"
#include "core/store/redis_subscription.h"
#include "core/store/store.h"

namespace relay {

class RedisStore final : public Store, private RedisGreeter {
 public:
  // Of the layout. A database with a newer one is refused, and so is one where somebody else has
  // keys of these names; both errors are not retryable.
  static constexpr int64_t kSchema = 1;
  // What the server took so shortly before it was lost is told again: a server that is killed may
  // not have written it to its disk (appendfsync everysec).
  static constexpr Duration kTellAgain = std::chrono::seconds(5);
  static constexpr size_t kTellAgainBytes = size_t{4} << 20;
  // A flush that carries what limits would tell a moment later.
  static constexpr Duration kFirstFlush = RedisLimits::kSettleWithin / 2;
  static constexpr Duration kStatesWait = std::chrono::seconds(10);

  // A run that was told of so recently may go on elsewhere: a host starts the next relay before it
  // stops the last one.
  static constexpr int64_t kMayLiveDays = 8;

  struct Options {
    RedisOptions redis = {};
    Duration flush_every = std::chrono::seconds(1);
    int64_t commands_per_month = 0;  // 0: they are not counted out
    int replicas = 1;                // relays that share the database, this one too
    Duration ping_every = RedisSubscription::kPingEvery;
    // Where several relays share limits; nothing: this one is alone.
    std::optional<RedisLimits::Options> limits = {};
  };
  // Connects when it is first called. The clock outlives it.
  explicit RedisStore(Options options, const Clock& clock = SystemClock::Get());
  RedisStore(const RedisStore&) = delete;
  RedisStore& operator=(const RedisStore&) = delete;
  // What was asked is done or has failed: within seconds.
  ~RedisStore() override;

  std::string_view kind() const override { return "redis"; }
  StoreStatus status() const override;
  void Load(Done<LedgerImage> done) override;
  // Very many rows are told in several commands; if one of them fails, the others may be there.
  void Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) override;
  // As lasting as the server's own disk is.
  void Fold(std::string epoch, Done<Unit> done) override;
  void Expire(Period kept_from, Done<Unit> done) override;
  // With what limits have to tell, in one command, unless there is very much.
  void FlushWithStates(std::vector<LedgerFlush> flushes, std::vector<StateBlob> blobs,
                       Done<Flushed> done) override;
  void LoadStates(std::string kind, Done<std::vector<StateBlob>> done) override;
  void PutStates(std::vector<StateBlob> blobs, Done<Unit> done) override;
  void ForgetLimits(Done<Unit> done) override;
  void LoadObjects(Done<Directory> done) override;
  // A write whose answer was lost fails, but may be there: read again.
  void WriteObject(ObjectWrite write, Done<ObjectWritten> done) override;
  // With one replica it does nothing.
  void WatchObjects(std::function<void(int64_t version)> changed) override;

  // Null: this relay is alone.
  RedisLimits* limits() const { return limits_.get(); }

 private:
  using Replied = Done<RespReply>;
  struct Told {
    SharedRequest request;
    TimePoint when;
  };

  std::unique_ptr<RedisLimits> MakeLimits();
  void Serve();
  // Any thread: `work` on the store's own, which then calls `done` once.
  template <class T>
  void Do(std::function<void(Done<T>)> work, Done<T> done);
  // From here on only on the store's thread.
  void Run(SharedRequest request, const Replied& replied);
  struct Part {
    SharedRequest request;
    Replied replied;
  };
  void RunTogether(std::vector<Part> parts);
  void Take(const SharedRequest& request, Result<RespReply> reply, const Replied& replied);
  // The server's error replies as errors.
  Result<RespReply> Judged(Result<RespReply> reply);
  // What each says is for `read`; the first error, if any, for `done`.
  using Read = std::function<Result<Unit>(const RedisRequest&, const RespReply&)>;
  static std::vector<Part> Joined(std::vector<SharedRequest> requests, const Done<Unit>& done,
                                  const Read& read = {});
  void RunAll(std::vector<SharedRequest> requests, const Done<Unit>& done);
  void RunAtOnce(std::vector<Part> parts);
  void Remember(const SharedRequest& request);
  void TakeMonth(int64_t total);
  void CompareDirectory();
  uint64_t CommandsSent() const;
  Task<Result<Unit>> Greet(RedisConnection& connection) override;
  Task<Result<RespReply>> AskAgain(RedisConnection& connection, SharedRequest request);
  std::vector<SharedRequest> FlushRequests(const std::vector<LedgerFlush>& flushes);

  const Options options_;
  const Clock& clock_;
  const RedisBudget budget_;

  mutable std::mutex mutex_;  // guards these three
  std::string month_;
  int64_t month_total_ = 0;      // as the store last told
  uint64_t month_commands_ = 0;  // of the connection's, those that are in it

  std::deque<Told> told_;
  size_t told_bytes_ = 0;
  std::atomic<int> asked_{0};            // calls under way
  std::atomic<bool> plan_spent_{false};  // the server takes no more commands this month
  bool stretched_ = false;               // the log knows that commands run low
  bool stopping_ = false;
  std::vector<Part> riding_;  // go with what limits say next, in this turn

  Loop loop_;
  Resolver resolver_;
  std::unique_ptr<RedisConnection> connection_;
  // Null with one replica, and then the next two are not used.
  std::unique_ptr<RedisSubscription> subscription_;
  std::function<void(int64_t)> changed_;
  MethodTimer<RedisStore, &RedisStore::CompareDirectory> compare_again_;
  std::unique_ptr<RedisLimits> limits_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace relay
