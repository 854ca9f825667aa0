// SPDX-License-Identifier: Apache-2.0
#include "train/picture.h"

#include <sys/stat.h>

#include "cpl/error.h"
#include "train/image_io.h"

namespace cpl::train {
namespace {

struct Stamp {
  std::int64_t changed = -1;
  std::int64_t size = -1;
  bool operator==(const Stamp&) const = default;
};

Stamp StampOf(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return {};
  return {status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec, status.st_size};
}

[[noreturn]] void FailChanged(const std::string& path) {
  throw Error(ErrorCode::kCannotRead,
              path +
                  ": was changed or removed after the training set was listed; leave the set alone "
                  "while it is read, and start again (a run goes on with --resume)");
}

}  // namespace

int PictureCache::Add(const std::string& path) {
  const Stamp stamp = StampOf(path);
  if (stamp.size < 0) FailChanged(path);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto [entry, fresh] = numbers_.emplace(path, static_cast<int>(files_.size()));
  if (fresh) files_.push_back({path, stamp.changed, stamp.size, {}, {}});
  return entry->second;
}

std::string PictureCache::Path(int number) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return files_[number].path;
}

std::size_t PictureCache::Used() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

cv::Mat PictureCache::Get(int number) {
  std::string path;
  Stamp expected;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    File& file = files_[number];
    if (!file.pixels.empty()) {
      recent_.splice(recent_.begin(), recent_, file.place);
      return file.pixels;
    }
    path = file.path;
    expected = {file.changed, file.size};
  }
  if (StampOf(path) != expected) FailChanged(path);
  cv::Mat pixels = ReadRgb(path);
  if (StampOf(path) != expected) FailChanged(path);

  const std::lock_guard<std::mutex> lock(mutex_);
  File& file = files_[number];
  if (file.pixels.empty()) {
    file.pixels = pixels;
    recent_.push_front(number);
    file.place = recent_.begin();
    used_ += pixels.total() * pixels.elemSize();
    while (used_ > budget_ && recent_.size() > 1) {
      File& oldest = files_[recent_.back()];
      used_ -= oldest.pixels.total() * oldest.pixels.elemSize();
      oldest.pixels.release();
      recent_.pop_back();
    }
  }
  return pixels;
}

}  // namespace cpl::train
