// SPDX-License-Identifier: MIT
// How many tokens a key's answers have, by model: what the next one may be expected to use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace relay {

// Running means of the newest answers. Never allocates; where a key uses more models than there is
// room for, the one with the fewest answers is forgotten.
class OutputMeans {
 public:
  static constexpr size_t kModels = 16;

  // How a model is named here: never zero.
  static size_t IdOf(std::string_view model);
  void Note(size_t model, int64_t output);
  // Nothing while none was noted.
  std::optional<int64_t> Of(size_t model) const;

 private:
  struct Mean {
    size_t model = 0;
    uint32_t count = 0;
    double output = 0;
  };
  std::array<Mean, kModels> means_;
};

}  // namespace relay
