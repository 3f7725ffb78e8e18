// SPDX-License-Identifier: MIT
#include "upstreams/prices.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <utility>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/zone.h"

namespace relay {
namespace {

constexpr double kPicoOfDollarPerMillion = 1e6;
constexpr double kPicoOfDollar = 1e12;

// Names as they are compared: lower case, from the vendor's own word on ("us.anthropic.claude-…",
// "models/gemini-…"), with '-' for '.', as some write claude-opus-4.5.
std::string Plain(std::string_view name, std::string_view vendor) {
  name.remove_prefix(name.rfind('/') + 1);  // none at all is npos, and one more is 0
  std::string plain = LowerOf(name);
  std::ranges::replace(plain, '.', '-');
  size_t word = plain.find(vendor);
  if (word != std::string::npos) plain.erase(0, word);
  return plain;
}

// "-5" and "-12", but not "-20251101" or "-001": a version that the name before it does not have.
bool BeginsWithVersion(std::string_view rest) {
  size_t digits = 0;
  while (1 + digits < rest.size() && rest[1 + digits] >= '0' && rest[1 + digits] <= '9') ++digits;
  return rest.front() == '-' && (digits == 1 || digits == 2);
}

bool IsOf(std::string_view name, std::string_view model) {
  if (!name.starts_with(model)) return false;
  std::string_view rest = name.substr(model.size());
  if (rest.empty()) return true;
  bool separate = std::string_view("-@:[").find(rest.front()) != std::string_view::npos;
  return separate && !BeginsWithVersion(rest);
}

// The best row for a name: a model before a family, a longer name before a shorter, a later day
// before an earlier.
const PriceRow* Best(const std::vector<PriceRow>& rows, std::string_view name, int32_t day) {
  const PriceRow* best = nullptr;
  for (const PriceRow& row : rows) {
    bool fits = row.family ? name.find(row.name) != std::string_view::npos : IsOf(name, row.name);
    if (!fits || row.from > day) continue;
    auto rank = [](const PriceRow& r) { return std::tuple(!r.family, r.name.size(), r.from); };
    if (best == nullptr || rank(*best) < rank(row)) best = &row;
  }
  return best;
}

// Sums that would not fit stay at the greatest.
int64_t Times(int64_t tokens, int64_t price) {
  int64_t product = 0;
  if (tokens <= 0 || price <= 0) return 0;
  if (__builtin_mul_overflow(tokens, price, &product)) return std::numeric_limits<int64_t>::max();
  return product;
}

int64_t Plus(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::numeric_limits<int64_t>::max();
  return sum;
}

}  // namespace

// Reads the table; the first fault is kept.
class PriceReader {
 public:
  Result<Prices> Read(std::string_view json) {
    Result<JsonIndex> index = JsonIndex::Parse(json);
    if (!index) return std::unexpected(index.error());
    Prices prices;
    prices.as_of_ = index->Find("as-of").String().value_or("");
    if (prices.as_of_.empty()) Wrong("as-of is missing");
    if (std::optional<JsonIndex> vendors = Inner(*index, "vendors")) {
      for (const JsonField& field : vendors->fields()) {
        std::string name = vendors->Key(field);
        ReadVendor(*vendors, name, prices.vendors_[name]);
        const TokenPrices& unknown = prices.vendors_[name].unknown;
        if (unknown.output > prices.unknown_.output) prices.unknown_ = unknown;
      }
    }
    if (!fault_.empty()) return Fail(Party::kRelay, Fault::kMalformed, "prices: " + fault_);
    return prices;
  }

 private:
  void Wrong(std::string what) {
    if (fault_.empty()) fault_ = std::move(what);
  }

  std::optional<JsonIndex> Inner(const JsonIndex& object, std::string_view name) {
    Result<JsonIndex> inner = JsonIndex::Object(object.Find(name));
    if (inner) return std::move(*inner);
    Wrong(std::string(name) + ": " + inner.error().what);
    return std::nullopt;
  }

  // A number times `unit`, whole; `otherwise` where there is none.
  int64_t Number(const JsonIndex& object, std::string_view name, double unit, int64_t otherwise) {
    JsonValue value = object.Find(name);
    if (!value) return otherwise;
    std::optional<std::string_view> text = value.Number();
    double number = -1;
    if (text) std::from_chars(text->data(), text->data() + text->size(), number);
    if (!(number >= 0 && number * unit < 9e18)) {
      Wrong(std::string(name) + " must be a number, not negative");
      return otherwise;
    }
    return std::llround(number * unit);
  }

  TokenPrices ReadPrices(const JsonIndex& object) {
    auto price = [&](std::string_view name, int64_t otherwise) {
      return Number(object, name, kPicoOfDollarPerMillion, otherwise);
    };
    TokenPrices prices;
    prices.input = price("input", 0);
    prices.output = price("output", 0);
    if (prices.input == 0 || prices.output == 0) Wrong("input and output need a price");
    prices.cache_read = price("cache-read", prices.input);
    prices.cache_write_5m = price("write-5m", prices.input * 5 / 4);
    prices.cache_write_1h = price("write-1h", prices.input * 2);
    return prices;
  }

  void ReadVendor(const JsonIndex& vendors, const std::string& name, Prices::Vendor& to) {
    std::optional<JsonIndex> vendor = Inner(vendors, name);
    if (!vendor) return;
    to.search = Number(*vendor, "web-search", kPicoOfDollar, 0);
    to.us_permille = Number(*vendor, "us-only", 1000, 1000);
    if (std::optional<JsonIndex> unknown = Inner(*vendor, "unknown")) {
      to.unknown = ReadPrices(*unknown);
    }
    for (JsonArray list(vendor->Find("models")); JsonValue item = list.Next();) {
      Result<JsonIndex> row = JsonIndex::Object(item);
      if (!row) {
        Wrong(row.error().what);
        return;
      }
      to.rows.push_back(ReadRow(*row, name));
    }
    if (to.rows.empty()) Wrong(name + " has no models");
  }

  PriceRow ReadRow(const JsonIndex& object, std::string_view vendor) {
    PriceRow row;
    row.family = object.Find("family").Is(JsonKind::kString);
    row.name = Plain(object.Find(row.family ? "family" : "model").String().value_or(""), vendor);
    if (row.name.empty()) Wrong("a row without model or family");
    if (std::optional<std::string> from = object.Find("from").String()) {
      std::optional<int32_t> day = ParseDay(*from);
      if (!day) Wrong("from must be a day, as 2027-01-01");
      row.from = day.value_or(row.from);
    }
    row.prices = ReadPrices(object);
    row.fast_permille = Number(object, "fast", 1000, 1000);
    row.long_above = Number(object, "long-above", 1, 0);
    if (row.long_above > 0) {
      if (std::optional<JsonIndex> prices = Inner(object, "long")) {
        row.long_prices = ReadPrices(*prices);
      }
    }
    return row;
  }

  std::string fault_;
};

Result<Prices> Prices::Parse(std::string_view json) {
  return PriceReader().Read(json);
}

const Prices& Prices::Builtin() {
  static const Prices kPrices = [] {
    Result<Prices> read = Parse(kPricesText);
    if (!read) std::abort();  // a test reads the same text
    return std::move(*read);
  }();
  return kPrices;
}

Cost Prices::Of(const Usage& usage, std::string_view vendor, WallTime when) const {
  auto found = vendors_.find(vendor);
  const Vendor* table = found == vendors_.end() ? nullptr : &found->second;
  const PriceRow* row = nullptr;
  if (table != nullptr) {
    std::string name = Plain(usage.model, vendor);
    auto today = std::chrono::floor<std::chrono::days>(when).time_since_epoch().count();
    row = Best(table->rows, name, static_cast<int32_t>(today));
  }
  TokenPrices prices = unknown_;
  if (row != nullptr) {
    bool is_long = row->long_above > 0 && usage.prompt() > row->long_above;
    prices = is_long ? row->long_prices : row->prices;
  } else if (table != nullptr && table->unknown.output > 0) {
    prices = table->unknown;
  }
  int64_t pico = Times(usage.input, prices.input);
  pico = Plus(pico, Times(usage.output, prices.output));
  pico = Plus(pico, Times(usage.cache_read, prices.cache_read));
  pico = Plus(pico, Times(usage.cache_write_5m, prices.cache_write_5m));
  pico = Plus(pico, Times(usage.cache_write_1h, prices.cache_write_1h));
  int64_t nano = Plus(pico, 500) / 1000;
  if (usage.fast && row != nullptr) nano = Times(nano, row->fast_permille) / 1000;
  if (usage.us_only && table != nullptr) nano = Times(nano, table->us_permille) / 1000;
  if (table != nullptr) nano = Plus(nano, Times(usage.searches, table->search) / 1000);
  return {nano, row == nullptr || row->family};
}

std::string DollarsText(int64_t nanodollars) {
  constexpr int64_t kDollar = 1'000'000'000;
  std::string fraction = std::to_string(kDollar + nanodollars % kDollar).substr(1);
  while (fraction.size() > 2 && fraction.back() == '0') fraction.pop_back();
  return "$" + std::to_string(nanodollars / kDollar) + "." + fraction;
}

}  // namespace relay
