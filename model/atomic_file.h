// SPDX-License-Identifier: Apache-2.0
//
// Files that are either the old one or the whole new one, never a part: the data go to a temporary
// file in the same folder, which is synced and renamed over the old file; then the folder is
// synced.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace cpl {

// One file being written. Not thread-safe. Without Commit() nothing of it remains.
// A symbolic link to a file is followed; an existing file keeps its permission bits. What exists
// and is not a regular file, or may not be written, is refused.
class AtomicFile {
 public:
  // Throws Error kCannotWrite, as do all calls: the message names `path`, the temporary file is
  // removed and the old file is as it was.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);

  // After this the new file stands under its name, its data on disk. No call may follow.
  void Commit();

 private:
  [[noreturn]] void Fail(int error);
  void Discard() noexcept;

  std::string path_;       // As given, for messages.
  std::string target_;     // With links resolved.
  std::string temporary_;  // Empty when there is none to remove.
  int fd_ = -1;
};

// The whole of it in one call.
void WriteFileAtomically(const std::string& path, std::string_view contents);

}  // namespace cpl
