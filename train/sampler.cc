// SPDX-License-Identifier: Apache-2.0
#include "train/sampler.h"

#include <algorithm>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>

#include "cpl/error.h"
#include "degrade/degrade.h"
#include "model/pixels.h"
#include "train/foreground.h"
#include "train/h264.h"

namespace cpl::train {
namespace {

using degrade::Kind;
using degrade::KindSet;
using degrade::Rng;

// Streams of random numbers: what differs in its last part never meets.
constexpr std::uint64_t kSceneStream = 1;
constexpr std::uint64_t kWeatherStream = 2;
constexpr std::uint64_t kCodecStream = 3;
constexpr std::uint64_t kForegroundStream = 4;
constexpr std::uint64_t kTurnStream = 5;
constexpr std::uint64_t kLengthStream = 6;

// Frames before a single one that is coded as a video's.
constexpr int kLeadFrames = 2;

// x264's scale; cameras at 2 to 4 Mbit/s for 1080p are in the middle of this.
constexpr int kFinestQuantizer = 20;
constexpr int kCoarsestQuantizer = 38;

constexpr double kLeastHaze = 0.15;

// What joins another degradation.
constexpr Kind kWeather[] = {Kind::kNoise, Kind::kRain, Kind::kSnow, Kind::kHaze};

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

// Weather is beyond what stands in front; a sensor's noise, blur and darkness are not.
bool MayStandBehind(const degrade::Spec& spec) {
  return !spec.noise && !spec.blur && !spec.low_light;
}

}  // namespace

void Sampler::MakeSample(const Stage& stage, const LayerBank* bank, std::int64_t step, int index,
                         int slot, Group& group) const {
  constexpr int kAttempts = 8;
  for (int attempt = 0;; ++attempt) {
    try {
      TryMakeSample(stage, bank, step, index, attempt, slot, group);
      return;
    } catch (const Error& error) {
      const bool damaged =
          error.code() == ErrorCode::kBadFormat || error.code() == ErrorCode::kUnsupported;
      if (!damaged || attempt + 1 == kAttempts || set_.report.unchecked == 0) throw;
    }
  }
}

void Sampler::TryMakeSample(const Stage& stage, const LayerBank* bank, std::int64_t step, int index,
                            int attempt, int slot, Group& group) const {
  const std::uint64_t again = static_cast<std::uint64_t>(attempt) << 8;
  Rng scene(recipe_.seed, static_cast<std::uint64_t>(step), index, kSceneStream + again);
  Rng weather(recipe_.seed, static_cast<std::uint64_t>(step), index, kWeatherStream + again);
  Rng codec(recipe_.seed, static_cast<std::uint64_t>(step), index, kCodecStream + again);
  const Supply& supply = (stage.frames > 1 ? set_.for_clips : set_.for_stills)[group.prompt];
  const Supply::Item& item = supply.Draw(scene.Uniform());
  const std::size_t values = static_cast<std::size_t>(stage.patch) * stage.patch * 3;
  const auto store = [&](int t, const cv::Mat& input, const cv::Mat& target) {
    ToCells(input, group.input[t].data() + slot * values);
    ToCells(target, group.target[t].data() + slot * values);
  };
  if (item.pair) {
    const PairPatches pair = MakePairClip(set_.pairs[item.index], scene, stage.patch, group.frames);
    for (int t = 0; t < group.frames; ++t) store(t, pair.input[t], pair.target[t]);
    return;
  }

  const bool coded = recipe_.h264_share > 0 && codec.Chance(static_cast<float>(recipe_.h264_share));
  // Most frames of a stream are coded from those before them, so single ones get some.
  const int lead = coded && stage.frames == 1 ? kLeadFrames : 0;
  const int frames = group.frames + lead;
  SceneOptions options;
  if (recipe_.augment == "flips") {
    options = {.min_scale = 1, .mover_share = 0, .photometric = 0, .night_share = 0};
  }
  options.soft_share = static_cast<float>(recipe_.soft_share);
  std::vector<cv::Mat> clean =
      MakeCleanClip(set_.clean, item.index, scene, stage.patch, frames, options);

  const KindSet kinds = degrade::ParseKinds(recipe_.prompts[group.prompt]);
  degrade::Spec spec;
  int clean_quality = 0;
  if (kinds.Empty()) {
    // What a clear camera delivers has been through a codec, and is to be left alone as it is.
    if (weather.Chance(0.5f)) clean_quality = weather.Integer(35, 95);
  } else {
    spec = DrawSpec(kinds, stage, weather);
  }

  Rng front(recipe_.seed, static_cast<std::uint64_t>(step), index, kForegroundStream + again);
  std::optional<Foreground> foreground;
  if (MayStandBehind(spec) && front.Chance(static_cast<float>(recipe_.foreground_share))) {
    foreground = MakeForeground(set_.clean, front, stage.patch);
  }
  // Streaks and flakes fall in front of some of it: then it is a part of the scene as any other.
  const bool falls_in_front = foreground && (spec.rain || spec.snow) && front.Chance(0.5f);
  if (falls_in_front) {
    for (cv::Mat& frame : clean) Lay(*foreground, frame);
  }

  std::vector<cv::Mat> inputs = clean;
  if (!kinds.Empty()) {
    std::vector<float> pixels(values);
    const degrade::ImageView view{pixels.data(), stage.patch, stage.patch,
                                  static_cast<std::ptrdiff_t>(stage.patch) * 3};
    LayerBank::Cuts cuts;
    if (bank != nullptr) cuts = bank->Draw(spec, weather);
    degrade::Degrader degrader(spec, stage.patch, stage.patch);
    LayerBank::Attach(cuts, degrader);
    for (int t = 0; t < frames; ++t) {
      degrade::FromU8(clean[t].data, static_cast<std::ptrdiff_t>(clean[t].step), view);
      degrader.Apply(view, t);
      inputs[t] = cv::Mat(stage.patch, stage.patch, CV_8UC3);
      degrade::ToU8(view, inputs[t].data, static_cast<std::ptrdiff_t>(inputs[t].step));
    }
  }
  if (foreground && !falls_in_front) {
    for (int t = 0; t < frames; ++t) {
      Lay(*foreground, clean[t]);
      // Without a degradation they share their pixels.
      if (inputs[t].data != clean[t].data) Lay(*foreground, inputs[t]);
    }
  }
  if (coded) {
    inputs = H264RoundTrip(inputs, codec.Integer(kFinestQuantizer, kCoarsestQuantizer));
    if (kinds.Empty()) clean = inputs;
  }
  Rng turn(recipe_.seed, static_cast<std::uint64_t>(step), index, kTurnStream + again);
  std::optional<cv::RotateFlags> turned;
  if (turn.Chance(static_cast<float>(recipe_.turned_share))) {
    turned = turn.Chance(0.5f) ? cv::ROTATE_90_CLOCKWISE : cv::ROTATE_90_COUNTERCLOCKWISE;
  }
  for (int t = 0; t < group.frames; ++t) {
    cv::Mat& input = inputs[t + lead];
    cv::Mat& target = clean[t + lead];
    const int quality = kinds.Empty() ? clean_quality : spec.codec_quality;
    if (!coded && quality > 0) JpegRoundTrip(input, quality);
    if (kinds.Empty()) target = input;
    if (turned) {
      cv::rotate(input, input, *turned);
      if (input.data != target.data) cv::rotate(target, target, *turned);
    }
    store(t, input, target);
  }
}

std::shared_ptr<const LayerBank> Sampler::BankFor(const Stage& stage, WorkerPool& pool) const {
  if (recipe_.bank == 0) return nullptr;
  const std::lock_guard<std::mutex> lock(banks_mutex_);
  std::shared_ptr<const LayerBank>& bank = banks_[{stage.patch, stage.frames}];
  if (!bank) {
    bank = std::make_shared<LayerBank>(recipe_.seed, recipe_.bank, stage.patch,
                                       stage.frames + kLeadFrames, pool);
  }
  return bank;
}

degrade::Spec Sampler::DrawSpec(const KindSet& kinds, const Stage& stage, Rng& weather) const {
  degrade::Spec spec;
  if (kinds == KindSet(Kind::kNoise) && !recipe_.noise_sigmas.empty()) {
    spec.seed = weather.Next();
    spec.noise.emplace();
    const auto which = weather.Below(static_cast<std::uint32_t>(recipe_.noise_sigmas.size()));
    spec.noise->sigma = static_cast<float>(recipe_.noise_sigmas[which]) / 255;
    return spec;
  }
  degrade::RandomOptions options;
  options.codec_share = 0.15;
  // Less of it cannot be told from a soft, pale picture, and a router that is taught to looks for
  // haze everywhere.
  if (kinds == KindSet(Kind::kHaze) && stage.router_weight > 0) options.min_level = kLeastHaze;
  spec = degrade::RandomSpec(kinds, weather, options);
  if (weather.Chance(static_cast<float>(stage.mixed))) {
    // The second kind stays weaker: the label says what dominates.
    options.min_level = 0.05;
    options.max_level = 0.35;
    options.codec_share = 0;
    const Kind second = kWeather[weather.Below(std::size(kWeather))];
    if (!kinds.Has(second)) Merge(spec, degrade::RandomSpec(second, weather, options));
  }
  return spec;
}

Batch Sampler::Layout(const Stage& stage) const {
  Batch batch;
  for (std::size_t p = 0; p < recipe_.prompts.size(); ++p) {
    const auto count = stage.batch.find(recipe_.prompts[p]);
    if (count == stage.batch.end()) continue;
    for (int left = count->second; left > 0; left -= kGroupSamples) {
      Group group;
      group.prompt = static_cast<int>(p);
      group.samples = std::min(left, kGroupSamples);
      group.frames = stage.frames;
      batch.push_back(std::move(group));
    }
  }
  return batch;
}

BatchWork Sampler::Plan(const Stage& stage, std::int64_t step, WorkerPool& pool,
                        const std::function<bool(int group)>& wanted, Batch& batch) const {
  struct Slot {
    int index;  // of the sample, in the whole batch
    int group, place;
  };
  std::vector<Slot> slots;
  Batch layout = Layout(stage);
  const std::size_t values = static_cast<std::size_t>(stage.patch) * stage.patch * 3;
  int index = 0;
  for (int g = 0; g < static_cast<int>(layout.size()); ++g) {
    Group& group = layout[g];
    if (stage.learns_from == LearnsFrom::kEnds) {
      Rng length(recipe_.seed, static_cast<std::uint64_t>(step), g, kLengthStream);
      group.frames = length.Integer(3, stage.frames);
    }
    if (!wanted || wanted(g)) {
      if (static_cast<std::size_t>(g) < batch.size()) {
        group.input.swap(batch[g].input);
        group.target.swap(batch[g].target);
      }
      for (auto* clip : {&group.input, &group.target}) {
        clip->resize(static_cast<std::size_t>(group.frames));
        for (std::vector<float>& frame : *clip) frame.resize(values * group.samples);
      }
      for (int i = 0; i < group.samples; ++i) slots.push_back({index + i, g, i});
    }
    index += group.samples;
  }
  batch = std::move(layout);
  const int samples = static_cast<int>(slots.size());
  return {
      samples,
      [this, &stage, step, &batch, slots = std::move(slots), bank = BankFor(stage, pool)](int i) {
        MakeSample(stage, bank.get(), step, slots[i].index, slots[i].place, batch[slots[i].group]);
      }};
}

Batch Sampler::Make(const Stage& stage, std::int64_t step, WorkerPool& pool,
                    const std::function<bool(int group)>& wanted) const {
  Batch batch;
  const BatchWork work = Plan(stage, step, pool, wanted, batch);
  pool.Run(work.samples, work.make);
  return batch;
}

}  // namespace cpl::train
