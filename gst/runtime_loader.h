// SPDX-License-Identifier: Apache-2.0
//
// Finds and opens the restoration runtime (libcpl.so and with it LibTorch) at run time, so that the
// plugin itself links to neither.
#pragma once

#include <string>

#include "cpl/error.h"
#include "cpl/runtime.h"

namespace cpl {

// what() says what is missing and how to get it; debug() is what the loader of the system said.
// kNotFound: there is no runtime. kUnsupported: there is one that cannot be used.
class RuntimeError : public Error {
 public:
  RuntimeError(ErrorCode code, const std::string& message, std::string debug)
      : Error(code, message), debug_(std::move(debug)) {}

  const std::string& debug() const noexcept { return debug_; }

 private:
  std::string debug_;
};

// Opens the runtime and returns its table, which stays valid until the process ends: the library is
// never closed. Safe to call often and from any thread. Looked for in this order:
//   1. the file that the environment variable CPL_RUNTIME names, and then nowhere else;
//   2. where the build tree has it, relative to the plugin's own file;
//   3. where an installation has it, relative to the plugin's own file;
//   4. wherever the system looks for "libcpl.so".
// Throws RuntimeError.
const Runtime& OpenRuntime();

}  // namespace cpl
