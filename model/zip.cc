// SPDX-License-Identifier: Apache-2.0
#include "model/zip.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "cpl/error.h"
#include "model/quote.h"

namespace cpl {
namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;
constexpr std::size_t kLocalSize = 30;
constexpr std::size_t kCentralSize = 46;
constexpr std::size_t kEndSize = 22;
constexpr std::size_t kEnd64Size = 56;
constexpr std::size_t kLocator64Size = 20;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kEncrypted = 1 << 0 | 1 << 6 | 1 << 13;
constexpr std::uint16_t kSizesFollow = 1 << 3;  // They stand behind the data, not before it.

// Unsigned little-endian numbers out of a range that the caller has checked.
template <typename T>
T Get(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// What the end of an archive says of its directory.
struct Directory {
  std::uint64_t entries = 0;
  std::uint64_t size = 0;
  std::uint64_t begin = 0;
  std::uint64_t limit = 0;  // Where the next structure begins: the directory may not reach it.
};

// A record and the bytes that its local header and its data take up.
struct Placed {
  ZipRecord record;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(file) {}

  std::vector<ZipRecord> Read() {
    const Directory directory = FindDirectory();
    if (directory.begin > directory.limit || directory.size > directory.limit - directory.begin) {
      Bad("its directory reaches beyond the end of the file");
    }
    if (directory.entries > directory.size / kCentralSize) {
      Bad("its directory is too small for " + std::to_string(directory.entries) + " entries");
    }
    std::vector<Placed> placed;
    placed.reserve(directory.entries);
    std::size_t at = directory.begin;
    const std::size_t end = directory.begin + directory.size;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
      placed.push_back(ReadEntry(at, end, directory.begin));
    }
    if (at != end) Bad("its directory is larger than its entries");
    CheckPlaces(placed);
    std::vector<ZipRecord> records;
    records.reserve(placed.size());
    for (const Placed& item : placed) records.push_back(item.record);
    return records;
  }

 private:
  [[noreturn]] void Bad(const std::string& what) const {
    throw Error(ErrorCode::kBadFormat, file_ + ": damaged zip archive: " + what);
  }

  [[noreturn]] void Unsupported(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported, file_ + ": " + what);
  }

  Directory FindDirectory() const {
    // The end record stands at the very end, but for a comment whose length it gives.
    constexpr std::size_t kLongestComment = 0xffff;
    const std::size_t size = bytes_.size();
    std::optional<std::size_t> end;
    for (std::size_t comment = 0; comment <= kLongestComment && comment + kEndSize <= size;
         ++comment) {
      const std::size_t at = size - kEndSize - comment;
      if (Get<std::uint32_t>(bytes_, at) == kEndSignature &&
          Get<std::uint16_t>(bytes_, at + 20) == comment) {
        end = at;
        break;
      }
    }
    if (!end) Bad("it has no end record; the file may have been cut off");
    if (Get<std::uint16_t>(bytes_, *end + 4) != 0 || Get<std::uint16_t>(bytes_, *end + 6) != 0 ||
        Get<std::uint16_t>(bytes_, *end + 8) != Get<std::uint16_t>(bytes_, *end + 10)) {
      Unsupported("a zip archive in several parts; join them first");
    }
    Directory directory;
    directory.entries = Get<std::uint16_t>(bytes_, *end + 10);
    directory.size = Get<std::uint32_t>(bytes_, *end + 12);
    directory.begin = Get<std::uint32_t>(bytes_, *end + 16);
    directory.limit = *end;
    const bool has_locator =
        *end >= kLocator64Size &&
        Get<std::uint32_t>(bytes_, *end - kLocator64Size) == kLocator64Signature;
    if (has_locator) return FindDirectory64(*end - kLocator64Size, directory);
    if (directory.entries == 0xffff || directory.size == 0xffffffff ||
        directory.begin == 0xffffffff) {
      Bad("its zip64 end record is missing");
    }
    return directory;
  }

  // PyTorch always writes the zip64 records as well as the old one. Where the latter can hold a
  // number, both must agree: readers that look at one of them only would see another archive.
  Directory FindDirectory64(std::size_t locator, const Directory& old) const {
    const auto at = Get<std::uint64_t>(bytes_, locator + 8);
    if (Get<std::uint32_t>(bytes_, locator + 4) != 0 ||
        Get<std::uint32_t>(bytes_, locator + 16) != 1) {
      Unsupported("a zip archive in several parts; join them first");
    }
    if (locator < kEnd64Size || at > locator - kEnd64Size ||
        Get<std::uint32_t>(bytes_, at) != kEnd64Signature) {
      Bad("its zip64 end record is not where it should be");
    }
    if (Get<std::uint32_t>(bytes_, at + 16) != 0 || Get<std::uint32_t>(bytes_, at + 20) != 0) {
      Unsupported("a zip archive in several parts; join them first");
    }
    Directory directory;
    directory.entries = Get<std::uint64_t>(bytes_, at + 32);
    directory.size = Get<std::uint64_t>(bytes_, at + 40);
    directory.begin = Get<std::uint64_t>(bytes_, at + 48);
    directory.limit = at;
    const auto disagree = [](std::uint64_t narrow, std::uint64_t wide, std::uint64_t full) {
      return narrow != full && narrow != wide;
    };
    if (Get<std::uint64_t>(bytes_, at + 24) != directory.entries ||
        disagree(old.entries, directory.entries, 0xffff) ||
        disagree(old.size, directory.size, 0xffffffff) ||
        disagree(old.begin, directory.begin, 0xffffffff)) {
      Bad("its two end records contradict each other");
    }
    return directory;
  }

  // Reads the entry of the directory at `at` and moves on. Data end before `limit`.
  Placed ReadEntry(std::size_t& at, std::size_t end, std::size_t limit) const {
    if (end - at < kCentralSize || Get<std::uint32_t>(bytes_, at) != kCentralSignature) {
      Bad("its directory is cut off, or something else stands in its place");
    }
    const auto flags = Get<std::uint16_t>(bytes_, at + 8);
    const auto method = Get<std::uint16_t>(bytes_, at + 10);
    const std::size_t name_size = Get<std::uint16_t>(bytes_, at + 28);
    const std::size_t extra_size = Get<std::uint16_t>(bytes_, at + 30);
    const std::size_t comment_size = Get<std::uint16_t>(bytes_, at + 32);
    if (end - at - kCentralSize < name_size + extra_size + comment_size) {
      Bad("its directory is cut off");
    }
    Placed placed;
    placed.record.name = Text(at + kCentralSize, name_size);
    const std::string name = QuoteForError(placed.record.name);
    if (flags & kEncrypted) Unsupported("record " + name + " is encrypted");
    placed.record.method = method;
    placed.record.crc = Get<std::uint32_t>(bytes_, at + 16);
    std::uint64_t packed = Get<std::uint32_t>(bytes_, at + 20);
    std::uint64_t size = Get<std::uint32_t>(bytes_, at + 24);
    placed.begin = Get<std::uint32_t>(bytes_, at + 42);
    ReadZip64(bytes_.subspan(at + kCentralSize + name_size, extra_size), name,
              {&size, &packed, &placed.begin});
    if (Get<std::uint16_t>(bytes_, at + 34) != 0) Unsupported("a zip archive in several parts");
    if (method == 0 && packed != size) Bad("record " + name + " has two sizes");
    at += kCentralSize + name_size + extra_size + comment_size;

    if (placed.begin > limit || limit - placed.begin < kLocalSize) {
      Bad("record " + name + " lies beyond the end of the file");
    }
    const std::size_t local = placed.begin;
    if (Get<std::uint32_t>(bytes_, local) != kLocalSignature) {
      Bad("record " + name + " is not where the directory says");
    }
    const std::size_t local_name = Get<std::uint16_t>(bytes_, local + 26);
    const std::size_t local_extra = Get<std::uint16_t>(bytes_, local + 28);
    const std::size_t room = limit - local - kLocalSize;
    if (room < local_name + local_extra || room - local_name - local_extra < packed) {
      Bad("record " + name + " lies beyond the end of the file");
    }
    // Readers that go by the local headers must see the same archive.
    const auto local_flags = Get<std::uint16_t>(bytes_, local + 6);
    const auto local_size = Get<std::uint32_t>(bytes_, local + 22);
    const bool sizes_follow = (local_flags & kSizesFollow) != 0 && local_size == 0;
    if (Text(local + kLocalSize, local_name) != placed.record.name ||
        Get<std::uint16_t>(bytes_, local + 8) != method || (local_flags & kEncrypted) != 0 ||
        (!sizes_follow && local_size != 0xffffffff && local_size != size)) {
      Bad("record " + name + " is another one in its own header than in the directory");
    }
    const std::size_t data = local + kLocalSize + local_name + local_extra;
    placed.record.data = bytes_.subspan(data, packed);
    placed.end = data + packed;
    return placed;
  }

  // Takes the numbers that the fixed part of the entry had no room for out of its extra field.
  void ReadZip64(std::span<const std::byte> extra, const std::string& name,
                 const std::array<std::uint64_t*, 3>& numbers) const {
    const auto wanted = [](const std::uint64_t* number) { return *number == 0xffffffff; };
    if (std::none_of(numbers.begin(), numbers.end(), wanted)) return;
    for (std::size_t at = 0; extra.size() - at >= 4;) {
      const auto id = Get<std::uint16_t>(extra, at);
      const std::size_t size = Get<std::uint16_t>(extra, at + 2);
      if (size > extra.size() - at - 4) break;
      if (id == kZip64Extra) {
        std::size_t used = 0;
        for (std::uint64_t* number : numbers) {
          if (!wanted(number)) continue;
          if (size - used < 8) Bad("record " + name + " has an incomplete zip64 field");
          *number = Get<std::uint64_t>(extra, at + 4 + used);
          used += 8;
        }
        return;
      }
      at += 4 + size;
    }
    Bad("record " + name + " has no zip64 field and needs one");
  }

  // No record twice, no byte in two records: a small file cannot hold much.
  void CheckPlaces(const std::vector<Placed>& placed) const {
    std::vector<const Placed*> sorted;
    sorted.reserve(placed.size());
    for (const Placed& item : placed) sorted.push_back(&item);
    std::sort(sorted.begin(), sorted.end(),
              [](const Placed* a, const Placed* b) { return a->begin < b->begin; });
    std::uint64_t free = 0;
    for (const Placed* item : sorted) {
      if (item->begin < free) {
        Bad("record " + QuoteForError(item->record.name) + " overlaps another one");
      }
      free = item->end;
    }
    std::sort(sorted.begin(), sorted.end(),
              [](const Placed* a, const Placed* b) { return a->record.name < b->record.name; });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if (sorted[i]->record.name == sorted[i - 1]->record.name) {
        Bad("two records have the name " + QuoteForError(sorted[i]->record.name));
      }
    }
  }

  std::string_view Text(std::size_t at, std::size_t size) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + at, size};
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
};

}  // namespace

bool LooksLikeZip(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && Get<std::uint32_t>(bytes, 0) == kLocalSignature;
}

std::vector<ZipRecord> ReadZip(std::span<const std::byte> bytes, const std::string& file) {
  return ZipReader(bytes, file).Read();
}

std::uint32_t Crc32(std::span<const std::byte> bytes, std::uint32_t crc) {
  // Eight tables, so that eight bytes take one step (Intel's "slicing by 8").
  using Tables = std::array<std::array<std::uint32_t, 256>, 8>;
  static const Tables tables = [] {
    Tables t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0u);
      t[0][i] = value;
    }
    for (std::size_t k = 1; k < t.size(); ++k) {
      for (std::size_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 0xff];
    }
    return t;
  }();
  std::uint32_t value = ~crc;
  std::size_t at = 0;
  for (; bytes.size() - at >= 8; at += 8) {
    const std::uint32_t low = value ^ Get<std::uint32_t>(bytes, at);
    const auto high = Get<std::uint32_t>(bytes, at + 4);
    value = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
            tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
            tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
  }
  for (; at < bytes.size(); ++at) {
    value = value >> 8 ^ tables[0][(value ^ std::to_integer<std::uint32_t>(bytes[at])) & 0xff];
  }
  return ~value;
}

bool ChecksumHolds(const ZipRecord& record) {
  return record.crc == 0 || Crc32(record.data) == record.crc;
}

}  // namespace cpl
