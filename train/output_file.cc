// SPDX-License-Identifier: Apache-2.0
#include "train/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cpl/error.h"

namespace cpl::train {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void ThrowCannotWrite(const std::string& path, int error) {
  throw Error(ErrorCode::kCannotWrite, path + ": cannot be written: " + std::strerror(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path), part_path_(path + ".part") {
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    part_path_.clear();
    throw Error(ErrorCode::kCannotWrite, path + ": is a folder; name a file to write");
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ec)) {
    part_path_.clear();
    throw Error(ErrorCode::kCannotWrite,
                path + ": cannot be written: there is no folder " + folder.string());
  }
}

OutputFile::~OutputFile() {
  if (!part_path_.empty()) unlink(part_path_.c_str());
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), part_path_(std::exchange(other.part_path_, {})) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(part_path_, other.part_path_);
  return *this;
}

void OutputFile::Commit() {
  {
    const Descriptor file(open(part_path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0 || fsync(file.get()) != 0) ThrowCannotWrite(path_, errno);
  }
  if (std::rename(part_path_.c_str(), path_.c_str()) != 0) ThrowCannotWrite(path_, errno);
  part_path_.clear();
}

void RefuseSameFile(const std::string& in, const std::string& out) {
  std::error_code ec;
  if (fs::equivalent(in, out, ec)) {
    throw Error(ErrorCode::kInvalidArgument,
                out + ": is the input itself, which is never overwritten; name another output");
  }
}

void MakeFolder(const std::string& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec || !fs::is_directory(path)) {
    throw Error(ErrorCode::kCannotWrite,
                path + ": the folder cannot be made: " + (ec ? ec.message() : "a file is there"));
  }
}

}  // namespace cpl::train
