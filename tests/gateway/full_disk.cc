// SPDX-License-Identifier: Apache-2.0
//
// Preloaded into the gateway: while the file $FULL_DISK_FLAG exists, nothing can be written to
// Matroska files, as on a full disk. GStreamer's file sink writes with writev.

#include <dlfcn.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool IsFull(int file) {
  const char* flag = std::getenv("FULL_DISK_FLAG");
  if (flag == nullptr || access(flag, F_OK) != 0) return false;
  char link[64], path[4096];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 4) return false;
  path[length] = '\0';
  return std::strcmp(path + length - 4, ".mkv") == 0;
}

}  // namespace

extern "C" ssize_t writev(int file, const iovec* parts, int count) {
  static const auto real =
      reinterpret_cast<ssize_t (*)(int, const iovec*, int)>(dlsym(RTLD_NEXT, "writev"));
  if (IsFull(file)) {
    errno = ENOSPC;
    return -1;
  }
  return real(file, parts, count);
}

extern "C" ssize_t write(int file, const void* bytes, size_t count) {
  static const auto real =
      reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(dlsym(RTLD_NEXT, "write"));
  if (IsFull(file)) {
    errno = ENOSPC;
    return -1;
  }
  return real(file, bytes, count);
}
