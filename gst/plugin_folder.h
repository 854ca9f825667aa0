// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace cpl {

// The folder that this plugin's library lies in, links resolved; empty if the system does not say.
// What belongs to the plugin is found from there, so that an installation can be moved.
std::filesystem::path PluginFolder();

}  // namespace cpl
