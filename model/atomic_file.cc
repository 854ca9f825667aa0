// SPDX-License-Identifier: Apache-2.0
#include "model/atomic_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "cpl/error.h"

namespace cpl {
namespace {

// Leaves room for what the temporary name adds to it.
constexpr std::size_t kLongestStem = 200;

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string ResolveLinks(const std::string& path) {
  const std::unique_ptr<char, decltype(&free)> resolved(realpath(path.c_str(), nullptr), &free);
  return resolved ? resolved.get() : path;
}

std::string Reason(int error) {
  switch (error) {
    case ENOSPC:
      return "the disk is full; free some space or choose another place";
    case EDQUOT:
      return "the disk quota is used up; free some space or choose another place";
    case EFBIG:
      return "the file would be larger than the system allows (see `ulimit -f`)";
    case ENOENT:
      return "its folder does not exist; create it first";
    default:
      return std::generic_category().message(error);
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(ResolveLinks(path)) {
  struct stat existing;
  const bool exists = ::stat(target_.c_str(), &existing) == 0;
  if (exists && S_ISDIR(existing.st_mode)) Fail(EISDIR);
  if (exists && !S_ISREG(existing.st_mode)) {
    throw Error(ErrorCode::kCannotWrite, path_ + ": cannot write it: it is not a regular file");
  }
  // A rename needs no permission on the file that it replaces; whoever made it read-only meant it.
  if (exists && ::access(target_.c_str(), W_OK) != 0) Fail(errno);
  if (NameOf(target_).empty()) Fail(path_.empty() ? ENOENT : EISDIR);

  // Not mkstemp: its mode 0600 would have to be widened by the umask, which cannot be read without
  // setting it for all threads.
  static std::atomic<unsigned> counter{0};
  const std::string stem = FolderOf(target_) + "/." + NameOf(target_).substr(0, kLongestStem) +
                           "." + std::to_string(::getpid()) + "-";
  for (int attempt = 0; fd_ < 0; ++attempt) {
    const std::string candidate = stem + std::to_string(counter++) + ".tmp";
    fd_ = ::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) {
      temporary_ = candidate;
    } else if (errno != EINTR && (errno != EEXIST || attempt >= 1000)) {
      Fail(errno);
    }
  }
  if (exists && ::fchmod(fd_, existing.st_mode & 0777) != 0) Fail(errno);
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      Fail(errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }

void AtomicFile::Commit() {
  if (::fsync(fd_) != 0) Fail(errno);
  // Network file systems report a full disk only here.
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0 && errno != EINTR) Fail(errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) Fail(errno);
  temporary_.clear();

  // The new file stands. If the folder cannot be synced (some file systems do not offer it), a
  // power cut may bring back the old file, which is whole too: no reason to call the write a
  // failure.
  const int folder = ::open(FolderOf(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void AtomicFile::Fail(int error) {
  Discard();
  throw Error(ErrorCode::kCannotWrite, path_ + ": cannot write it: " + Reason(error));
}

void AtomicFile::Discard() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void WriteFileAtomically(const std::string& path, std::string_view contents) {
  AtomicFile file(path);
  file.Write(contents);
  file.Commit();
}

}  // namespace cpl
