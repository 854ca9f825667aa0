// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "cpl/error.h"
#include "model/atomic_file.h"
#include "model/zip.h"

namespace cpl {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLocalSize = 30;
constexpr std::size_t kExtraHeader = 4;
constexpr std::uint64_t kLargest = 0xfffffffe;  // 0xffffffff means "see the zip64 field".
constexpr std::uint64_t kMostRecords = 0xfffe;

void Put(std::string& text, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
}

// What a local header and a directory entry have in common, from "version needed" on.
std::string CommonPart(const ZipRecord& record, std::uint32_t crc, std::size_t extra) {
  std::string text;
  Put(text, 20, 2);       // Version needed: 2.0.
  Put(text, 1 << 11, 2);  // The name is UTF-8.
  Put(text, 0, 2);        // Stored.
  Put(text, 0, 2);        // Midnight ...
  Put(text, 0x21, 2);     // ... of 1980-01-01: the same input gives the same bytes.
  Put(text, crc, 4);
  Put(text, record.data.size(), 4);
  Put(text, record.data.size(), 4);
  Put(text, record.name.size(), 2);
  Put(text, extra, 2);
  return text;
}

}  // namespace

void WriteZip(const std::string& path, const std::vector<ZipRecord>& records) {
  std::uint64_t total = 0;
  for (const ZipRecord& record : records) {
    total += record.data.size() + 2 * record.name.size() + 256;
  }
  if (total > kLargest || records.size() > kMostRecords) {
    throw Error(ErrorCode::kUnsupported,
                path +
                    ": cannot write it: .pth files of 4 GiB or more are not supported; write a "
                    ".safetensors file");
  }
  AtomicFile file(path);
  std::string directory;
  std::uint64_t at = 0;
  for (const ZipRecord& record : records) {
    const std::uint32_t crc = Crc32(record.data);
    const std::uint64_t least = at + kLocalSize + record.name.size() + kExtraHeader;
    const std::size_t padding = (kAlignment - least % kAlignment) % kAlignment;
    std::string local;
    Put(local, 0x04034b50, 4);
    local += CommonPart(record, crc, kExtraHeader + padding);
    local += record.name;
    local += "FB";  // The extra field that PyTorch pads with.
    Put(local, padding, 2);
    local.append(padding, 'Z');
    file.Write(local);
    file.Write(record.data);

    Put(directory, 0x02014b50, 4);
    Put(directory, 20, 2);  // Version made by.
    directory += CommonPart(record, crc, 0);
    Put(directory, 0, 2);  // Comment, ...
    Put(directory, 0, 2);  // ... part, ...
    Put(directory, 0, 2);  // ... internal ...
    Put(directory, 0, 4);  // ... and external attributes.
    Put(directory, at, 4);
    directory += record.name;
    at += local.size() + record.data.size();
  }
  const std::size_t directory_size = directory.size();
  Put(directory, 0x06054b50, 4);
  Put(directory, 0, 4);
  Put(directory, records.size(), 2);
  Put(directory, records.size(), 2);
  Put(directory, directory_size, 4);
  Put(directory, at, 4);
  Put(directory, 0, 2);
  file.Write(directory);
  file.Commit();
}

}  // namespace cpl
