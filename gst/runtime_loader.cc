// SPDX-License-Identifier: Apache-2.0

#include "gst/runtime_loader.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "gst/i18n.h"
#include "gst/plugin_folder.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;

constexpr char kFileName[] = "libcpl.so";

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
            Text(_("The restoration runtime %s cannot be loaded: build and install cplrestore anew "
                   "for this system."),
                 file.c_str()),
            reason};
  }
  const bool torch = StartsWith(missed, "libtorch") || StartsWith(missed, "libc10");
  return {
      ErrorCode::kUnsupported,
      Text(torch ? _("The restoration runtime %s needs %s, which is not installed: get LibTorch "
                     "with cplrestore's setup.sh, or put the folder of the LibTorch that it was "
                     "built with into LD_LIBRARY_PATH.")
                 : _("The restoration runtime %s needs %s, which is not installed: install the "
                     "package that has it, or put its folder into LD_LIBRARY_PATH."),
           file.c_str(), missed.c_str()),
      reason};
}

const Runtime& Table(void* library, const std::string& file) {
  const auto function = reinterpret_cast<RuntimeFunction>(dlsym(library, kRuntimeSymbol));
  if (!function) {
    throw RuntimeError(ErrorCode::kUnsupported,
                       Text(_("%s is not a restoration runtime: point CPL_RUNTIME to cplrestore's "
                              "libcpl.so, or unset it."),
                            file.c_str()),
                       LastDlError());
  }
  const Runtime* runtime = function();
  if (!runtime || runtime->abi != kRuntimeAbi) {
    throw RuntimeError(
        ErrorCode::kUnsupported,
        Text(
            _("The restoration runtime %s belongs to another version of cplrestore: install plugin "
              "and runtime together."),
            file.c_str()),
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
      throw RuntimeError(ErrorCode::kNotFound,
                         Text(_("The restoration runtime %s that CPL_RUNTIME names does not exist: "
                                "correct or unset "
                                "CPL_RUNTIME."),
                              named),
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
  throw RuntimeError(
      ErrorCode::kNotFound,
      _("The restoration runtime libcpl.so is not installed: install cplrestore with "
        "'meson install', or set CPL_RUNTIME to the file."),
      "looked for " + looked + "and along the system's library path: " + reason);
}

}  // namespace cpl
