// SPDX-License-Identifier: Apache-2.0
#include "model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "cpl/error.h"
#include "model/atomic_file.h"
#include "model/safetensors_header.h"

static_assert(std::endian::native == std::endian::little, "the file holds little-endian data");

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

SafetensorsFile SafetensorsFile::Open(const std::string& path) {
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
  std::shared_ptr<const void> owner =
      size < kMapFrom ? ReadWhole(fd.get(), size, path) : MapWhole(fd.get(), size, path);
  SafetensorsFile file = Parse({static_cast<const std::byte*>(owner.get()), size}, path);
  file.owner_ = std::move(owner);
  return file;
}

SafetensorsFile SafetensorsFile::Parse(std::span<const std::byte> bytes, const std::string& name) {
  SafetensorsHeader header = ParseSafetensorsHeader(bytes, name);
  SafetensorsFile file;
  file.name_ = name;
  file.metadata_ = std::move(header.metadata);
  file.tensors_ = std::move(header.tensors);
  for (std::size_t i = 0; i < file.tensors_.size(); ++i) {
    if (!file.index_.emplace(file.tensors_[i].name, i).second) {
      throw Error(ErrorCode::kBadFormat,
                  name + ": two tensors have the name " + QuoteForError(file.tensors_[i].name));
    }
  }
  return file;
}

const TensorView* SafetensorsFile::Find(std::string_view tensor) const {
  const auto found = index_.find(tensor);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                      const SafetensorsMetadata& metadata) {
  const auto refuse = [&path](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, path + ": cannot write it: " + what);
  };
  std::vector<const TensorView*> sorted;
  sorted.reserve(tensors.size());
  for (const TensorView& tensor : tensors) {
    const std::optional<std::uint64_t> size = TensorBytes(tensor.shape, tensor.dtype);
    if (!size || *size != tensor.data.size()) {
      refuse("tensor " + QuoteForError(tensor.name) +
             " has data that do not fit its shape and type");
    }
    if (tensor.name == kSafetensorsMetadataKey)
      refuse("no tensor may have the name \"__metadata__\"");
    sorted.push_back(&tensor);
  }
  std::sort(sorted.begin(), sorted.end(), [](const TensorView* a, const TensorView* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  std::vector<std::string_view> names;
  names.reserve(sorted.size());
  for (const TensorView* tensor : sorted) names.push_back(tensor->name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) refuse("two tensors have the name " + QuoteForError(*twice));

  std::string header;
  try {
    header = MakeSafetensorsHeader(sorted, metadata);
  } catch (const nlohmann::json::exception&) {
    refuse("the name of a tensor or a text of the metadata is not valid UTF-8");
  }
  if (header.size() > kLongestSafetensorsHeader) refuse("its header would be larger than 100 MB");

  std::string prefix;
  for (std::size_t i = 0; i < kSafetensorsPrefix; ++i) {
    prefix += static_cast<char>(header.size() >> (8 * i) & 0xff);
  }
  AtomicFile file(path);
  file.Write(prefix + header);
  for (const TensorView* tensor : sorted) file.Write(tensor->data);
  file.Commit();
}

}  // namespace cpl
