// SPDX-License-Identifier: MIT
// What usage costs, by the dated table of prices.json. All in whole numbers: a price in picodollars
// a token, a cost in nanodollars.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/store/usage.h"

namespace relay {

// Picodollars a token: 1,000,000 are a dollar a million tokens.
struct TokenPrices {
  int64_t input = 0;
  int64_t output = 0;
  int64_t cache_read = 0;
  int64_t cache_write_5m = 0;
  int64_t cache_write_1h = 0;
};

struct PriceRow {
  std::string name;  // of a model, or a part of the names of a family
  bool family = false;
  int32_t from = std::numeric_limits<int32_t>::min();  // days since 1970, UTC; least: always
  TokenPrices prices;
  int64_t long_above = 0;  // tokens of the prompt; 0: one price for all
  TokenPrices long_prices;
  int64_t fast_permille = 1000;
};

struct Cost {
  int64_t nanodollars = 0;
  // The table does not have the model: the price is a guess on the dear side.
  bool guessed = false;

  int64_t microdollars() const { return (nanodollars + 500) / 1000; }
};

class Prices {
 public:
  // The table that was built in. Read once, at the first call.
  static const Prices& Builtin();
  // Errors (kRelay, kMalformed): what is not a table of this form.
  static Result<Prices> Parse(std::string_view json);

  // `vendor` as a provider's name: "claude", "gemini". An unknown model is priced high, not zero.
  Cost Of(const Usage& usage, std::string_view vendor, WallTime when) const;
  // The day of the table, "2026-11-24".
  const std::string& as_of() const { return as_of_; }

 private:
  struct Vendor {
    std::vector<PriceRow> rows;
    TokenPrices unknown;
    int64_t search = 0;  // picodollars each
    int64_t us_permille = 1000;
  };
  friend class PriceReader;

  std::map<std::string, Vendor, std::less<>> vendors_;
  TokenPrices unknown_;  // of an unknown vendor: the dearest of the others
  std::string as_of_;
};

// "$25.00", "$0.0005": cents at least, nothing rounded.
std::string DollarsText(int64_t nanodollars);

// The text of prices.json.
extern const std::string_view kPricesText;

}  // namespace relay
