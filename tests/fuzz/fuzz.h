// SPDX-License-Identifier: MIT
// What the fuzz targets share. A target is one file that defines Fuzz(); it is linked with
// libFuzzer (entry_libfuzzer.cc) or, in every other build, with entry_replay.cc, which runs files.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace relay {

// One run. Ends the process when something does not hold.
void Fuzz(std::string_view input);

// Says what does not hold, and where it shows, and ends the process.
[[noreturn]] inline void Broken(const char* what, std::string_view detail = {}) {
  std::fprintf(stderr, "BROKEN: %s\n%.*s\n", what, static_cast<int>(detail.size()), detail.data());
  std::abort();
}

inline void Check(bool holds, const char* what, std::string_view detail = {}) {
  if (!holds) Broken(what, detail);
}

// Small numbers that depend on the input alone, so that a run can be repeated.
class Dice {
 public:
  explicit Dice(std::string_view input) {
    for (char c : input) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  // Below `bound`, which is not 0.
  size_t Roll(size_t bound) {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t mixed = (state_ ^ state_ >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return static_cast<size_t>((mixed ^ mixed >> 31) % bound);
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325;
};

using CutText = std::vector<std::string_view>;

// The ways in which each target cuts its input: whole, byte by byte, small and large pieces.
constexpr int kCuts = 4;
inline CutText Cut(std::string_view input, int way) {
  Dice dice(input);
  CutText pieces;
  while (!input.empty()) {
    size_t most = input.size();
    if (way == 1) most = 1;
    if (way == 2) most = 1 + dice.Roll(8);
    if (way == 3) most = 1 + dice.Roll(input.size());
    pieces.push_back(input.substr(0, most));
    input.remove_prefix(pieces.back().size());
  }
  return pieces;
}

}  // namespace relay
