// SPDX-License-Identifier: Apache-2.0
#include "train/mp4_rotation.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>

#include "cpl/error.h"

namespace cpl::train {
namespace {

constexpr std::uint32_t kOne = 0x00010000;  // 16.16 fixed point
constexpr std::uint32_t kMinusOne = 0xFFFF0000;

// a, b, c, d of x' = a x + c y + tx, y' = b x + d y + ty.
bool Turn(const std::string& orientation, std::array<std::uint32_t, 4>* abcd) {
  if (orientation == "rotate-90") {
    *abcd = {0, kOne, kMinusOne, 0};
  } else if (orientation == "rotate-180") {
    *abcd = {kMinusOne, 0, 0, kMinusOne};
  } else if (orientation == "rotate-270") {
    *abcd = {0, kMinusOne, kOne, 0};
  } else {
    return false;
  }
  return true;
}

class Mp4 {
 public:
  explicit Mp4(const std::string& path)
      : path_(path), file_(path, std::ios::binary | std::ios::in | std::ios::out) {
    file_.seekg(0, std::ios::end);
    size_ = static_cast<std::uint64_t>(file_.tellg());
    if (!file_) throw Error(ErrorCode::kCannotWrite, path + ": cannot be opened again");
  }

  std::uint64_t size() const { return size_; }

  std::uint64_t Read(std::uint64_t at, int bytes) {
    unsigned char buffer[8] = {};
    file_.seekg(static_cast<std::streamoff>(at));
    file_.read(reinterpret_cast<char*>(buffer), bytes);
    if (!file_) throw Error(ErrorCode::kBadFormat, path_ + ": a box of it reaches beyond its end");
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | buffer[i];
    return value;
  }

  void Write(std::uint64_t at, std::uint32_t value) {
    const unsigned char buffer[4] = {
        static_cast<unsigned char>(value >> 24), static_cast<unsigned char>(value >> 16),
        static_cast<unsigned char>(value >> 8), static_cast<unsigned char>(value)};
    file_.seekp(static_cast<std::streamoff>(at));
    file_.write(reinterpret_cast<const char*>(buffer), 4);
  }

  // Calls `visit` with the content of each box of this type in [begin, end).
  void ForEach(std::uint64_t begin, std::uint64_t end, const char* type,
               const std::function<void(std::uint64_t, std::uint64_t)>& visit) {
    std::uint64_t wanted = 0;
    for (int i = 0; i < 4; ++i) wanted = wanted << 8 | static_cast<unsigned char>(type[i]);
    while (begin + 8 <= end) {
      std::uint64_t length = Read(begin, 4);
      std::uint64_t header = 8;
      if (length == 1) {
        length = Read(begin + 8, 8);
        header = 16;
      } else if (length == 0) {
        length = end - begin;
      }
      if (length < header || length > end - begin) {
        throw Error(ErrorCode::kBadFormat, path_ + ": a box of it reaches beyond its end");
      }
      if (Read(begin + 4, 4) == wanted) visit(begin + header, begin + length);
      begin += length;
    }
  }

  void Close() {
    file_.close();
    if (!file_) throw Error(ErrorCode::kCannotWrite, path_ + ": cannot be written");
  }

 private:
  std::string path_;
  std::fstream file_;
  std::uint64_t size_ = 0;
};

}  // namespace

bool HasMp4Rotation(const std::string& orientation) {
  std::array<std::uint32_t, 4> ignored;
  return Turn(orientation, &ignored);
}

void SetMp4Rotation(const std::string& path, const std::string& orientation) {
  std::array<std::uint32_t, 4> turn;
  if (!Turn(orientation, &turn)) {
    throw Error(ErrorCode::kInvalidArgument, path + ": no rotation is called " + orientation);
  }
  Mp4 file(path);
  int tracks = 0;
  const auto on_track = [&](std::uint64_t begin, std::uint64_t end) {
    bool video = false;
    file.ForEach(begin, end, "mdia", [&](std::uint64_t media, std::uint64_t media_end) {
      file.ForEach(media, media_end, "hdlr", [&](std::uint64_t handler, std::uint64_t) {
        video = video || file.Read(handler + 8, 4) == 0x76696465;  // "vide"
      });
    });
    if (!video) return;
    file.ForEach(begin, end, "tkhd", [&](std::uint64_t header, std::uint64_t) {
      // After version and flags: times, id and duration of 20 or 32 bytes, then 16 of layer, group
      // and volume; the matrix; width and height in 16.16.
      const std::uint64_t matrix = header + 4 + (file.Read(header, 1) == 1 ? 32 : 20) + 16;
      const auto width = static_cast<std::uint32_t>(file.Read(matrix + 36, 4));
      const auto height = static_cast<std::uint32_t>(file.Read(matrix + 40, 4));
      const auto [a, b, c, d] = turn;
      // Moves the turned picture back to where x and y begin.
      const std::uint32_t tx = a == kMinusOne ? width : c == kMinusOne ? height : 0;
      const std::uint32_t ty = d == kMinusOne ? height : b == kMinusOne ? width : 0;
      const std::uint32_t rows[] = {a, b, 0, c, d, 0, tx, ty, 0x40000000};
      for (std::uint64_t i = 0; i < 9; ++i) file.Write(matrix + 4 * i, rows[i]);
      ++tracks;
    });
  };
  file.ForEach(0, file.size(), "moov", [&](std::uint64_t begin, std::uint64_t end) {
    file.ForEach(begin, end, "trak", on_track);
  });
  file.Close();
  if (tracks == 0) throw Error(ErrorCode::kBadFormat, path + ": holds no video track to turn");
}

}  // namespace cpl::train
