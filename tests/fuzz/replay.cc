// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target on each file of the folders (and on the files) that are named, in the order of
// their names. Says how it went in TAP: a file that crashes the target ends the process.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace fs = std::filesystem;

int main(int argc, char** argv) {
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      files.emplace_back(argv[i]);
      continue;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(argv[i])) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::printf("Bail out! no files to replay\n");
    return 1;
  }
  std::printf("1..%zu\n", files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::ifstream in(files[i], std::ios::binary);
    // Exactly as large as the input, so that a sanitizer sees what is read behind its end.
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    if (!in.is_open()) {
      std::printf("not ok %zu - %s cannot be read\n", i + 1, files[i].c_str());
      continue;
    }
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    std::printf("ok %zu - %s\n", i + 1, files[i].filename().c_str());
  }
  return 0;
}
