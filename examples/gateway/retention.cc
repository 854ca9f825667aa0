// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/retention.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace cpl::gateway {
namespace fs = std::filesystem;

int KeepWithin(const fs::path& folder, const Limits& limits, const fs::path& open) {
  struct Recording {
    fs::file_time_type time;
    std::uint64_t bytes;
    fs::path path;
  };
  std::error_code error;
  std::vector<Recording> recordings;
  std::uint64_t total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".mkv" || !entry.is_regular_file(error)) continue;
    const Recording one{entry.last_write_time(error), entry.file_size(error), entry.path()};
    if (error) continue;  // deleted meanwhile
    total += one.bytes;
    if (one.path != open) recordings.push_back(one);
  }
  std::sort(recordings.begin(), recordings.end(),
            [](const Recording& a, const Recording& b) { return a.time < b.time; });
  const auto now = fs::file_time_type::clock::now();
  int deleted = 0;
  for (const Recording& one : recordings) {
    const double age = std::chrono::duration<double>(now - one.time).count();
    if (total <= limits.max_bytes && age <= limits.max_seconds) break;
    if (!fs::remove(one.path, error)) continue;
    total -= one.bytes;
    ++deleted;
  }
  return deleted;
}

}  // namespace cpl::gateway
