// SPDX-License-Identifier: Apache-2.0
//
// Files that a library writes by name, so that model/atomic_file.h cannot: they too appear under
// their final name only when they are whole.
#pragma once

#include <string>

namespace cpl::train {

// Stands for PATH while it is written under the name PATH.part. Commit() gives it its final name,
// replacing what stood there; destroying it uncommitted removes the .part file. Movable, one owner.
class OutputFile {
 public:
  // Throws Error(kCannotWrite) if PATH is a folder or its folder is missing. Creates nothing yet.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;

  const std::string& path() const { return path_; }
  const std::string& part_path() const { return part_path_; }

  // Throws Error(kCannotWrite). Flushes to the disk first, so that a crash leaves the old file or
  // the new one.
  void Commit();

 private:
  std::string path_;
  std::string part_path_;  // empty once committed or moved from
};

// Throws Error(kInvalidArgument) if the two name the same file or folder, whatever the spelling.
void RefuseSameFile(const std::string& in, const std::string& out);

// Makes `path` and its parents. Throws Error(kCannotWrite).
void MakeFolder(const std::string& path);

}  // namespace cpl::train
