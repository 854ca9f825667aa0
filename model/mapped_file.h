// SPDX-License-Identifier: Apache-2.0
//
// A file's bytes, mapped read-only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace cpl {

// The bytes of a whole file. They live as long as a copy of `owner` does.
struct MappedFile {
  // Files of less than this, which every model is, are copied into memory: what happens to the
  // file meanwhile and afterwards does not matter. Larger ones are mapped: replacing one (rename)
  // is harmless, but if somebody truncates it in place, reading the lost part kills the process
  // with SIGBUS.
  static constexpr std::size_t kMapFrom = std::size_t{256} << 20;

  // Throws Error, naming the path: kNotFound, kCannotRead (also for what is not a regular file),
  // kBadFormat (it became shorter meanwhile). Never waits, as for the writer of a FIFO.
  static MappedFile Open(const std::string& path);

  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

}  // namespace cpl
