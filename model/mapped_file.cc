// SPDX-License-Identifier: Apache-2.0
#include "model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "cpl/error.h"

namespace cpl {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void CannotRead(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    throw Error(ErrorCode::kNotFound, path + ": there is no such file");
  }
  throw Error(ErrorCode::kCannotRead,
              path + ": cannot read it: " + std::generic_category().message(error));
}

std::shared_ptr<const void> ReadWhole(int fd, std::size_t size, const std::string& path) {
  std::shared_ptr<std::byte[]> bytes(new std::byte[size]);
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::read(fd, bytes.get() + done, size - done);
    if (got < 0) {
      if (errno == EINTR) continue;
      CannotRead(path, errno);
    }
    if (got == 0) {
      throw Error(ErrorCode::kBadFormat, path + ": the file became shorter while it was read");
    }
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::shared_ptr<const void> MapWhole(int fd, std::size_t size, const std::string& path) {
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) CannotRead(path, errno);
  return {address, [size](void* mapped) { ::munmap(mapped, size); }};
}

}  // namespace

MappedFile MappedFile::Open(const std::string& path) {
  // Without O_NONBLOCK a FIFO would make the caller wait for a writer.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) CannotRead(path, errno);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) CannotRead(path, errno);
  if (S_ISDIR(status.st_mode)) CannotRead(path, EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::kCannotRead, path + ": cannot read it: it is not a regular file");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  MappedFile file;
  file.owner = size < kMapFrom ? ReadWhole(fd.get(), size, path) : MapWhole(fd.get(), size, path);
  file.bytes = {static_cast<const std::byte*>(file.owner.get()), size};
  return file;
}

}  // namespace cpl
