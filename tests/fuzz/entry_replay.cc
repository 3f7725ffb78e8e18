// SPDX-License-Identifier: MIT
// Runs a target on files and on all files of folders: how a build without libFuzzer replays the
// corpora. Prints how many there were; the sanitizers and Broken() end it where something is wrong.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

std::vector<std::string> FilesOf(const char* place) {
  if (!std::filesystem::is_directory(place)) return {place};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(place)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// In memory that ends where the bytes do, so that the sanitizer sees one too far.
void Run(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  auto exact = std::make_unique<char[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  relay::Fuzz({exact.get(), bytes.size()});
}

}  // namespace

int main(int argc, char** argv) {
  size_t ran = 0;
  for (int i = 1; i < argc; ++i) {
    for (const std::string& file : FilesOf(argv[i])) {
      // Told before: an abort leaves the name of the file that did it.
      if (std::FILE* now = std::fopen("replaying.txt", "w")) {
        std::fprintf(now, "%s\n", file.c_str());
        std::fclose(now);
      }
      Run(file);
      ++ran;
    }
  }
  std::printf("%zu\n", ran);
  return ran == 0 ? 1 : 0;
}
