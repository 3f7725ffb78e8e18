// SPDX-License-Identifier: MIT
// What libFuzzer calls for each input.
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  relay::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
