// SPDX-License-Identifier: MIT
#include "core/base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "tests/core/store/temp_folder.h"

namespace relay {
namespace {

TEST(ReadWholeFile, GivesAllBytes) {
  TempFolder temp;
  for (size_t size : {size_t{0}, size_t{1}, size_t{300'000}}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % 251);
    std::ofstream(temp.File("file"), std::ios::binary) << bytes;
    EXPECT_EQ(ReadWholeFile(temp.File("file")), bytes);
  }
}

TEST(ReadWholeFile, ReadsAPipeToItsEnd) {
  TempFolder temp;
  ASSERT_EQ(::mkfifo(temp.File("pipe").c_str(), 0600), 0);
  std::string bytes(200'000, 'x');
  std::thread writer([&] { std::ofstream(temp.File("pipe"), std::ios::binary) << bytes; });
  EXPECT_EQ(ReadWholeFile(temp.File("pipe")), bytes);
  writer.join();
}

TEST(ReadWholeFile, TellsWhyNot) {
  TempFolder temp;
  EXPECT_EQ(ReadWholeFile(temp.File("none")).error(), ENOENT);
  EXPECT_EQ(ReadWholeFile(temp.path()).error(), EISDIR);
}

}  // namespace
}  // namespace relay
