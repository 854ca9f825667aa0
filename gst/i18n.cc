// SPDX-License-Identifier: Apache-2.0

#include "gst/i18n.h"

#include <filesystem>
#include <system_error>

#include "gst/plugin_folder.h"

namespace cpl {

void BindTranslations() {
  const std::filesystem::path plugin = PluginFolder();
  std::filesystem::path folder;
  for (const char* place : {CPL_LOCALE_FROM_BUILD_TREE, CPL_LOCALE_FROM_INSTALLATION}) {
    std::error_code error;
    folder = (plugin / place).lexically_normal();
    if (std::filesystem::is_directory(folder, error)) break;
  }
  bindtextdomain(GETTEXT_PACKAGE, folder.c_str());
  bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
}

}  // namespace cpl
