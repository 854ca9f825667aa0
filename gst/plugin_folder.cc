// SPDX-License-Identifier: Apache-2.0

#include "gst/plugin_folder.h"

#include <dlfcn.h>

#include <system_error>

namespace cpl {

std::filesystem::path PluginFolder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&PluginFolder), &info) == 0 || !info.dli_fname) {
    return {};
  }
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(info.dli_fname, error);
  return error ? std::filesystem::path() : file.parent_path();
}

}  // namespace cpl
