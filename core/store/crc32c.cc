// SPDX-License-Identifier: MIT
#include "core/store/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

namespace relay {
namespace {

constexpr size_t kStep = 8;
using Tables = std::array<std::array<uint32_t, 256>, kStep>;

// Table n gives what a byte does to the sum when n more bytes follow it, so that eight bytes are
// looked up side by side.
constexpr Tables MakeTables() {
  constexpr uint32_t kPolynomial = 0x82f63b78;
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1U) ^ ((sum & 1U) != 0 ? kPolynomial : 0);
    tables[0][byte] = sum;
  }
  for (size_t n = 1; n < kStep; ++n) {
    for (size_t byte = 0; byte < 256; ++byte) {
      uint32_t before = tables[n - 1][byte];
      tables[n][byte] = (before >> 8U) ^ tables[0][before & 0xffU];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ByInstruction(std::string_view bytes) {
  uint64_t sum = ~uint32_t{0};
  while (bytes.size() >= kStep) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), kStep);
    sum = __builtin_ia32_crc32di(sum, word);
    bytes.remove_prefix(kStep);
  }
  auto rest = static_cast<uint32_t>(sum);
  for (char c : bytes) rest = __builtin_ia32_crc32qi(rest, static_cast<unsigned char>(c));
  return ~rest;
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
#if defined(__x86_64__)
  static const bool kHasInstruction = __builtin_cpu_supports("sse4.2");
  if (kHasInstruction) return ByInstruction(bytes);
#endif
  return Crc32cByTables(bytes);
}

uint32_t Crc32cByTables(std::string_view bytes) {
  static_assert(std::endian::native == std::endian::little);
  uint32_t sum = ~uint32_t{0};
  while (bytes.size() >= kStep) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), kStep);
    word ^= sum;
    sum = 0;
    for (size_t i = 0; i < kStep; ++i) {
      sum ^= kTables[kStep - 1 - i][(word >> (8 * i)) & 0xffU];
    }
    bytes.remove_prefix(kStep);
  }
  for (char c : bytes) sum = (sum >> 8U) ^ kTables[0][(sum ^ static_cast<uint8_t>(c)) & 0xffU];
  return ~sum;
}

}  // namespace relay
