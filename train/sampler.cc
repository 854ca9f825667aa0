// SPDX-License-Identifier: Apache-2.0
#include "train/sampler.h"

#include <algorithm>
#include <filesystem>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "cpl/error.h"
#include "degrade/degrade.h"
#include "model/pixels.h"
#include "train/image_io.h"
#include "train/video_io.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;
using degrade::Kind;
using degrade::KindSet;
using degrade::Rng;

// Streams of random numbers: what differs in its last part never meets.
constexpr std::uint64_t kSceneStream = 1;
constexpr std::uint64_t kWeatherStream = 2;

// What joins another degradation.
constexpr Kind kWeather[] = {Kind::kNoise, Kind::kRain, Kind::kSnow, Kind::kHaze};

// Numbered frames of one clip: names of digits alone, equally long, without gaps.
bool IsNumberedClip(const std::vector<std::string>& files) {
  if (files.size() < 2) return false;
  long long previous = -1;
  std::size_t length = 0;
  for (const std::string& file : files) {
    const std::string stem = fs::path(file).stem().string();
    if (stem.empty() || stem.size() > 18 ||
        !std::all_of(stem.begin(), stem.end(), [](unsigned char c) { return std::isdigit(c); })) {
      return false;
    }
    const long long number = std::stoll(stem);
    if (previous >= 0 && (number != previous + 1 || stem.size() != length)) return false;
    previous = number;
    length = stem.size();
  }
  return true;
}

void JpegRoundTrip(cv::Mat& rgb, int quality) {
  // The order of the channels only decides which of them is treated as blue; keep it right.
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<unsigned char> bytes;
  cv::imencode(".jpg", bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, quality});
  cv::cvtColor(cv::imdecode(bytes, cv::IMREAD_COLOR), rgb, cv::COLOR_BGR2RGB);
}

void ToCells(const cv::Mat& rgb, float* cells) {
  ConstFrameView view;
  view.format = PixelFormat::kRGB;
  view.range = ColorRange::kFull;
  view.width = rgb.cols;
  view.height = rgb.rows;
  view.plane[0] = rgb.data;
  view.stride[0] = static_cast<std::ptrdiff_t>(rgb.step);
  const int across = CellsAcross(rgb.cols);
  for (int y = 0; y < CellsAcross(rgb.rows); ++y) {
    ReadCellRow(view, y, cells + static_cast<std::size_t>(y) * across * kCellChannels);
  }
}

// Takes over from `other` what it has and `spec` lacks.
void Merge(degrade::Spec& spec, const degrade::Spec& other) {
  if (other.noise) spec.noise = other.noise;
  if (other.rain) spec.rain = other.rain;
  if (other.snow) spec.snow = other.snow;
  if (other.haze) spec.haze = other.haze;
  if (other.blur) spec.blur = other.blur;
  if (other.low_light) spec.low_light = other.low_light;
}

}  // namespace

Sampler::Sampler(const Recipe& recipe) : recipe_(recipe) {
  for (const Source& source : recipe.sources) Load(source);
}

void Sampler::Load(const Source& source) {
  std::vector<ClipSource> found;
  const auto keep = [&](int index) {
    return index >= source.first && (source.last == 0 || index < source.last);
  };
  if (fs::is_directory(source.path)) {
    const std::vector<std::string> files = ListImages(source.path);
    const bool clip = IsNumberedClip(files);
    ClipSource frames;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (clip && !keep(static_cast<int>(i))) continue;
      cv::Mat picture;
      try {
        picture = ReadRgb(files[i]);
      } catch (const Error&) {
        report_.unreadable.push_back(files[i]);
        continue;
      }
      if (!clip) {
        found.push_back({{picture}});
      } else if (frames.frames.empty() || frames.frames[0].size() == picture.size()) {
        frames.frames.push_back(picture);
      } else {
        report_.unreadable.push_back(files[i] + " (its size differs from the clip's)");
      }
    }
    if (!frames.frames.empty()) found.push_back(frames);
  } else {
    VideoReader reader(source.path);
    ClipSource frames;
    VideoFrame frame;
    for (int i = 0; reader.Next(&frame) && (source.last == 0 || i < source.last); ++i) {
      if (keep(i)) frames.frames.push_back(frame.ToRgb());
    }
    if (!frames.frames.empty()) found.push_back(frames);
  }
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound,
                source.path + ": holds no readable picture" +
                    (report_.unreadable.empty()
                         ? std::string()
                         : " (first that failed: " + report_.unreadable.front() + ")"));
  }
  const double before = cumulative_.empty() ? 0 : cumulative_.back();
  for (std::size_t i = 0; i < found.size(); ++i) {
    cumulative_.push_back(before + source.weight * static_cast<double>(i + 1) /
                                       static_cast<double>(found.size()));
    if (found[i].frames.size() == 1) {
      ++report_.photos;
    } else {
      ++report_.clips;
      report_.frames += static_cast<int>(found[i].frames.size());
    }
    sources_.push_back(std::move(found[i]));
  }
}

void Sampler::MakeSample(const Stage& stage, std::int64_t step, int index, int slot,
                         Group& group) const {
  Rng scene(recipe_.seed, static_cast<std::uint64_t>(step), index, kSceneStream);
  Rng weather(recipe_.seed, static_cast<std::uint64_t>(step), index, kWeatherStream);
  const double draw = scene.Uniform() * cumulative_.back();
  const std::size_t which = std::min<std::size_t>(
      std::upper_bound(cumulative_.begin(), cumulative_.end(), draw) - cumulative_.begin(),
      sources_.size() - 1);
  std::vector<cv::Mat> clean = MakeCleanClip(sources_, which, scene, stage.patch, stage.frames);

  const std::string& prompt = recipe_.prompts[group.prompt];
  const KindSet kinds = degrade::ParseKinds(prompt);
  degrade::Spec spec;
  int clean_quality = 0;
  if (kinds.Empty()) {
    // What a clear camera delivers has been through a codec, and is to be left alone as it is.
    if (weather.Chance(0.5f)) clean_quality = weather.Integer(35, 95);
  } else {
    degrade::RandomOptions options;
    options.codec_share = 0.15;
    spec = degrade::RandomSpec(kinds, weather, options);
    if (weather.Chance(static_cast<float>(stage.mixed))) {
      // The second kind stays weaker: the label says what dominates.
      options.min_level = 0.05;
      options.max_level = 0.35;
      options.codec_share = 0;
      const Kind second = kWeather[weather.Below(std::size(kWeather))];
      if (!kinds.Has(second)) Merge(spec, degrade::RandomSpec(second, weather, options));
    }
  }

  const std::size_t values = static_cast<std::size_t>(stage.patch) * stage.patch * 3;
  std::vector<float> pixels(values);
  const degrade::ImageView view{pixels.data(), stage.patch, stage.patch,
                                static_cast<std::ptrdiff_t>(stage.patch) * 3};
  degrade::Degrader degrader(spec, stage.patch, stage.patch);
  for (int t = 0; t < stage.frames; ++t) {
    cv::Mat input = clean[t];
    if (kinds.Empty()) {
      if (clean_quality > 0) JpegRoundTrip(clean[t], clean_quality);
      input = clean[t];
    } else {
      degrade::FromU8(input.data, static_cast<std::ptrdiff_t>(input.step), view);
      degrader.Apply(view, t);
      input = cv::Mat(stage.patch, stage.patch, CV_8UC3);
      degrade::ToU8(view, input.data, static_cast<std::ptrdiff_t>(input.step));
      if (spec.codec_quality > 0) JpegRoundTrip(input, spec.codec_quality);
    }
    ToCells(input, group.input[t].data() + slot * values);
    ToCells(clean[t], group.target[t].data() + slot * values);
  }
}

Batch Sampler::Make(const Stage& stage, std::int64_t step, WorkerPool& pool,
                    const std::function<bool(int group)>& wanted) const {
  struct Slot {
    int index;  // of the sample, in the whole batch
    int group, place;
  };
  Batch batch;
  std::vector<Slot> slots;
  int index = 0;
  const std::size_t values = static_cast<std::size_t>(stage.patch) * stage.patch * 3;
  for (std::size_t p = 0; p < recipe_.prompts.size(); ++p) {
    const auto count = stage.batch.find(recipe_.prompts[p]);
    if (count == stage.batch.end()) continue;
    for (int left = count->second; left > 0; left -= kGroupSamples) {
      Group group;
      group.prompt = static_cast<int>(p);
      group.samples = std::min(left, kGroupSamples);
      const int place = static_cast<int>(batch.size());
      if (!wanted || wanted(place)) {
        group.input.assign(stage.frames, std::vector<float>(values * group.samples));
        group.target = group.input;
        for (int i = 0; i < group.samples; ++i) slots.push_back({index + i, place, i});
      }
      index += group.samples;
      batch.push_back(std::move(group));
    }
  }
  pool.Run(static_cast<int>(slots.size()), [&](int i) {
    MakeSample(stage, step, slots[i].index, slots[i].place, batch[slots[i].group]);
  });
  return batch;
}

}  // namespace cpl::train
