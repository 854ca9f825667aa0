// SPDX-License-Identifier: Apache-2.0
#include "train/footage.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cpl/error.h"
#include "degrade/degrade.h"
#include "train/dataset.h"
#include "train/image_io.h"
#include "train/interrupt.h"
#include "train/output_file.h"
#include "train/video_io.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

constexpr double kKeptBack = 0.2;
constexpr int kClips = 3;  // of each kind and part
constexpr int kClipFrames = 8;
// Larger frames are cut to their middle for the measurements, which are to take little of the time.
constexpr int kMostWidth = 768, kMostHeight = 448;

int CountFrames(const std::string& path) {
  VideoReader reader(path);
  VideoFrame frame;
  int count = 0;
  while (reader.Next(&frame)) {
    ++count;
    CheckInterrupt();
  }
  return count;
}

Footage VideoFootage(const std::string& path) {
  Footage footage{
      .path = fs::absolute(path).lexically_normal().string(), .video = true, .clip = true};
  footage.count = CountFrames(path);
  return footage;
}

}  // namespace

int Footage::trained() const { return count - std::max(2, static_cast<int>(kKeptBack * count)); }

int Footage::chosen() const { return trained() + (count - trained()) / 2; }

std::vector<Footage> FindFootage(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw Error(ErrorCode::kNotFound, path + ": no such file or folder (--clean)");
  }
  if (!fs::is_directory(path, error)) return {VideoFootage(path)};
  Footage pictures{.path = fs::absolute(path).lexically_normal().string()};
  pictures.files = ListImages(path);
  pictures.clip = IsNumberedClip(pictures.files);
  pictures.count = static_cast<int>(pictures.files.size());
  std::vector<Footage> all;
  if (pictures.count > 0) all.push_back(pictures);
  std::vector<std::string> others;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name[0] != '.' && !IsImageName(name)) {
      others.push_back(entry.path().string());
    }
  }
  std::sort(others.begin(), others.end(), NaturalLess);
  for (const std::string& other : others) {
    try {
      all.push_back(VideoFootage(other));
    } catch (const Error& skipped) {
      std::fprintf(stderr, "left out: %s\n", skipped.what());
    }
  }
  return all;
}

namespace {

cv::Mat Middle(const cv::Mat& frame) {
  const cv::Size size(std::min(frame.cols, kMostWidth), std::min(frame.rows, kMostHeight));
  return frame(cv::Rect((frame.cols - size.width) / 2, (frame.rows - size.height) / 2, size.width,
                        size.height))
      .clone();
}

// Stretches of a part: `clips` of them, evenly spread.
std::vector<std::vector<cv::Mat>> KeptBack(const Footage& footage, Part part, int clips) {
  const int first = part == Part::kChoice ? footage.trained() : footage.chosen();
  const int end = part == Part::kChoice ? footage.chosen() : footage.count;
  const int held = end - first;
  const int length = footage.clip ? std::min(kClipFrames, held) : 1;
  clips = std::min(clips, held / length);
  std::vector<int> starts;
  for (int k = 0; k < clips; ++k) {
    starts.push_back(first + (clips == 1 ? 0 : k * (held - length) / (clips - 1)));
  }
  std::vector<std::vector<cv::Mat>> found(starts.size());
  const auto take = [&](int at, const auto& pixels) {
    for (std::size_t k = 0; k < starts.size(); ++k) {
      if (at >= starts[k] && at < starts[k] + length) found[k].push_back(Middle(pixels()));
    }
  };
  if (!footage.video) {
    for (int at = first; at < end; ++at) {
      take(at, [&] { return ReadRgb(footage.files[at]); });
    }
    return found;
  }
  VideoReader reader(footage.path);
  VideoFrame frame;
  for (int at = 0; at < end && reader.Next(&frame); ++at) take(at, [&] { return frame.ToRgb(); });
  return found;
}

}  // namespace

cv::Size WriteKeptBack(const std::string& folder, const std::vector<Footage>& all, Part part,
                       const std::vector<std::string>& prompts) {
  const int each = std::max(1, kClips / static_cast<int>(all.size()));
  // Weather of its own for each part.
  const int first_seed = part == Part::kChoice ? 2000 : 1000;
  int number = 0;
  cv::Size least;
  for (const Footage& footage : all) {
    for (const std::vector<cv::Mat>& clip : KeptBack(footage, part, each)) {
      ++number;
      for (const std::string& prompt : prompts) {
        const fs::path place = fs::path(folder) / prompt / ("clip" + std::to_string(number));
        MakeFolder((place / "input").string());
        MakeFolder((place / "target").string());
        const int width = clip[0].cols, height = clip[0].rows;
        least = number == 1
                    ? clip[0].size()
                    : cv::Size(std::min(least.width, width), std::min(least.height, height));
        degrade::Degrader degrader(
            degrade::SpecForLevel(degrade::ParseKinds(prompt), 0.5,
                                  static_cast<std::uint64_t>(first_seed + number), height),
            width, height);
        std::vector<float> pixels(static_cast<std::size_t>(width) * height * 3);
        const degrade::ImageView view{pixels.data(), width, height,
                                      static_cast<std::ptrdiff_t>(width) * 3};
        for (std::size_t t = 0; t < clip.size(); ++t) {
          char name[16];
          std::snprintf(name, sizeof(name), "%04d.png", static_cast<int>(t));
          cv::Mat input(height, width, CV_8UC3);
          degrade::FromU8(clip[t].data, static_cast<std::ptrdiff_t>(clip[t].step), view);
          degrader.Apply(view, static_cast<std::int64_t>(t));
          degrade::ToU8(view, input.data, static_cast<std::ptrdiff_t>(input.step));
          WriteImage((place / "input" / name).string(), input);
          WriteImage((place / "target" / name).string(), clip[t]);
        }
        CheckInterrupt();
      }
    }
  }
  return least;
}

}  // namespace cpl::train
