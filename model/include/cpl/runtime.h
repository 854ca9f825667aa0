// SPDX-License-Identifier: Apache-2.0
//
// How a program reaches the API without linking to LibTorch: it opens libcpl.so (or, in tests, the
// dummy runtime that needs no LibTorch) with dlopen and asks for this table.
#pragma once

#include <memory>
#include <string>

#include "cpl/restorer.h"

namespace cpl {

// Bumped whenever anything in cpl/*.h changes its layout or meaning.
inline constexpr int kRuntimeAbi = 1;

struct Runtime {
  int abi;
  const char* name;     // "torch", "dummy"
  const char* version;  // "LibTorch 2.15.0", for people
  std::shared_ptr<Model> (*load_model)(const std::string& path_or_name,
                                       const ModelOptions& options);
};

// The symbol to look up: `extern "C" const cpl::Runtime* cpl_runtime(void)`.
inline constexpr char kRuntimeSymbol[] = "cpl_runtime";
using RuntimeFunction = const Runtime* (*)();

}  // namespace cpl
