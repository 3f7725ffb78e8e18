// SPDX-License-Identifier: MIT
// The one interface of a filter: four hooks with empty defaults. One object a chain; it keeps no
// state of a request, which lives in the exchange's facts.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "core/async/task.h"
#include "core/exchange/dialect.h"

namespace relay {

class Exchange;
class Head;
class Chunk;
struct Outcome;

// What filters learn about a request. A chain is checked at load: what one needs, an earlier gives.
enum class Fact : uint8_t { kKey = 1, kAccount = 2, kBody = 4, kUsage = 8 };
using FactSet = uint8_t;
constexpr FactSet operator|(Fact a, Fact b) {
  return static_cast<FactSet>(static_cast<FactSet>(a) | static_cast<FactSet>(b));
}
constexpr FactSet Only(Fact fact) {
  return static_cast<FactSet>(fact);
}

// What a filter decides: go on, or answer the client now.
class Verdict {
 public:
  static Verdict Continue() { return Verdict(); }
  static Verdict Refuse(Refusal refusal) {
    Verdict verdict;
    verdict.refusal_ = std::move(refusal);
    return verdict;
  }
  bool refused() const { return refusal_.has_value(); }
  const Refusal& refusal() const { return *refusal_; }

 private:
  std::optional<Refusal> refusal_;
};

class Filter {
 public:
  virtual ~Filter() = default;
  virtual std::string_view name() const = 0;
  // In the chain's order; may wait.
  virtual Task<Verdict> OnRequest(Exchange&) { return Verdict::Continue(); }
  // In reverse order, before the head goes to the client.
  virtual void OnResponseHead(Exchange&, Head&) {}
  // In reverse order, for each piece; never waits.
  virtual void OnResponseChunk(Exchange&, std::string_view) {}
  // In reverse order, exactly once for each filter that was entered, however the exchange ended.
  virtual void OnFinish(Exchange&, const Outcome&) noexcept {}
};

}  // namespace relay
