// SPDX-License-Identifier: MIT
#include "core/store/redis_store.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "core/base/log.h"
#include "core/store/journal_lines.h"
#include "core/store/redis_rows.h"
#include "core/store/redis_scripts.h"

namespace relay {
namespace {

constexpr std::string_view kPrefix = "relay:";
// Rows, exchanges or states that one command carries: some hundred kilobytes.
constexpr size_t kItems = 2000;

std::string Key(std::string_view name) {
  return std::string(kPrefix).append(name);
}

std::string EpochKey(const std::string& epoch) {
  return Key("epoch:" + epoch);
}

std::string StatesKey(const std::string& kind) {
  return Key("states:" + kind);
}

int64_t DayOf(WallTime when) {
  return std::chrono::floor<std::chrono::days>(when).time_since_epoch().count();
}

std::unexpected<Error> Garbled() {
  return Fail(Party::kRelay, Fault::kInternal,
              "Redis holds something that this relay does not understand under the names relay:…");
}

std::optional<int64_t> NumberOf(std::string text) {
  return RespReply{RespReply::Kind::kText, 0, std::move(text), {}}.Int();
}

// An array as a hash's fields and values, or as pairs of anything else.
template <class F>
void ForPairs(const RespReply& reply, F visit) {
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    visit(reply.items[i].text, reply.items[i + 1].text);
  }
}

size_t ReadRows(const RespReply& hash, RowSet& to) {
  size_t damaged = 0;
  ForPairs(hash, [&](const std::string& field, const std::string& value) {
    if (!AddRow(field, value, to)) ++damaged;
  });
  return damaged;
}

std::vector<LedgerEntry> ReadRecent(const RespReply& order, const RespReply& hash) {
  std::map<std::string_view, std::string_view> texts;
  ForPairs(hash, [&](const std::string& id, const std::string& text) { texts[id] = text; });
  std::vector<LedgerEntry> recent;
  for (const RespReply& id : order.items) {
    auto text = texts.find(id.text);
    if (text == texts.end()) continue;
    if (auto dated = ReadEntryJson(text->second)) recent.push_back(std::move(dated->entry));
  }
  return recent;
}

// What the Load script answers.
Result<LedgerImage> ReadImage(const RespReply& reply, int64_t today) {
  constexpr size_t kParts = 7;
  if (reply.items.size() != kParts) return Garbled();
  const auto& parts = reply.items;
  LedgerImage image;
  size_t damaged = 0;
  ForPairs(parts[0], [&](const std::string& name, const std::string& state) {
    size_t space = std::min(state.find(' '), state.size());
    int64_t sequence = NumberOf(state.substr(0, space)).value_or(0);
    int64_t day = NumberOf(state.substr(std::min(space + 1, state.size()))).value_or(0);
    image.epochs.push_back({name, sequence, {}, today - day < RedisStore::kMayLiveDays});
  });
  if (parts[6].items.size() != image.epochs.size()) return Garbled();
  for (size_t i = 0; i < image.epochs.size(); ++i) {
    damaged += ReadRows(parts[6].items[i], image.epochs[i].rows);
  }
  std::ranges::sort(image.epochs, {}, &EpochRows::epoch);
  for (const RespReply& name : parts[1].items) image.ended.push_back(name.text);
  std::ranges::sort(image.ended);
  image.recent = ReadRecent(parts[2], parts[3]);
  for (const RespReply& bucket : parts[5].items) damaged += ReadRows(bucket, image.folded);
  LedgerRows sorted;
  sorted.Set(image.folded);
  image.folded = sorted.All();
  for (EpochRows& epoch : image.epochs) {
    LedgerRows rows;
    rows.Set(epoch.rows);
    epoch.rows = rows.All();
  }
  if (damaged > 0) {
    Log(LogLevel::kError, "damaged rows in redis",
        {{"rows", static_cast<uint64_t>(damaged)}, {"note", "they are not counted"}});
  }
  return image;
}

Result<Directory> ReadDirectory(const RespReply& reply) {
  if (reply.items.size() != 2) return Garbled();
  Directory directory;
  directory.version = reply.items[0].Int().value_or(0);
  bool whole = true;
  ForPairs(reply.items[1], [&](const std::string& field, const std::string& value) {
    std::vector<std::string> name = SplitRedisName(field);
    size_t space = value.find(' ');
    std::optional<int64_t> version = NumberOf(value.substr(0, space));
    whole = whole && name.size() == 2 && space != std::string::npos && version;
    if (!whole) return;
    directory.objects.push_back({name[0], name[1], *version, value.substr(space + 1)});
  });
  if (!whole) return Garbled();
  std::ranges::sort(directory.objects, {}, [](const StoredObject& object) {
    return std::pair(std::string_view(object.kind), std::string_view(object.id));
  });
  return directory;
}

}  // namespace

struct RedisStore::Request {
  const RedisScript* script;
  std::vector<std::string> arguments;  // count of keys, keys, others
  size_t bytes = 0;
  bool again = false;  // doing it twice is as good as once, and it is worth it

  static Shared Make(const RedisScript& script, std::vector<std::string> keys,
                     std::vector<std::string> others, bool again = false) {
    auto made =
        std::make_shared<Request>(Request{&script, {std::to_string(keys.size())}, 0, again});
    for (auto* list : {&keys, &others}) {
      for (std::string& argument : *list) {
        made->bytes += argument.size();
        made->arguments.push_back(std::move(argument));
      }
    }
    return made;
  }
  // By its name, or with its text, which the server then knows.
  std::string Command(bool whole) const {
    std::vector<std::string_view> words = {whole ? "EVAL" : "EVALSHA",
                                           whole ? script->text : std::string_view(script->sha)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::string command;
    AppendCommand(command, words);
    return command;
  }
  static bool IsUnknown(const RespReply& reply) {
    return reply.Is(RespReply::Kind::kError) && reply.text.starts_with("NOSCRIPT");
  }
};

RedisStore::RedisStore(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      budget_(options_.commands_per_month, options_.flush_every),
      month_(RedisBudget::MonthOf(clock.Wall())),
      resolver_(loop_),
      connection_(std::make_unique<RedisConnection>(loop_, resolver_, options_.redis,
                                                    static_cast<RedisGreeter&>(*this))),
      thread_([this] { Serve(); }) {}

RedisStore::~RedisStore() {
  loop_.Post([this] {
    stopping_ = true;
    if (asked_ == 0) loop_.Stop();
  });
  thread_.join();
}

void RedisStore::Serve() {
  pthread_setname_np(pthread_self(), "relay-redis");
  loop_.Run();
  // On the thread whose buffers it holds.
  connection_.reset();
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

void RedisStore::Run(Shared request, const Replied& replied) {
  auto kept = std::make_shared<const Replied>(replied);
  connection_->Call(request->Command(false), [this, request, kept](Result<RespReply> reply) {
    if (!reply || !Request::IsUnknown(*reply)) {
      Take(request, std::move(reply), *kept);
      return;
    }
    connection_->Call(request->Command(true), [this, request, kept](Result<RespReply> again) {
      Take(request, std::move(again), *kept);
    });
  });
}

void RedisStore::Take(const Shared& request, Result<RespReply> reply, const Replied& replied) {
  if (reply && reply->Is(RespReply::Kind::kError)) {
    plan_spent_ = reply->text.find(kPlanSpent) != std::string::npos;
    reply = std::unexpected(ExplainRedis(*reply, options_.redis));
  } else if (reply) {
    plan_spent_ = false;
    Remember(request);
  }
  if (reply && request->script == &redis_scripts::Flush()) TakeMonth(*reply);
  replied(std::move(reply));
}

void RedisStore::RunAll(std::vector<Shared> requests, const Done<Unit>& done) {
  if (requests.empty()) {
    done(Unit());
    return;
  }
  struct Join {
    size_t left;
    Result<Unit> result;
  };
  auto join = std::make_shared<Join>(Join{requests.size(), Unit()});
  for (Shared& request : requests) {
    Run(std::move(request), [join, done](Result<RespReply> reply) {
      if (!reply && join->result) join->result = std::unexpected(std::move(reply.error()));
      if (--join->left == 0) done(std::move(join->result));
    });
  }
}

// --- What was told, and is told again ------------------------------------------------------------

void RedisStore::Remember(const Shared& request) {
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

Task<Result<RespReply>> RedisStore::AskAgain(RedisConnection& connection, Shared request) {
  Result<RespReply> reply = co_await connection.Ask(request->Command(false));
  if (reply && Request::IsUnknown(*reply)) {
    reply = co_await connection.Ask(request->Command(true));
  }
  co_return std::move(reply);
}

Task<Result<Unit>> RedisStore::Greet(RedisConnection& connection) {
  Shared request = Request::Make(
      redis_scripts::Greet(),
      {Key("schema"), Key("epochs"), Key("ended"), Key("buckets"), Key("recent"), Key("objects")},
      {std::to_string(kSchema)});
  Result<RespReply> reply = co_await AskAgain(connection, std::move(request));
  if (!reply) co_return std::unexpected(std::move(reply.error()));
  constexpr std::string_view kMark = "relay ";
  std::string found = reply->Text();
  std::optional<int64_t> schema = NumberOf(found.substr(std::min(found.size(), kMark.size())));
  if (!found.starts_with(kMark) || !schema) {
    co_return Fail(Party::kRelay, Fault::kInternal,
                   "the Redis database holds something else under the names relay:…; give the "
                   "relay a database of its own");
  }
  if (*schema > kSchema) {
    co_return Fail(Party::kRelay, Fault::kInternal,
                   "the Redis database was written by a newer relay (schema " +
                       std::to_string(*schema) + ", this one knows " + std::to_string(kSchema) +
                       "); start that one");
  }
  TimePoint since = connection.lost_at() - kTellAgain;
  std::deque<Told> told = std::exchange(told_, {});
  told_bytes_ = 0;
  for (const Told& one : told) {
    if (one.when < since) continue;
    Result<RespReply> again = co_await AskAgain(connection, one.request);
    if (!again) {
      told_ = std::move(told);  // for the next connection
      co_return std::unexpected(std::move(again.error()));
    }
  }
  co_return Unit();
}

// --- The ledger
// ------------------------------------------------------------------------------------

void RedisStore::TakeMonth(const RespReply& total) {
  {
    std::lock_guard lock(mutex_);
    month_total_ = total.Int().value_or(0);
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

// `rows` as the script takes them. Commands that the month does not know yet are added with it.
RedisStore::Shared RedisStore::FlushRequest(std::vector<std::string> keys,
                                            std::vector<std::string> rows) {
  std::vector<std::string> arguments = {RedisBudget::MonthOf(clock_.Wall()), "0",
                                        std::to_string(kRecent),
                                        std::to_string(DayOf(clock_.Wall()))};
  {
    std::lock_guard lock(mutex_);
    uint64_t commands = connection_->commands();
    if (month_ != arguments[0]) month_ = arguments[0];
    arguments[1] = std::to_string(commands - std::exchange(month_commands_, commands));
  }
  std::ranges::move(rows, std::back_inserter(arguments));
  std::vector<std::string> all = {Key("epochs"), Key("ended"), Key("recent"), Key("recent:order"),
                                  Key("commands")};
  std::ranges::move(keys, std::back_inserter(all));
  return Request::Make(redis_scripts::Flush(), std::move(all), std::move(arguments), true);
}

std::vector<RedisStore::Shared> RedisStore::FlushRequests(std::vector<LedgerFlush> flushes) {
  std::vector<Shared> requests;
  std::vector<std::string> keys;
  std::vector<std::string> rows;
  size_t room = kItems;
  auto close = [&] {
    if (!keys.empty())
      requests.push_back(FlushRequest(std::exchange(keys, {}), std::exchange(rows, {})));
    room = kItems;
  };
  for (LedgerFlush& flush : flushes) {
    RedisFields fields = FieldsOf(flush.rows);
    size_t field = 0;
    size_t entry = 0;
    do {
      if (room == 0) close();
      size_t some_fields = std::min(room, fields.size() - field);
      room -= some_fields;
      size_t some_entries = std::min(room, flush.recent.size() - entry);
      room -= some_entries;
      keys.push_back(EpochKey(flush.epoch));
      rows.push_back(flush.epoch);
      rows.push_back(std::to_string(flush.sequence));
      rows.push_back(std::to_string(2 * some_fields));
      for (size_t end = field + some_fields; field < end; ++field) {
        rows.push_back(std::move(fields[field].first));
        rows.push_back(std::move(fields[field].second));
      }
      rows.push_back(std::to_string(some_entries));
      for (size_t end = entry + some_entries; entry < end; ++entry) {
        rows.push_back(flush.recent[entry].id);
        rows.push_back(EntryJson(flush.recent[entry], {}));
      }
    } while (field < fields.size() || entry < flush.recent.size());
  }
  close();
  return requests;
}

void RedisStore::Load(Done<LedgerImage> done) {
  Do<LedgerImage>(
      [this](const Done<LedgerImage>& answer) {
        std::string month = RedisBudget::MonthOf(clock_.Wall());
        Shared request = Request::Make(redis_scripts::Load(),
                                       {Key("epochs"), Key("ended"), Key("buckets"), Key("recent"),
                                        Key("recent:order"), Key("commands")},
                                       {std::string(kPrefix), month});
        Run(std::move(request), [this, answer](Result<RespReply> reply) {
          if (!reply) {
            answer(std::unexpected(std::move(reply.error())));
            return;
          }
          if (reply->items.size() > 4) TakeMonth(reply->items[4]);
          answer(ReadImage(*reply, DayOf(clock_.Wall())));
        });
      },
      std::move(done));
}

void RedisStore::Flush(std::vector<LedgerFlush> flushes, Done<Unit> done) {
  Do<Unit>([this, flushes = std::move(flushes)](
               const Done<Unit>& answer) { RunAll(FlushRequests(flushes), answer); },
           std::move(done));
}

void RedisStore::Fold(std::string epoch, Done<Unit> done) {
  Do<Unit>(
      [this, epoch = std::move(epoch)](const Done<Unit>& answer) {
        RunAll({Request::Make(redis_scripts::Fold(),
                              {Key("epochs"), Key("ended"), Key("buckets"), EpochKey(epoch)},
                              {std::string(kPrefix), epoch, std::to_string(DayOf(clock_.Wall()))},
                              true)},
               answer);
      },
      std::move(done));
}

void RedisStore::Expire(Period kept_from, Done<Unit> done) {
  Do<Unit>(
      [this, kept_from](const Done<Unit>& answer) {
        // Two months: this one may have begun a moment ago.
        std::string month = RedisBudget::MonthOf(clock_.Wall() - std::chrono::days(31));
        RunAll({Request::Make(redis_scripts::Expire(),
                              {Key("epochs"), Key("ended"), Key("buckets"), Key("commands")},
                              {std::string(kPrefix), std::to_string(kept_from.day),
                               std::to_string(kept_from.hour), month})},
               answer);
      },
      std::move(done));
}

// --- States and objects
// ----------------------------------------------------------------------------

void RedisStore::LoadStates(std::string kind, Done<std::vector<StateBlob>> done) {
  Do<std::vector<StateBlob>>(
      [this, kind = std::move(kind)](const Done<std::vector<StateBlob>>& answer) {
        std::string command;
        std::string key = StatesKey(kind);
        std::array<std::string_view, 2> words = {"HGETALL", key};
        AppendCommand(command, words);
        connection_->Call(std::move(command), [this, kind, answer](Result<RespReply> reply) {
          if (auto checked = Checked(reply); !checked) {
            answer(std::unexpected(std::move(checked.error())));
            return;
          }
          std::vector<StateBlob> blobs;
          ForPairs(*reply, [&](const std::string& id, const std::string& value) {
            blobs.push_back({kind, id, value});
          });
          std::ranges::sort(blobs, {}, &StateBlob::id);
          answer(std::move(blobs));
        });
      },
      std::move(done));
}

void RedisStore::PutStates(std::vector<StateBlob> blobs, Done<Unit> done) {
  Do<Unit>(
      [this, blobs = std::move(blobs)](const Done<Unit>& answer) {
        std::vector<Shared> requests;
        for (size_t first = 0; first < blobs.size(); first += kItems) {
          std::vector<std::string> keys;
          std::vector<std::string> values;
          for (size_t i = first; i < std::min(first + kItems, blobs.size()); ++i) {
            keys.push_back(StatesKey(blobs[i].kind));
            values.push_back(blobs[i].id);
            values.push_back(blobs[i].value);
          }
          requests.push_back(
              Request::Make(redis_scripts::PutStates(), std::move(keys), std::move(values)));
        }
        RunAll(std::move(requests), answer);
      },
      std::move(done));
}

void RedisStore::LoadObjects(Done<Directory> done) {
  Do<Directory>(
      [this](const Done<Directory>& answer) {
        Run(Request::Make(redis_scripts::LoadObjects(), {Key("objects"), Key("directory")}, {}),
            [answer](Result<RespReply> reply) {
              if (reply) {
                answer(ReadDirectory(*reply));
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
        Shared request =
            Request::Make(redis_scripts::WriteObject(), {Key("objects"), Key("directory")},
                          {JoinRedisName({write.kind, write.id}), std::to_string(write.expected),
                           write.value ? "1" : "0", write.value.value_or("")});
        Run(std::move(request), [answer](Result<RespReply> reply) {
          if (!reply) {
            answer(std::unexpected(std::move(reply.error())));
          } else if (reply->items.size() != 2) {
            answer(Garbled());
          } else {
            answer(ObjectWritten{reply->items[0].Int() == 1, reply->items[1].Int().value_or(0)});
          }
        });
      },
      std::move(done));
}

// --- What is told of it
// ----------------------------------------------------------------------------

Result<Unit> RedisStore::Checked(Result<RespReply> reply) const {
  if (!reply) return std::unexpected(std::move(reply.error()));
  if (reply->Is(RespReply::Kind::kError)) {
    return std::unexpected(ExplainRedis(*reply, options_.redis));
  }
  return Unit();
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
  status.commands = connection_->commands();
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
  if (plan_spent_) {
    status.flush_every = RedisBudget::kMaxInterval;
    status.stretched = true;
  }
  return status;
}

}  // namespace relay
