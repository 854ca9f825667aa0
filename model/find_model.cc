// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "cpl/error.h"
#include "cpl/restorer.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;

// The folder of the library or program that this code is part of: installations may be moved.
fs::path OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&OwnFolder), &info) == 0 || !info.dli_fname) return {};
  std::error_code error;
  fs::path self = fs::canonical(info.dli_fname, error);
  // A program found through PATH has no folder in its name.
  if (error) self = fs::canonical("/proc/self/exe", error);
  return self.parent_path();
}

std::vector<fs::path> ModelFolders() {
  std::vector<fs::path> folders;
  if (const char* path = std::getenv("CPL_MODEL_PATH")) {
    std::stringstream list(path);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty()) folders.emplace_back(folder);
    }
  }
  const fs::path own = OwnFolder();
  // The build tree: build/model/libcpl.so and build/train/cpl beside build/weights.
  folders.push_back(own.parent_path() / "weights");
  // The installation: lib/.../cplrestore/libcpl.so and bin/cpl, with share/ some levels above.
  folders.push_back((own / CPL_DATA_FROM_LIB).lexically_normal());
  folders.push_back((own / CPL_DATA_FROM_BIN).lexically_normal());
  return folders;
}

}  // namespace

std::string FindModel(const std::string& path_or_name) {
  if (path_or_name.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "the model's name is empty");
  }
  if (path_or_name.find_first_of("/.") != std::string::npos) return path_or_name;
  std::string looked;
  for (const fs::path& folder : ModelFolders()) {
    const fs::path candidate = folder / (path_or_name + ".safetensors");
    std::error_code error;
    if (fs::exists(candidate, error)) return candidate.string();
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  throw Error(ErrorCode::kNotFound, "no model is named '" + path_or_name + "'; looked in " +
                                        looked +
                                        " (set CPL_MODEL_PATH, or give the path of a file)");
}

}  // namespace cpl
