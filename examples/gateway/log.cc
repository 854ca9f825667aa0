// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/log.h"

#include <gst/gst.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <vector>

namespace cpl::gateway {
namespace {

constexpr char kHidden[] = "***";

struct Secrets {
  std::mutex lock;
  std::vector<std::string> everywhere;  // longest first, so that no part of one is left
  std::vector<std::string> in_gst_log;  // users
};

Secrets& TheSecrets() {
  static auto* const secrets = new Secrets;
  return *secrets;
}

void Keep(std::vector<std::string>& list, const std::string& secret) {
  if (secret.empty() || std::find(list.begin(), list.end(), secret) != list.end()) return;
  list.push_back(secret);
  std::sort(list.begin(), list.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

void Hide(std::string& text, const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    for (auto at = text.find(secret); at != std::string::npos;
         at = text.find(secret, at + sizeof(kHidden) - 1)) {
      text.replace(at, secret.size(), kHidden);
    }
  }
}

std::string Escaped(const std::string& text) {
  char* escaped = g_uri_escape_string(text.c_str(), nullptr, FALSE);
  const std::string result = escaped;
  g_free(escaped);
  return result;
}

std::string Base64(const std::string& text) {
  char* encoded = g_base64_encode(reinterpret_cast<const guchar*>(text.data()), text.size());
  const std::string result = encoded;
  g_free(encoded);
  return result;
}

void LogForGst(GstDebugCategory* category, GstDebugLevel level, const gchar* file,
               const gchar* function, gint line, GObject* object, GstDebugMessage* message,
               gpointer) {
  if (level > gst_debug_category_get_threshold(category)) return;
  char* formatted = gst_debug_log_get_line(category, level, file, function, line, object, message);
  std::string text = formatted;
  g_free(formatted);
  {
    const std::lock_guard lock(TheSecrets().lock);
    Hide(text, TheSecrets().everywhere);
    Hide(text, TheSecrets().in_gst_log);
  }
  std::fputs(text.c_str(), stderr);
}

void LogForGLib(const gchar* domain, GLogLevelFlags level, const gchar* message, gpointer) {
  if ((level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)) != 0) return;
  Log(Level::kWarning, "", (domain != nullptr ? std::string(domain) + ": " : "") + message);
}

std::string Now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[40], all[48];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(all, sizeof(all), "%s.%03dZ", text, static_cast<int>(ms));
  return all;
}

// $JOURNAL_STREAM is DEVICE:INODE, and is inherited by programs whose stderr is something else.
bool StderrIsJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat own = {};
  return stream != nullptr && fstat(STDERR_FILENO, &own) == 0 &&
         stream == std::to_string(own.st_dev) + ":" + std::to_string(own.st_ino);
}

}  // namespace

void KeepSecret(const Credentials& credentials) {
  if (credentials.empty()) return;
  Secrets& secrets = TheSecrets();
  const std::lock_guard lock(secrets.lock);
  Keep(secrets.everywhere, credentials.password);
  Keep(secrets.everywhere, Escaped(credentials.password));
  Keep(secrets.everywhere, Base64(credentials.user + ":" + credentials.password));
  Keep(secrets.in_gst_log, credentials.user);
}

void KeepSecretUrl(const std::string& url) {
  const auto host = url.find("//");
  const auto path = host == std::string::npos ? host : url.find('/', host + 2);
  if (path == std::string::npos || path + 1 >= url.size()) return;
  const std::lock_guard lock(TheSecrets().lock);
  Keep(TheSecrets().everywhere, url.substr(path + 1));
  const auto query = url.find('?', path);
  if (query != std::string::npos) Keep(TheSecrets().everywhere, url.substr(query + 1));
}

std::string WithoutSecrets(std::string text) {
  const std::lock_guard lock(TheSecrets().lock);
  Hide(text, TheSecrets().everywhere);
  return text;
}

void Log(Level level, const std::string& camera, const std::string& text) {
  std::string line = camera.empty() ? "" : camera + ": ";
  line += WithoutSecrets(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  static const bool journal = StderrIsJournal();
  const char* word = level == Level::kError     ? "error"
                     : level == Level::kWarning ? "warning"
                                                : "info";
  // One call, so that lines of two threads do not mix.
  if (journal) {
    std::fprintf(stderr, "<%d>%s\n", static_cast<int>(level), line.c_str());
  } else {
    std::fprintf(stderr, "%s %-7s %s\n", Now().c_str(), word, line.c_str());
  }
}

void CleanGStreamerLog() {
  gst_debug_remove_log_function(gst_debug_log_default);
  gst_debug_add_log_function(LogForGst, nullptr, nullptr);
  g_log_set_default_handler(LogForGLib, nullptr);
}

}  // namespace cpl::gateway
