// SPDX-License-Identifier: MIT
#include "core/store/output_means.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace relay {
namespace {

// Answers that weigh: an older one counts less and less.
constexpr uint32_t kMemory = 32;

}  // namespace

size_t OutputMeans::IdOf(std::string_view model) {
  return std::max<size_t>(std::hash<std::string_view>{}(model), 1);
}

void OutputMeans::Note(size_t model, int64_t output) {
  auto mean = std::find_if(means_.begin(), means_.end(),
                           [&](const Mean& m) { return m.count > 0 && m.model == model; });
  if (mean == means_.end()) {
    mean = std::min_element(means_.begin(), means_.end(),
                            [](const Mean& a, const Mean& b) { return a.count < b.count; });
    *mean = Mean{model, 0, 0};
  }
  mean->count = std::min(mean->count + 1, kMemory);
  mean->output += (static_cast<double>(output) - mean->output) / mean->count;
}

std::optional<int64_t> OutputMeans::Of(size_t model) const {
  for (const Mean& mean : means_) {
    if (mean.count > 0 && mean.model == model) return std::llround(mean.output);
  }
  return std::nullopt;
}

}  // namespace relay
