// SPDX-License-Identifier: MIT
#include "core/store/journal_lines.h"

#include <array>
#include <charconv>
#include <chrono>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/store/crc32c.h"

namespace relay {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

constexpr size_t kFrame = 18;  // "llllllll cccccccc "

// Names of the counts, in one place for both ways.
template <class Totals, class F>
void ForEachCount(Totals& t, F f) {
  f("requests", t.requests);
  f("estimated", t.estimated);
  f("input", t.input);
  f("output", t.output);
  f("cache_read", t.cache_read);
  f("cache_write_5m", t.cache_write_5m);
  f("cache_write_1h", t.cache_write_1h);
  f("reasoning", t.reasoning);
  f("searches", t.searches);
  f("nanodollars", t.nanodollars);
  f("guessed_prices", t.guessed_prices);
}

template <class Usage, class F>
void ForEachUsage(Usage& u, F f) {
  f("input", u.input);
  f("output", u.output);
  f("cache_read", u.cache_read);
  f("cache_write_5m", u.cache_write_5m);
  f("cache_write_1h", u.cache_write_1h);
  f("reasoning", u.reasoning);
  f("searches", u.searches);
}

// Writes one framed object at the end of a string that is used again and again: the hot path has
// no use for a fresh one each time.
class LineWriter {
 public:
  LineWriter(std::string& out, std::string_view kind) : out_(out), begin_(out.size()) {
    out_.append(kFrame, ' ');
    out_ += R"({"line":")";
    out_ += kind;
    out_ += '"';
  }
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  ~LineWriter() {
    out_ += '}';
    std::string_view json = std::string_view(out_).substr(begin_ + kFrame);
    Hex(begin_, static_cast<uint32_t>(json.size()));
    Hex(begin_ + 9, Crc32c(json));
    out_ += '\n';
  }
  // Empty texts, zeros and falsehoods are left out.
  void Text(std::string_view name, std::string_view text) {
    if (text.empty()) return;
    Name(name);
    AppendJsonString(out_, text);
  }
  void Int(std::string_view name, int64_t number) {
    if (number == 0) return;
    Name(name);
    std::array<char, 24> digits{};
    auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out_.append(digits.data(), end);
  }
  void Flag(std::string_view name, bool flag) {
    if (!flag) return;
    Name(name);
    out_ += "true";
  }

 private:
  void Name(std::string_view name) {
    AppendFilled(out_, name.size() + 4, [&](char* at) { Put(Put(Put(at, ",\""), name), "\":"); });
  }
  void Hex(size_t at, uint32_t number) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (size_t i = 0; i < 8; ++i) out_[at + i] = kDigits[(number >> (28 - 4 * i)) & 0xfU];
  }
  std::string& out_;
  size_t begin_;
};

std::optional<uint32_t> ReadHex(std::string_view digits) {
  uint32_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

std::string Text(const JsonIndex& json, std::string_view name) {
  return json.Find(name).String().value_or("");
}
int64_t Int(const JsonIndex& json, std::string_view name) {
  return json.Find(name).Int().value_or(0);
}
bool Flag(const JsonIndex& json, std::string_view name) {
  return json.Find(name).Bool().value_or(false);
}

void ReadTotals(const JsonIndex& json, LedgerTotals& totals) {
  ForEachCount(totals, [&](std::string_view name, int64_t& count) { count = Int(json, name); });
}

void ReadEntry(const JsonIndex& json, DatedEntry& to) {
  LedgerEntry& entry = to.entry;
  entry.id = Text(json, "id");
  entry.when = WallTime(microseconds(Int(json, "when")));
  to.period = {static_cast<int32_t>(Int(json, "day")), Int(json, "hour")};
  entry.key = Text(json, "key");
  entry.model = Text(json, "model");
  entry.provider = Text(json, "provider");
  entry.account = Text(json, "account");
  ForEachUsage(entry.usage, [&](std::string_view name, int64_t& n) { n = Int(json, name); });
  entry.usage.model = json.Find("answered").String().value_or(entry.model);
  entry.usage.fast = Flag(json, "fast");
  entry.usage.us_only = Flag(json, "us_only");
  entry.usage.estimated = Flag(json, "estimated");
  entry.nanodollars = Int(json, "nanodollars");
  entry.guessed_price = Flag(json, "guessed_price");
  entry.status = static_cast<int>(Int(json, "status"));
  entry.total = microseconds(Int(json, "micros"));
}

std::optional<JournalLine> ReadLine(std::string_view text) {
  auto json = JsonIndex::Parse(text);
  if (!json) return std::nullopt;
  JournalLine line;
  std::string kind = Text(*json, "line");
  if (kind == "open" || kind == "close") {
    line.kind = kind == "open" ? LineKind::kOpen : LineKind::kClose;
    ReadEntry(*json, line.entry);
    if (line.entry.entry.id.empty()) return std::nullopt;
  } else if (kind == "day") {
    line.kind = LineKind::kDay;
    line.day = {static_cast<int32_t>(Int(*json, "day")), Text(*json, "key"), Text(*json, "model"),
                Text(*json, "account"), LedgerTotals()};
    ReadTotals(*json, line.day.totals);
  } else if (kind == "hour") {
    line.kind = LineKind::kHour;
    line.hour = {Int(*json, "hour"), Text(*json, "key"), LedgerTotals()};
    ReadTotals(*json, line.hour.totals);
  } else if (kind == "segment") {
    line.kind = LineKind::kSegment;
    line.version = Int(*json, "version");
    line.epoch = Text(*json, "epoch");
  } else if (kind == "begin") {
    line.kind = LineKind::kBegin;
  } else {
    return std::nullopt;
  }
  return line;
}

// The JSON of the line at the front of `bytes`, if all of it is there and right.
std::optional<std::string_view> Unframe(std::string_view bytes) {
  if (bytes.size() < kFrame || bytes[8] != ' ' || bytes[17] != ' ') return std::nullopt;
  auto length = ReadHex(bytes.substr(0, 8));
  auto sum = ReadHex(bytes.substr(9, 8));
  if (!length || !sum || *length >= bytes.size() - kFrame) return std::nullopt;
  std::string_view json = bytes.substr(kFrame, *length);
  if (bytes[kFrame + *length] != '\n' || Crc32c(json) != *sum) return std::nullopt;
  return json;
}

}  // namespace

void AppendSegmentLine(std::string& out, std::string_view epoch) {
  LineWriter line(out, "segment");
  line.Int("version", kJournalVersion);
  line.Text("epoch", epoch);
}

void AppendBeginLine(std::string& out) {
  LineWriter line(out, "begin");
}

void AppendLine(std::string& out, const DayRow& row) {
  LineWriter line(out, "day");
  line.Int("day", row.day);
  line.Text("key", row.key);
  line.Text("model", row.model);
  line.Text("account", row.account);
  ForEachCount(row.totals, [&](std::string_view name, int64_t count) { line.Int(name, count); });
}

void AppendLine(std::string& out, const HourRow& row) {
  LineWriter line(out, "hour");
  line.Int("hour", row.hour);
  line.Text("key", row.key);
  ForEachCount(row.totals, [&](std::string_view name, int64_t count) { line.Int(name, count); });
}

void AppendLine(std::string& out, LineKind open_or_close, const LedgerEntry& entry, Period period) {
  LineWriter line(out, open_or_close == LineKind::kOpen ? "open" : "close");
  line.Text("id", entry.id);
  line.Int("when", duration_cast<microseconds>(entry.when.time_since_epoch()).count());
  line.Int("day", period.day);
  line.Int("hour", period.hour);
  line.Text("key", entry.key);
  line.Text("model", entry.model);
  line.Text("provider", entry.provider);
  line.Text("account", entry.account);
  ForEachUsage(entry.usage, [&](std::string_view name, int64_t n) { line.Int(name, n); });
  if (entry.usage.model != entry.model) line.Text("answered", entry.usage.model);
  line.Flag("fast", entry.usage.fast);
  line.Flag("us_only", entry.usage.us_only);
  line.Flag("estimated", entry.usage.estimated);
  line.Int("nanodollars", entry.nanodollars);
  line.Flag("guessed_price", entry.guessed_price);
  line.Int("status", entry.status);
  line.Int("micros", duration_cast<microseconds>(entry.total).count());
}

std::string EntryJson(const LedgerEntry& entry, Period period) {
  std::string line;
  AppendLine(line, LineKind::kClose, entry, period);
  return line.substr(kFrame, line.size() - kFrame - 1);
}

std::optional<DatedEntry> ReadEntryJson(std::string_view json) {
  auto line = ReadLine(json);
  if (!line || line->kind != LineKind::kClose) return std::nullopt;
  return std::move(line->entry);
}

std::optional<JournalLine> JournalLines::Next() {
  while (!rest_.empty()) {
    if (auto json = Unframe(rest_)) {
      rest_.remove_prefix(kFrame + json->size() + 1);
      if (auto line = ReadLine(*json)) return line;
      ++damaged_lines_;
      continue;
    }
    // A newline stands nowhere but at the end of a line, so the next one is where sense begins.
    size_t newline = rest_.find('\n');
    if (newline == std::string_view::npos) {
      torn_bytes_ = rest_.size();
      rest_ = {};
      break;
    }
    ++damaged_lines_;
    rest_.remove_prefix(newline + 1);
  }
  return std::nullopt;
}

}  // namespace relay
