// SPDX-License-Identifier: Apache-2.0
//
// Texts for users in their language: gettext's, with the names that GStreamer's own code has for
// it. The catalogues are po/*.po. What the runtime and LibTorch say comes as it is, in English.
#pragma once

#include <glib.h>
#include <libintl.h>

#include <cstdarg>
#include <string>

#define GETTEXT_PACKAGE "cplrestore"
#define _(text) dgettext(GETTEXT_PACKAGE, text)

namespace cpl {

// Tells gettext where this plugin's catalogues lie. Once, when the plugin is registered.
void BindTranslations();

// printf into a string, for texts that name things.
G_GNUC_PRINTF(1, 2) inline std::string Text(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  gchar* text = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  std::string result = text;
  g_free(text);
  return result;
}

}  // namespace cpl
