// SPDX-License-Identifier: MIT
#include "core/store/redis_store.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/log.h"
#include "core/store/redis_errors.h"
#include "core/store/redis_load.h"
#include "core/store/redis_replies.h"
#include "core/store/redis_scripts.h"

namespace relay {
namespace {

int64_t DayOf(WallTime when) {
  return std::chrono::floor<std::chrono::days>(when).time_since_epoch().count();
}

// After a comparison that failed.
constexpr Duration kCompareAgain = std::chrono::seconds(1);
constexpr Duration kMonth = std::chrono::days(30);
// Rows that one reply gives, of the items that it may have: a row is two, and some may be longer
// than others.
constexpr size_t kLoadParts = 10;

}  // namespace

RedisStore::RedisStore(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      budget_(options_.commands_per_month, options_.flush_every),
      month_(RedisBudget::MonthOf(clock.Wall())),
      resolver_(loop_),
      connection_(std::make_unique<RedisConnection>(loop_, resolver_, options_.redis,
                                                    static_cast<RedisGreeter&>(*this))),
      subscription_(options_.replicas < 2 ? nullptr
                                          : std::make_unique<RedisSubscription>(
                                                loop_, resolver_, options_.redis,
                                                redis_requests::Channel(options_.redis.database),
                                                options_.ping_every)),
      compare_again_(loop_.timers(), *this),
      limits_(MakeLimits()),
      thread_([this] { Serve(); }) {}

std::unique_ptr<RedisLimits> RedisStore::MakeLimits() {
  if (!options_.limits) return nullptr;
  auto call = [this](SharedRequest request, const Replied& replied) {
    std::vector<Part> parts = std::exchange(riding_, {});
    parts.insert(parts.begin(), {std::move(request), replied});
    RunTogether(std::move(parts));
  };
  return std::make_unique<RedisLimits>(loop_, call, *options_.limits, clock_);
}

RedisStore::~RedisStore() {
  ++asked_;
  auto last = [this] {
    stopping_ = true;
    if (--asked_ == 0) loop_.Stop();
  };
  loop_.Post([this, last] {
    if (limits_ != nullptr) {
      limits_->Finish(last);
    } else {
      last();
    }
  });
  thread_.join();
}

void RedisStore::Serve() {
  pthread_setname_np(pthread_self(), "relay-redis");
  // The first exchange after a pause waits for an answer, not for a connection.
  if (limits_ != nullptr) connection_->KeepOpen();
  loop_.Run();
  // On the thread whose buffers they hold. What fails now compares nothing any more.
  subscription_.reset();
  connection_.reset();
  limits_.reset();
}

template <class T>
void RedisStore::Do(std::function<void(Done<T>)> work, Done<T> done) {
  ++asked_;
  Done<T> last = [this, done = std::move(done)](Result<T> result) {
    done(std::move(result));
    if (--asked_ == 0 && stopping_) loop_.Stop();
  };
  loop_.Post([work = std::move(work), last = std::move(last)] { work(last); });
}

void RedisStore::Run(SharedRequest request, const Replied& replied) {
  auto kept = std::make_shared<const Replied>(replied);
  connection_->Call(request->Command(false), [this, request, kept](Result<RespReply> reply) {
    if (!reply || !RedisRequest::IsUnknown(*reply)) {
      Take(request, std::move(reply), *kept);
      return;
    }
    connection_->Call(request->Command(true), [this, request, kept](Result<RespReply> again) {
      Take(request, std::move(again), *kept);
    });
  });
}

void RedisStore::RunTogether(std::vector<Part> parts) {
  if (parts.size() == 1) {
    Run(std::move(parts[0].request), parts[0].replied);
    return;
  }
  std::vector<SharedRequest> requests;
  requests.reserve(parts.size());
  for (const Part& part : parts) requests.push_back(part.request);
  Run(redis_requests::Together(requests), [this, parts = std::move(parts)](Result<RespReply> all) {
    if (all && all->items.size() != parts.size()) all = redis_replies::Garbled();
    for (size_t i = 0; i < parts.size(); ++i) {
      Result<RespReply> one =
          all ? Result<RespReply>(std::move(all->items[i])) : std::unexpected(all.error());
      Take(parts[i].request, std::move(one), parts[i].replied);
    }
  });
}

Result<RespReply> RedisStore::Judged(Result<RespReply> reply) {
  if (!reply) return reply;
  plan_spent_ = reply->Is(RespReply::Kind::kError) && reply->text.contains(kPlanSpent);
  if (!reply->Is(RespReply::Kind::kError)) return reply;
  return std::unexpected(ExplainRedis(*reply, options_.redis));
}

void RedisStore::Take(const SharedRequest& request, Result<RespReply> reply,
                      const Replied& replied) {
  reply = Judged(std::move(reply));
  if (reply) Remember(request);
  if (reply && request->script == &redis_scripts::Flush()) {
    TakeMonth(redis_replies::MonthOfFlush(*reply));
  }
  replied(std::move(reply));
}

std::vector<RedisStore::Part> RedisStore::Joined(std::vector<SharedRequest> requests,
                                                 const Done<Unit>& done, const Read& read) {
  struct Join {
    size_t left;
    Result<Unit> result;
  };
  auto join = std::make_shared<Join>(Join{requests.size(), Unit()});
  std::vector<Part> parts;
  for (SharedRequest& request : requests) {
    Replied replied = [request, join, done, read](Result<RespReply> reply) {
      Result<Unit> result;
      if (!reply) {
        result = std::unexpected(std::move(reply.error()));
      } else if (read) {
        result = read(*request, *reply);
      }
      if (!result && join->result) join->result = std::move(result);
      if (--join->left == 0) done(std::move(join->result));
    };
    parts.push_back({std::move(request), std::move(replied)});
  }
  if (parts.empty()) done(Unit());
  return parts;
}

void RedisStore::RunAll(std::vector<SharedRequest> requests, const Done<Unit>& done) {
  for (Part& part : Joined(std::move(requests), done)) Run(std::move(part.request), part.replied);
}

// --- What was told, and is told again ------------------------------------------------------------

void RedisStore::Remember(const SharedRequest& request) {
  if (!request->again) return;
  TimePoint now = loop_.Now();
  told_.push_back({request, now});
  told_bytes_ += request->bytes;
  while (now - told_.front().when > kTellAgain || told_bytes_ > kTellAgainBytes) {
    told_bytes_ -= told_.front().request->bytes;
    told_.pop_front();
    if (told_.empty()) return;
  }
}

Task<Result<RespReply>> RedisStore::AskAgain(RedisConnection& connection, SharedRequest request) {
  Result<RespReply> reply = co_await connection.Ask(request->Command(false));
  if (reply && RedisRequest::IsUnknown(*reply)) {
    reply = co_await connection.Ask(request->Command(true));
  }
  co_return std::move(reply);
}

Task<Result<Unit>> RedisStore::Greet(RedisConnection& connection) {
  if (limits_ != nullptr) limits_->OnConnected();
  SharedRequest request = redis_requests::Greet(kSchema);
  Result<RespReply> reply = co_await AskAgain(connection, std::move(request));
  if (!reply) co_return std::unexpected(std::move(reply.error()));
  Result<Unit> ours = redis_replies::CheckSchema(*reply, kSchema);
  if (!ours) co_return std::move(ours);
  // What broke this connection may have broken the other, which says nothing that would show it.
  bool broke = connection.last_heard() != TimePoint();
  if (broke && subscription_ != nullptr) subscription_->Check();
  TimePoint since = connection.last_heard() - kTellAgain;
  // They stay: this connection may be lost as soon.
  std::deque<Told> told = told_;
  for (const Told& one : told) {
    if (one.when < since) continue;
    Result<RespReply> again = co_await AskAgain(connection, one.request);
    if (!again) co_return std::unexpected(std::move(again.error()));
  }
  co_return Unit();
}

// --- The ledger ----------------------------------------------------------------------------------

void RedisStore::TakeMonth(int64_t total) {
  {
    std::lock_guard lock(mutex_);
    month_total_ = total;
  }
  StoreStatus now = status();
  if (std::exchange(stretched_, now.stretched) == now.stretched) return;
  double seconds = std::chrono::duration<double>(now.flush_every).count();
  Log(now.stretched ? LogLevel::kWarn : LogLevel::kInfo, "store commands",
      {{"month", now.month_used},
       {"forecast", now.month_forecast},
       {"budget", now.month_budget},
       {"flush_seconds", seconds},
       {"note", now.stretched ? "they run low: the store is told less often what was used"
                              : "there are enough again"}});
}

// Commands that the month does not know yet are added with it.
std::vector<SharedRequest> RedisStore::FlushRequests(const std::vector<LedgerFlush>& flushes) {
  WallTime now = clock_.Wall();
  redis_requests::FlushNote note{RedisBudget::MonthOf(now), 0, DayOf(now)};
  {
    std::lock_guard lock(mutex_);
    month_ = note.month;
    uint64_t commands = CommandsSent();
    note.commands = commands - std::exchange(month_commands_, commands);
  }
  return redis_requests::Flush(flushes, note);
}

void RedisStore::Load(Done<LedgerImage> done) {
  Do<LedgerImage>(
      [this](const Done<LedgerImage>& answer) {
        WallTime now = clock_.Wall();
        RedisLoad::Options load{RedisBudget::MonthOf(now), DayOf(now), kMayLiveDays,
                                std::max<size_t>(options_.redis.replies.items / kLoadParts, 1)};
        auto call = [this](SharedRequest request, const Replied& replied) {
          Run(std::move(request), replied);
        };
        RedisLoad::Start(call, std::move(load), [this, answer](Result<RedisLoad::Loaded> loaded) {
          if (!loaded) return answer(std::unexpected(std::move(loaded.error())));
          TakeMonth(loaded->month_commands);
          answer(std::move(loaded->image));
        });
      },
      std::move(done));
}

void RedisStore::Flush(std::vector<LedgerFlush> flushes, Done<Flushed> done) {
  FlushWithStates(std::move(flushes), {}, std::move(done));
}

void RedisStore::FlushWithStates(std::vector<LedgerFlush> flushes, std::vector<StateBlob> blobs,
                                 Done<Flushed> done) {
  Do<Flushed>(
      [this, flushes = std::move(flushes), blobs = std::move(blobs)](const Done<Flushed>& answer) {
        auto flushed = std::make_shared<Flushed>();
        auto told = [flushed, answer](Result<Unit> result) {
          if (result) {
            answer(std::move(*flushed));
          } else {
            answer(std::unexpected(std::move(result.error())));
          }
        };
        auto read = [flushed](const RedisRequest& request, const RespReply& reply) {
          bool flush = request.script == &redis_scripts::Flush();
          return flush ? redis_replies::AddEnded(reply, *flushed) : Result<Unit>();
        };
        std::vector<SharedRequest> requests = FlushRequests(flushes);
        std::ranges::move(redis_requests::PutStates(blobs), std::back_inserter(requests));
        RunAtOnce(Joined(std::move(requests), told, read));
      },
      std::move(done));
}

// One flush and some states go with what limits would tell a moment later.
void RedisStore::RunAtOnce(std::vector<Part> parts) {
  if (parts.size() > 2) {
    for (Part& part : parts) Run(std::move(part.request), part.replied);
    return;
  }
  riding_ = std::move(parts);
  if (limits_ != nullptr) limits_->TellNow();
  if (!riding_.empty()) RunTogether(std::exchange(riding_, {}));
}

void RedisStore::Fold(std::string epoch, Done<Unit> done) {
  Do<Unit>(
      [this, epoch = std::move(epoch)](const Done<Unit>& answer) {
        RunAll({redis_requests::Fold(epoch, DayOf(clock_.Wall()))}, answer);
      },
      std::move(done));
}

void RedisStore::Expire(Period kept_from, Done<Unit> done) {
  Do<Unit>(
      [this, kept_from](const Done<Unit>& answer) {
        // Two months: this one may have begun a moment ago.
        std::string first = RedisBudget::MonthOf(clock_.Wall() - std::chrono::days(31));
        RunAll({redis_requests::Expire(kept_from, first)}, answer);
      },
      std::move(done));
}

// --- States and objects ------------------------------------------------------------------------

void RedisStore::LoadStates(std::string kind, Done<std::vector<StateBlob>> done) {
  Do<std::vector<StateBlob>>(
      [this, kind = std::move(kind)](const Done<std::vector<StateBlob>>& answer) {
        connection_->Call(redis_requests::LoadStates(kind),
                          [this, kind, answer](Result<RespReply> reply) {
                            reply = Judged(std::move(reply));
                            if (reply) {
                              answer(redis_replies::States(kind, *reply));
                            } else {
                              answer(std::unexpected(std::move(reply.error())));
                            }
                          });
      },
      std::move(done));
}

void RedisStore::PutStates(std::vector<StateBlob> blobs, Done<Unit> done) {
  Do<Unit>([this, blobs = std::move(blobs)](
               const Done<Unit>& answer) { RunAll(redis_requests::PutStates(blobs), answer); },
           std::move(done));
}

void RedisStore::ForgetLimits(Done<Unit> done) {
  Do<Unit>([this](const Done<Unit>& answer) { RunAll({redis_requests::ForgetLimits()}, answer); },
           std::move(done));
}

void RedisStore::LoadObjects(Done<Directory> done) {
  Do<Directory>(
      [this](const Done<Directory>& answer) {
        Run(redis_requests::LoadObjects(), [answer](Result<RespReply> reply) {
          if (reply) {
            answer(redis_replies::Objects(*reply));
          } else {
            answer(std::unexpected(std::move(reply.error())));
          }
        });
      },
      std::move(done));
}

void RedisStore::WriteObject(ObjectWrite write, Done<ObjectWritten> done) {
  Do<ObjectWritten>(
      [this, write = std::move(write)](const Done<ObjectWritten>& answer) {
        std::string channel;
        if (subscription_ != nullptr) channel = redis_requests::Channel(options_.redis.database);
        Run(redis_requests::WriteObject(write, channel), [answer](Result<RespReply> reply) {
          if (reply) {
            answer(redis_replies::Written(*reply));
          } else {
            answer(std::unexpected(std::move(reply.error())));
          }
        });
      },
      std::move(done));
}

// --- What others change ----------------------------------------------------------------------

void RedisStore::WatchObjects(std::function<void(int64_t version)> changed) {
  if (options_.replicas < 2) return;
  loop_.Post([this, changed = std::move(changed)]() mutable {
    changed_ = std::move(changed);
    subscription_->Start({[this] { CompareDirectory(); },
                          [this](std::string_view text) {
                            RespReply version{RespReply::Kind::kText, 0, std::string(text), {}};
                            if (auto number = version.Int()) changed_(*number);
                          }});
  });
}

// What was changed while nobody listened shows by the version. A connection that has subscribed
// cannot ask for it.
void RedisStore::CompareDirectory() {
  connection_->Call(redis_requests::DirectoryVersion(), [this](Result<RespReply> reply) {
    reply = Judged(std::move(reply));
    if (reply) {
      changed_(reply->Int().value_or(0));
    } else if (!stopping_) {
      compare_again_.ArmIn(kCompareAgain);
    }
  });
}

// --- What is told of it ----------------------------------------------------------------------

uint64_t RedisStore::CommandsSent() const {
  return connection_->commands() + (subscription_ == nullptr ? 0 : subscription_->commands());
}

StoreStatus RedisStore::status() const {
  StoreStatus status;
  switch (connection_->link()) {
    case RedisConnection::Link::kConnecting: status.link = StoreStatus::Link::kConnecting; break;
    case RedisConnection::Link::kConnected: status.link = StoreStatus::Link::kConnected; break;
    case RedisConnection::Link::kDisconnected:
      status.link = StoreStatus::Link::kDisconnected;
      break;
  }
  status.deaf = subscription_ != nullptr && subscription_->refused();
  status.commands = CommandsSent();
  WallTime now = clock_.Wall();
  int64_t used = 0;
  {
    std::lock_guard lock(mutex_);
    bool same = month_ == RedisBudget::MonthOf(now);
    used = static_cast<int64_t>(status.commands - month_commands_) + (same ? month_total_ : 0);
  }
  RedisBudget::View view = budget_.Look(now, used);
  status.month_budget = view.per_month;
  status.month_used = view.used;
  status.month_forecast = view.forecast;
  status.flush_every = view.interval;
  status.stretched = view.stretched;
  status.first_flush = limits_ == nullptr ? view.interval : std::min(view.interval, kFirstFlush);
  status.states_wait = std::max(view.interval, kStatesWait);
  if (options_.replicas > 1) status.month_idle = kMonth / options_.ping_every;
  if (plan_spent_) {
    status.flush_every = RedisBudget::kMaxInterval;
    status.stretched = true;
  }
  return status;
}

}  // namespace relay
