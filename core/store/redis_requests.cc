// SPDX-License-Identifier: MIT
#include "core/store/redis_requests.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

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

std::string Text(int64_t number) {
  return std::to_string(number);
}

SharedRequest Make(const RedisScript& script, std::vector<std::string> keys,
                   std::vector<std::string> others, bool again = false) {
  auto made = std::make_shared<RedisRequest>();
  made->script = &script;
  made->again = again;
  made->arguments.push_back(std::to_string(keys.size()));
  for (auto* list : {&keys, &others}) {
    for (std::string& argument : *list) {
      made->bytes += argument.size();
      made->arguments.push_back(std::move(argument));
    }
  }
  return made;
}

// Collects rows and exchanges into commands of bounded size.
class FlushWriter {
 public:
  explicit FlushWriter(const redis_requests::FlushNote& note) : note_(note) {}

  void Add(const LedgerFlush& flush) {
    RedisFields fields = FieldsOf(flush.rows);
    size_t field = 0;
    size_t entry = 0;
    do {
      if (room_ == 0) Close();
      size_t some_fields = std::min(room_, fields.size() - field);
      room_ -= some_fields;
      size_t some_entries = std::min(room_, flush.recent.size() - entry);
      room_ -= some_entries;
      keys_.push_back(EpochKey(flush.epoch));
      rows_.push_back(flush.epoch);
      rows_.push_back(Text(flush.sequence));
      rows_.push_back(std::to_string(2 * some_fields));
      for (size_t end = field + some_fields; field < end; ++field) {
        rows_.push_back(std::move(fields[field].first));
        rows_.push_back(std::move(fields[field].second));
      }
      rows_.push_back(std::to_string(some_entries));
      for (size_t end = entry + some_entries; entry < end; ++entry) {
        rows_.push_back(flush.recent[entry].id);
        rows_.push_back(EntryJson(flush.recent[entry], {}));
      }
    } while (field < fields.size() || entry < flush.recent.size());
  }
  std::vector<SharedRequest> Take() {
    if (!keys_.empty()) Close();
    return std::move(requests_);
  }

 private:
  void Close() {
    std::vector<std::string> keys = {Key("epochs"), Key("ended"), Key("recent"),
                                     Key("recent:order"), Key("commands")};
    std::vector<std::string> others = {note_.month,
                                       std::to_string(std::exchange(note_.commands, 0)),
                                       std::to_string(Store::kRecent), Text(note_.today)};
    std::ranges::move(keys_, std::back_inserter(keys));
    std::ranges::move(rows_, std::back_inserter(others));
    requests_.push_back(
        Make(redis_scripts::Flush(), std::move(keys), std::move(others), /*again=*/true));
    keys_.clear();
    rows_.clear();
    room_ = kItems;
  }

  redis_requests::FlushNote note_;
  std::vector<SharedRequest> requests_;
  std::vector<std::string> keys_;  // of the command that is being filled
  std::vector<std::string> rows_;
  size_t room_ = kItems;
};

}  // namespace

std::string RedisRequest::Command(bool whole) const {
  std::vector<std::string_view> words = {whole ? "EVAL" : "EVALSHA",
                                         whole ? script->text : std::string_view(script->sha)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::string command;
  AppendCommand(command, words);
  return command;
}

bool RedisRequest::IsUnknown(const RespReply& reply) {
  return reply.Is(RespReply::Kind::kError) && reply.text.starts_with("NOSCRIPT");
}

namespace redis_requests {

SharedRequest Together(const std::vector<SharedRequest>& requests) {
  std::vector<const RedisScript*> scripts;
  std::vector<std::string> keys;
  std::vector<std::string> counts;
  std::vector<std::string> others;
  for (const SharedRequest& request : requests) {
    scripts.push_back(request->script);
    const std::vector<std::string>& words = request->arguments;
    size_t first = 1 + static_cast<size_t>(std::stoul(words[0]));
    keys.insert(keys.end(), words.begin() + 1, words.begin() + static_cast<ptrdiff_t>(first));
    counts.push_back(words[0]);
    counts.push_back(std::to_string(words.size() - first));
    others.insert(others.end(), words.begin() + static_cast<ptrdiff_t>(first), words.end());
  }
  std::ranges::move(others, std::back_inserter(counts));
  return Make(redis_scripts::Together(scripts), std::move(keys), std::move(counts));
}

SharedRequest Greet(int64_t schema) {
  return Make(
      redis_scripts::Greet(),
      {Key("schema"), Key("epochs"), Key("ended"), Key("buckets"), Key("recent"), Key("objects")},
      {Text(schema)});
}

SharedRequest Load(const std::string& month, size_t rows) {
  return Make(redis_scripts::Load(),
              {Key("epochs"), Key("ended"), Key("buckets"), Key("recent"), Key("recent:order"),
               Key("commands")},
              {std::string(kPrefix), month, std::to_string(rows)});
}

SharedRequest LoadRows(const std::vector<RowsOf>& parts) {
  std::vector<std::string> others = {std::string(kPrefix)};
  for (const RowsOf& part : parts) {
    others.push_back(part.hash);
    others.push_back(std::to_string(part.slices));
    others.push_back(std::to_string(part.slice));
  }
  return Make(redis_scripts::LoadRows(), {Key("ended")}, std::move(others));
}

std::vector<SharedRequest> Flush(const std::vector<LedgerFlush>& flushes, const FlushNote& note) {
  FlushWriter writer(note);
  for (const LedgerFlush& flush : flushes) writer.Add(flush);
  return writer.Take();
}

SharedRequest Fold(const std::string& epoch, int64_t today) {
  return Make(redis_scripts::Fold(), {Key("epochs"), Key("ended"), Key("buckets"), EpochKey(epoch)},
              {std::string(kPrefix), epoch, Text(today)}, /*again=*/true);
}

SharedRequest Expire(Period kept_from, const std::string& first_month) {
  return Make(redis_scripts::Expire(),
              {Key("epochs"), Key("ended"), Key("buckets"), Key("commands")},
              {std::string(kPrefix), Text(kept_from.day), Text(kept_from.hour), first_month});
}

std::string LoadStates(const std::string& kind) {
  std::string key = StatesKey(kind);
  std::array<std::string_view, 2> words = {"HGETALL", key};
  std::string command;
  AppendCommand(command, words);
  return command;
}

std::vector<SharedRequest> PutStates(const std::vector<StateBlob>& blobs) {
  std::vector<SharedRequest> requests;
  for (size_t first = 0; first < blobs.size(); first += kItems) {
    std::vector<std::string> keys;
    std::vector<std::string> values;
    for (size_t i = first; i < std::min(first + kItems, blobs.size()); ++i) {
      keys.push_back(StatesKey(blobs[i].kind));
      values.push_back(blobs[i].id);
      values.push_back(blobs[i].value);
    }
    requests.push_back(Make(redis_scripts::PutStates(), std::move(keys), std::move(values)));
  }
  return requests;
}

SharedRequest ForgetLimits() {
  return Make(redis_scripts::ForgetLimits(), {Key("limits")}, {});
}

SharedRequest LoadObjects() {
  return Make(redis_scripts::LoadObjects(), {Key("objects"), Key("directory")}, {});
}

SharedRequest WriteObject(const ObjectWrite& write, const std::string& channel) {
  return Make(redis_scripts::WriteObject(), {Key("objects"), Key("directory")},
              {JoinRedisName({write.kind, write.id}), Text(write.expected), write.value ? "1" : "0",
               write.value.value_or(""), channel},
              // A version is used once, so what was taken, or came too late, changes nothing again.
              // But what made an object would bring back one that was removed since.
              /*again=*/write.expected != 0);
}

std::string Channel(int database) {
  std::string channel = Key("changed");
  return database == 0 ? channel : channel + ":" + std::to_string(database);
}

std::string DirectoryVersion() {
  std::string key = Key("directory");
  std::array<std::string_view, 2> words = {"GET", key};
  std::string command;
  AppendCommand(command, words);
  return command;
}

}  // namespace redis_requests
}  // namespace relay
