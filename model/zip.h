// SPDX-License-Identifier: Apache-2.0
//
// Zip archives of stored (uncompressed) records, as PyTorch writes them: only so much of the
// format as that needs, zip64 included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cpl {

struct ZipRecord {
  std::string_view name;
  std::span<const std::byte> data;  // As it is stored.
  std::uint32_t crc = 0;            // Of the data before they were compressed.
  std::uint16_t method = 0;         // 0: not compressed.
};

// True if a file begins as a zip archive with something in it does.
bool LooksLikeZip(std::span<const std::byte> bytes);

// The records of an archive, in the order of its directory, pointing into `bytes`; no two of them
// share a byte. `file` stands for the path in errors. Throws Error: kBadFormat (what is cut off,
// contradicts itself or reaches beyond the file), kUnsupported (naming what is encrypted, or an
// archive in parts).
// Memory is bounded by a small multiple of the directory's true size.
std::vector<ZipRecord> ReadZip(std::span<const std::byte> bytes, const std::string& file);

// CRC-32 as zip has it; `crc` is that of what came before.
std::uint32_t Crc32(std::span<const std::byte> bytes, std::uint32_t crc = 0);

// Whether the checksum in the directory is that of the data. Zero stands for none: PyTorch writes
// it where `set_crc32_options(False)` was called.
bool ChecksumHolds(const ZipRecord& record);

// Writes an archive of these records atomically (see atomic_file.h), the data of each at a multiple
// of 64 bytes as PyTorch places them. ZipRecord::crc is reckoned here. The same records give the
// same bytes. Throws Error: kCannotWrite, kUnsupported (4 GiB or more: that would take zip64).
void WriteZip(const std::string& path, const std::vector<ZipRecord>& records);

}  // namespace cpl
