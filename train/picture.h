// SPDX-License-Identifier: Apache-2.0
//
// Pictures of a training set: pixels at hand, or files that are decoded when somebody looks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <opencv2/core.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cpl::train {

// Decoded files, the least recently used of which make way for others. What is decoded is what
// ReadRgb gives (CV_8UC3). Thread-safe; two threads may decode the same file at once.
class PictureCache {
 public:
  // Holds about `budget` bytes of pixels, and one picture whatever its size.
  explicit PictureCache(std::size_t budget) : budget_(budget) {}

  // Remembers the file with its size and time of change. The same path gives the same number.
  // Throws Error(kCannotRead) if it is not there.
  int Add(const std::string& path);

  // The pixels, shared: never write to them. Throws what ReadRgb throws, and Error(kCannotRead) if
  // the file is not the one that was added: a training set must not change under a run.
  cv::Mat Get(int number);

  std::string Path(int number) const;
  // Bytes of pixels that are held.
  std::size_t Used() const;
  std::size_t budget() const { return budget_; }

 private:
  struct File {
    std::string path;
    std::int64_t changed = 0;  // ns
    std::int64_t size = 0;
    cv::Mat pixels;
    std::list<int>::iterator place;  // in recent_, if there are pixels
  };

  const std::size_t budget_;
  mutable std::mutex mutex_;
  std::vector<File> files_;
  std::unordered_map<std::string, int> numbers_;
  std::list<int> recent_;  // the last is the next to go
  std::size_t used_ = 0;
};

// A value; copies share pixels and cache.
class Picture {
 public:
  Picture() = default;
  Picture(cv::Mat pixels) : pixels_(std::move(pixels)) {}  // NOLINT(runtime/explicit)
  Picture(std::shared_ptr<PictureCache> cache, int number)
      : cache_(std::move(cache)), number_(number) {}

  // CV_8UC3, shared. Throws as PictureCache::Get.
  cv::Mat Get() const { return cache_ ? cache_->Get(number_) : pixels_; }
  // For people: the file, or nothing.
  std::string Path() const { return cache_ ? cache_->Path(number_) : std::string(); }

 private:
  cv::Mat pixels_;
  std::shared_ptr<PictureCache> cache_;
  int number_ = 0;
};

}  // namespace cpl::train
