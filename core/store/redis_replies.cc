// SPDX-License-Identifier: MIT
#include "core/store/redis_replies.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/log.h"
#include "core/store/journal_lines.h"
#include "core/store/redis_rows.h"

namespace relay::redis_replies {
namespace {

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

// Of Load's reply.
constexpr size_t kLoadParts = 8;
constexpr size_t kLoadRows = 7;

}  // namespace

std::unexpected<Error> Garbled() {
  return Fail(Party::kRelay, Fault::kInternal,
              "Redis holds something that this relay does not understand under the names relay:…");
}

Result<Unit> CheckSchema(const RespReply& reply, int64_t schema) {
  constexpr std::string_view kMark = "relay ";
  std::string found = reply.Text();
  std::optional<int64_t> number = NumberOf(found.substr(std::min(found.size(), kMark.size())));
  if (!found.starts_with(kMark) || !number) {
    return Fail(Party::kRelay, Fault::kInternal,
                "the Redis database holds something else under the names relay:…; give the relay a "
                "database of its own");
  }
  if (*number > schema) {
    return Fail(Party::kRelay, Fault::kInternal,
                "the Redis database was written by a newer relay (schema " +
                    std::to_string(*number) + ", this one knows " + std::to_string(schema) +
                    "); start that one");
  }
  return Unit();
}

Result<Ledger> ReadLedger(const RespReply& reply, int64_t today, int64_t may_live_days) {
  if (reply.items.size() != kLoadParts) return Garbled();
  const auto& parts = reply.items;
  Ledger ledger;
  LedgerImage& image = ledger.image;
  ForPairs(parts[0], [&](const std::string& name, const std::string& state) {
    size_t space = std::min(state.find(' '), state.size());
    int64_t sequence = NumberOf(state.substr(0, space)).value_or(0);
    int64_t day = NumberOf(state.substr(std::min(space + 1, state.size()))).value_or(0);
    image.epochs.push_back({name, sequence, {}, today - day < may_live_days});
  });
  for (const RespReply& name : parts[1].items) image.ended.push_back(name.text);
  std::ranges::sort(image.ended);
  image.recent = ReadRecent(parts[2], parts[3]);
  ledger.month_commands = parts[4].Int().value_or(0);
  ledger.mark = parts[5].text;
  for (size_t i = 0; i + 1 < parts[6].items.size(); i += 2) {
    int64_t rows = parts[6].items[i + 1].Int().value_or(0);
    ledger.hashes.push_back(
        {parts[6].items[i].text, static_cast<size_t>(std::max<int64_t>(rows, 0))});
  }
  size_t with_rows = parts[kLoadRows].items.size();
  bool whole = with_rows == 0 || with_rows == ledger.hashes.size();
  if (!whole || ledger.hashes.size() < image.epochs.size()) return Garbled();
  return ledger;
}

const std::vector<RespReply>& RowsOfLedger(const RespReply& reply) {
  return reply.items[kLoadRows].items;
}

size_t AddRows(const RespReply& hash, RowSet& to) {
  size_t damaged = 0;
  ForPairs(hash, [&](const std::string& field, const std::string& value) {
    if (!AddRow(field, value, to)) ++damaged;
  });
  return damaged;
}

int64_t MonthOfFlush(const RespReply& reply) {
  return reply.items.empty() ? 0 : reply.items[0].Int().value_or(0);
}

Result<Unit> AddEnded(const RespReply& reply, Flushed& to) {
  if (reply.items.size() != 2) return Garbled();
  ForPairs(reply.items[1], [&](const std::string& name, const std::string& sequence) {
    EndedEpoch ended{name, NumberOf(sequence).value_or(0)};
    if (std::ranges::find(to.ended, ended) == to.ended.end()) to.ended.push_back(std::move(ended));
  });
  return Unit();
}

Result<std::vector<StateBlob>> States(const std::string& kind, const RespReply& reply) {
  if (!reply.Is(RespReply::Kind::kArray)) return Garbled();
  std::vector<StateBlob> blobs;
  ForPairs(reply, [&](const std::string& id, const std::string& value) {
    blobs.push_back({kind, id, value});
  });
  std::ranges::sort(blobs, {}, &StateBlob::id);
  return blobs;
}

Result<Directory> Objects(const RespReply& reply) {
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

Result<ObjectWritten> Written(const RespReply& reply) {
  if (reply.items.size() != 3) return Garbled();
  return ObjectWritten{reply.items[0].Int() == 1, reply.items[1].Int().value_or(0),
                       reply.items[2].Int().value_or(0)};
}

}  // namespace relay::redis_replies
