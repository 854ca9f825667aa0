// SPDX-License-Identifier: Apache-2.0

#include "gst/runtime_loader.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace cpl {
namespace {

namespace fs = std::filesystem;

constexpr char kFileName[] = "libcpl.so";

// The folder that this library lies in, links resolved.
fs::path PluginFolder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&OpenRuntime), &info) == 0 || !info.dli_fname) return {};
  std::error_code error;
  const fs::path file = fs::canonical(info.dli_fname, error);
  return error ? fs::path() : file.parent_path();
}

std::vector<fs::path> PlacesNextToPlugin() {
  const fs::path folder = PluginFolder();
  if (folder.empty()) return {};
  return {(folder / CPL_RUNTIME_FROM_BUILD_TREE).lexically_normal(),
          (folder / CPL_RUNTIME_FROM_INSTALLATION).lexically_normal()};
}

std::string LastDlError() {
  const char* text = dlerror();
  return text ? text : "no reason given";
}

bool StartsWith(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

// The system's loader names the library that it missed before the first colon; when that is not the
// runtime itself but one that it needs, this is what has to be installed.
RuntimeError CannotOpen(const std::string& file, const std::string& reason) {
  const std::string missed = reason.substr(0, reason.find(':'));
  const bool needs_other = reason.find("cannot open shared object file") != std::string::npos &&
                           missed != file && missed.find(".so") != std::string::npos;
  if (!needs_other) {
    return {ErrorCode::kUnsupported,
            "The restoration runtime " + file +
                " cannot be loaded: build and install cplrestore anew for this system.",
            reason};
  }
  const bool torch = StartsWith(missed, "libtorch") || StartsWith(missed, "libc10");
  return {ErrorCode::kUnsupported,
          "The restoration runtime " + file + " needs " + missed + ", which is not installed: " +
              (torch ? "get LibTorch with cplrestore's setup.sh, or put the folder of the LibTorch "
                       "that it was built with into LD_LIBRARY_PATH."
                     : "install the package that has it, or put its folder into LD_LIBRARY_PATH."),
          reason};
}

const Runtime& Table(void* library, const std::string& file) {
  const auto function = reinterpret_cast<RuntimeFunction>(dlsym(library, kRuntimeSymbol));
  if (!function) {
    throw RuntimeError(ErrorCode::kUnsupported,
                       file +
                           " is not a restoration runtime: point CPL_RUNTIME to cplrestore's "
                           "libcpl.so, or unset it.",
                       LastDlError());
  }
  const Runtime* runtime = function();
  if (!runtime || runtime->abi != kRuntimeAbi) {
    throw RuntimeError(
        ErrorCode::kUnsupported,
        "The restoration runtime " + file +
            " belongs to another version of cplrestore: install plugin and runtime together.",
        "runtime ABI " + (runtime ? std::to_string(runtime->abi) : "none") + ", plugin ABI " +
            std::to_string(kRuntimeAbi));
  }
  return *runtime;
}

// RTLD_LOCAL: LibTorch brings libraries that a program may have in other versions of its own.
void* Open(const std::string& file) { return dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL); }

const Runtime& OpenOrThrow(const std::string& file) {
  void* library = Open(file);
  if (!library) throw CannotOpen(file, LastDlError());
  return Table(library, file);
}

}  // namespace

const Runtime& OpenRuntime() {
  std::error_code error;
  if (const char* named = std::getenv("CPL_RUNTIME"); named && *named) {
    if (!fs::exists(named, error)) {
      throw RuntimeError(
          ErrorCode::kNotFound,
          std::string("The restoration runtime ") + named +
              " that CPL_RUNTIME names does not exist: correct or unset CPL_RUNTIME.",
          error ? error.message() : "no such file");
    }
    return OpenOrThrow(named);
  }

  std::string looked;
  for (const fs::path& place : PlacesNextToPlugin()) {
    // A file that is there and cannot be used is worth an error of its own.
    if (fs::exists(place, error)) return OpenOrThrow(place.string());
    looked += place.string() + ", ";
  }
  if (void* library = Open(kFileName)) return Table(library, kFileName);
  const std::string reason = LastDlError();
  if (!StartsWith(reason, kFileName)) throw CannotOpen(kFileName, reason);
  throw RuntimeError(ErrorCode::kNotFound,
                     "The restoration runtime libcpl.so is not installed: install cplrestore with "
                     "'meson install', or set CPL_RUNTIME to the file.",
                     "looked for " + looked + "and along the system's library path: " + reason);
}

}  // namespace cpl
