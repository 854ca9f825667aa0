// SPDX-License-Identifier: Apache-2.0
//
// One line on stderr for each event, without secrets. All functions may be called from any thread.
#pragma once

#include <string>

#include "examples/gateway/config.h"

namespace cpl::gateway {

// The numbers are those of syslog and of journald's line prefix.
enum class Level { kError = 3, kWarning = 4, kInfo = 6 };

// Writes "TIME LEVEL [CAMERA: ]TEXT", with the level as a prefix "<N>" instead where journald
// reads. Secrets that were kept are shown as ***.
void Log(Level level, const std::string& camera, const std::string& text);

// From now on the password (as it is, escaped for URLs, and with the user in the form of HTTP's
// basic authentication) is left out of everything that is logged; so is the user in what GStreamer
// logs. Secrets stay known until the process ends.
void KeepSecret(const Credentials& credentials);

// The same for the path and the query of a URL: cheap cameras want the password there.
void KeepSecretUrl(const std::string& url);

std::string WithoutSecrets(std::string text);

// GStreamer's debug lines (GST_DEBUG) go through WithoutSecrets from now on, and GLib's warnings
// through Log. Call it after gst_init.
void CleanGStreamerLog();

}  // namespace cpl::gateway
