// SPDX-License-Identifier: Apache-2.0
//
// The one exception type of the project.
//
// Every failure that a caller can do something about is thrown as cpl::Error. `what()` is one
// sentence for a person: it names the thing (a file, a tensor, a format), what is wrong with it
// and, where there is one, the remedy. It carries no trailing newline and no prefix.
//
// Exceptions never cross a C boundary: GObject vfuncs and main() catch them.
#pragma once

#include <stdexcept>
#include <string>

namespace cpl {

enum class ErrorCode {
  kNotFound,         // A file, a device or a library does not exist.
  kCannotRead,       // It exists and cannot be opened or read.
  kCannotWrite,      // Full disk, missing folder, no permission.
  kBadFormat,        // Damaged, truncated, foreign, or of a version that this build does not know.
  kUnsupported,      // Well-formed, but this build or this machine cannot do it.
  kInvalidArgument,  // A value out of its range, an unknown name.
  kOutOfMemory,
  kInternal,    // A bug, or a failure inside LibTorch.
  kDeviceLost,  // A GPU failed or went away; what was on it is gone, and so is its context.
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace cpl
