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
inline constexpr int kRuntimeAbi = 4;

// Takes a line that the runtime or LibTorch would otherwise print. It is called from any thread,
// must not throw, and the text lives only for the call.
enum class LogLevel { kWarning, kInfo };
using LogFunction = void (*)(LogLevel level, const char* text);

struct Runtime {
  int abi;
  const char* name;     // "torch", "dummy"
  const char* version;  // "LibTorch 2.15.0", for people

  // As LoadModel; in addition, whoever names the same file and precision gets the same weights for
  // as long as anybody holds them, and the streams of all models take turns on the CPUs. A file
  // that has changed since is loaded anew.
  std::shared_ptr<Model> (*load_model)(const std::string& path_or_name,
                                       const ModelOptions& options);

  // Returns if models can be loaded on this GPU (-1: the first). Throws Error, which names what is
  // missing: this build's CUDA backend, a driver, one that is new enough, the GPU, its generation.
  void (*check_cuda)(int device_id);

  // For the process; null ends it.
  void (*set_log)(LogFunction log);
};

// The symbol to look up.
inline constexpr char kRuntimeSymbol[] = "cpl_runtime";
using RuntimeFunction = const Runtime* (*)();

}  // namespace cpl

// For those who link to libcpl.so (pkg-config cpl). Never null; the table lives as long as the
// library.
extern "C" const cpl::Runtime* cpl_runtime();
