// SPDX-License-Identifier: Apache-2.0
#include "train/scene.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <string>

#include "cpl/error.h"
#include "degrade/math.h"
#include "train/resample.h"

namespace cpl::train {
namespace {

using degrade::kPi;
using degrade::Rng;

using Path = std::vector<cv::Point2f>;

// Wide enough for the reach of cubic interpolation around a patch.
constexpr int kBorder = 2;

void CheckArguments(const std::vector<ClipSource>& sources, std::size_t which, int patch,
                    int frames) {
  if (which >= sources.size()) {
    throw Error(ErrorCode::kInvalidArgument, "there is no training source number " +
                                                 std::to_string(which) + " among " +
                                                 std::to_string(sources.size()));
  }
  if (patch < 1 || frames < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "training clips need a patch and a number of frames of at least 1, not " +
                    std::to_string(patch) + " and " + std::to_string(frames));
  }
}

// The pixels of a frame, which has to be as large as the clip's others where `size` is not empty.
// Checked where a source is used: looking through a whole data set for each clip would take longer
// than making the clip.
cv::Mat FrameOf(const ClipSource& source, std::size_t index, cv::Size size) {
  const cv::Mat frame = source.frames[index].Get();
  if (frame.type() != CV_8UC3 || frame.empty() || (!size.empty() && frame.size() != size)) {
    const std::string path = source.frames[index].Path();
    throw Error(ErrorCode::kBadFormat,
                (path.empty() ? "frame " + std::to_string(index) + " of a training clip" : path) +
                    ": is not an 8-bit RGB picture of its clip's size; leave it out");
  }
  return frame;
}

const ClipSource& Checked(const std::vector<ClipSource>& sources, std::size_t which) {
  if (sources[which].frames.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "training source number " + std::to_string(which) +
                                                 " holds no frames; leave it out");
  }
  return sources[which];
}

// Where the patch's top left corner is in each frame, relative to the smallest x and y on the way.
// All zero for a fixed camera.
Path CameraPath(Rng& rng, int frames, float max_pan) {
  const bool pans = rng.Chance(0.75f);
  const bool shakes = !pans || rng.Chance(0.4f);
  const bool whole = rng.Chance(0.3f);  // Steps of whole pixels leave the pixels as they are.
  const double direction = 2 * kPi * rng.Uniform();
  // Slow pans as often as fast ones.
  const float speed = pans && max_pan > 0 ? rng.LogUniform(0.05f * max_pan, max_pan) : 0;
  const float shake = shakes ? rng.Uniform(0.2f, 1.5f) : 0;
  const cv::Point2f velocity(speed * static_cast<float>(degrade::Cos(direction)),
                             speed * static_cast<float>(degrade::Sin(direction)));
  Path path;
  cv::Point2f jolt(0, 0);
  cv::Point2f least(0, 0);
  for (int t = 0; t < frames; ++t) {
    if (shakes) {
      jolt.x = 0.5f * jolt.x + shake * rng.Normal();
      jolt.y = 0.5f * jolt.y + shake * rng.Normal();
    }
    cv::Point2f at = static_cast<float>(t) * velocity + jolt;
    if (whole) at = cv::Point2f(std::round(at.x), std::round(at.y));
    path.push_back(at);
    least.x = t == 0 ? at.x : std::min(least.x, at.x);
    least.y = t == 0 ? at.y : std::min(least.y, at.y);
  }
  for (cv::Point2f& at : path) at -= least;
  return path;
}

// Which of a clip's `count` frames to show: consecutive, every one or every second, either way,
// turning round at the ends.
std::vector<int> FrameOrder(Rng& rng, int count, int frames) {
  std::vector<int> order(static_cast<std::size_t>(frames), 0);
  if (count == 1) return order;
  const int stride = rng.Integer(1, 2);
  const bool backwards = rng.Chance(0.25f);
  const int round = 2 * (count - 1);
  const int span = std::min(count - 1, stride * (frames - 1));
  int position = rng.Integer(0, count - 1 - span);
  if (backwards) position = (round - position - span) % round;
  for (int& index : order) {
    index = position < count ? position : round - position;
    position = (position + stride) % round;
  }
  return order;
}

// The part of the source that a clip sees, and the size in pixels of the clip that it is shrunk to.
struct Window {
  cv::Rect source;
  cv::Size size;
};

// `needed` pixels of the clip, for a source shrunk by `scale` where it is large enough.
Window PlaceWindow(Rng& rng, cv::Size source, cv::Size needed, float scale) {
  const float least =
      std::max(static_cast<float>(needed.width) / static_cast<float>(source.width),
               static_cast<float>(needed.height) / static_cast<float>(source.height));
  scale = std::max(scale, least);
  Window window;
  window.size = needed;
  window.source.width =
      std::clamp(static_cast<int>(std::lround(needed.width / scale)), 1, source.width);
  window.source.height =
      std::clamp(static_cast<int>(std::lround(needed.height / scale)), 1, source.height);
  window.source.x = rng.Integer(0, source.width - window.source.width);
  window.source.y = rng.Integer(0, source.height - window.source.height);
  return window;
}

cv::Mat Extract(const cv::Mat& frame, const Window& window) {
  const cv::Mat part = frame(window.source);
  if (part.size() == window.size) return part.clone();
  if (window.source.width > window.size.width) return ShrinkArea(part, window.size);
  cv::Mat result;
  cv::resize(part, result, window.size, 0, 0, cv::INTER_CUBIC);
  return result;
}

// The patch whose top left corner is at `at`.
cv::Mat Sample(const cv::Mat& picture, cv::Point2f at, int patch) {
  const cv::Point corner(static_cast<int>(std::floor(at.x)), static_cast<int>(std::floor(at.y)));
  const cv::Point2f rest(at.x - static_cast<float>(corner.x), at.y - static_cast<float>(corner.y));
  if (rest.x == 0 && rest.y == 0) return picture(cv::Rect(corner, cv::Size(patch, patch))).clone();
  return ShiftCubic(picture, at, patch);
}

// Something that moves through the picture. `cover` is 0 at the rim.
struct Mover {
  cv::Mat texture;  // CV_8UC3
  cv::Mat cover;    // CV_8UC1, same size
  cv::Point2f start;
  cv::Point2f velocity;
};

// A rounded box or a blob with a soft edge, `size` pixels in all.
cv::Mat MoverShape(Rng& rng, cv::Size size) {
  cv::Mat cover(size, CV_8UC1);
  const float softness = rng.Uniform(1.0f, 2.5f);
  const float half_x = 0.5f * static_cast<float>(size.width);
  const float half_y = 0.5f * static_cast<float>(size.height);
  // |x|^n + |y|^n = 1: an ellipse for 2, a rounded box for more.
  const bool box = rng.Chance(0.4f);
  float lobes[3] = {0, 0, 0};
  if (!box) {
    for (float& lobe : lobes) lobe = rng.Uniform(-0.14f, 0.14f);
  }
  const float turn = rng.Uniform(-1, 1);
  for (int y = 0; y < size.height; ++y) {
    std::uint8_t* row = cover.ptr<std::uint8_t>(y);
    const float v = (static_cast<float>(y) + 0.5f) / half_y - 1;
    for (int x = 0; x < size.width; ++x) {
      const float u = (static_cast<float>(x) + 0.5f) / half_x - 1;
      const float uu = u * u;
      const float vv = v * v;
      float radius;
      if (box) {
        radius = std::sqrt(std::sqrt(std::sqrt(uu * uu * uu * uu + vv * vv * vv * vv)));
      } else {
        // Waves around the rim out of the first harmonics, without an angle.
        const float rr = std::max(1e-4f, uu + vv);
        const float c2 = (uu - vv) / rr;
        const float s2 = 2 * u * v / rr;
        const float wave = lobes[0] * c2 + lobes[1] * s2 + lobes[2] * (c2 * c2 - s2 * s2) * turn;
        radius = std::sqrt(rr) * (1.25f + wave);
      }
      const float inside = (1 - radius) * std::min(half_x, half_y);
      const float edge = std::clamp(inside / softness, 0.0f, 1.0f);
      row[x] = static_cast<std::uint8_t>(255 * edge + 0.5f);
    }
  }
  return cover;
}

Mover MakeMover(const std::vector<ClipSource>& sources, Rng& rng, int patch, int frames) {
  const float side = static_cast<float>(patch);
  const cv::Size size(std::max(3, static_cast<int>(side * rng.LogUniform(0.08f, 0.5f))),
                      std::max(3, static_cast<int>(side * rng.LogUniform(0.08f, 0.5f))));
  const std::size_t which = rng.Below(static_cast<std::uint32_t>(sources.size()));
  const ClipSource& source = Checked(sources, which);
  const cv::Mat picture =
      FrameOf(source, rng.Below(static_cast<std::uint32_t>(source.frames.size())), {});
  Mover mover;
  mover.texture =
      Extract(picture, PlaceWindow(rng, picture.size(), size, rng.Uniform(0.35f, 1.0f)));
  mover.cover = MoverShape(rng, size);
  const float speed = rng.LogUniform(1, 12);
  const double direction = 2 * kPi * rng.Uniform();
  mover.velocity = cv::Point2f(speed * static_cast<float>(degrade::Cos(direction)),
                               speed * static_cast<float>(degrade::Sin(direction)));
  // Its centre is inside of the patch in the frame that is drawn here.
  const float then = rng.Uniform() * static_cast<float>(frames - 1);
  const cv::Point2f centre(side * rng.Uniform(0.1f, 0.9f), side * rng.Uniform(0.1f, 0.9f));
  mover.start =
      centre - then * mover.velocity -
      cv::Point2f(0.5f * static_cast<float>(size.width), 0.5f * static_cast<float>(size.height));
  return mover;
}

void Paste(const Mover& mover, cv::Point2f at, cv::Mat& patch) {
  const cv::Point corner(static_cast<int>(std::floor(at.x)), static_cast<int>(std::floor(at.y)));
  const cv::Rect place(corner, mover.texture.size() + cv::Size(1, 1));
  const cv::Rect seen = place & cv::Rect(0, 0, patch.cols, patch.rows);
  if (seen.empty()) return;
  const cv::Matx23f shift(1, 0, at.x - static_cast<float>(corner.x), 0, 1,
                          at.y - static_cast<float>(corner.y));
  cv::Mat texture, cover;
  cv::warpAffine(mover.texture, texture, shift, place.size(), cv::INTER_LINEAR,
                 cv::BORDER_REPLICATE);
  cv::warpAffine(mover.cover, cover, shift, place.size(), cv::INTER_LINEAR, cv::BORDER_CONSTANT);
  const cv::Rect part = seen - place.tl();
  cv::Mat under = patch(seen);
  LayOver(texture(part), cover(part), under);
}

// 256 x 3 table of new light: gamma, exposure and white balance, mild, or night. Black stays black,
// or nearly: a raised black is what a veil of weather leaves of it, and a network whose clean
// pictures have any black cannot know a veil by it.
cv::Mat LightTable(Rng& rng, const SceneOptions& options) {
  const bool night = rng.Chance(options.night_share);
  if (!night && !rng.Chance(options.photometric)) return {};
  float gamma = rng.LogUniform(0.75f, 1.33f);
  float exposure = rng.Uniform(0.75f, 1.15f);
  float cast = 0.05f;
  if (night) {
    gamma = rng.Uniform(1.2f, 2.2f);
    exposure = rng.LogUniform(0.2f, 0.7f);
    cast = 0.12f;
  }
  const float black = rng.Chance(0.3f) ? rng.Uniform(0, night ? 0.03f : 0.015f) : 0;
  cv::Mat table(1, 256, CV_8UC3);
  float gain[3];
  for (float& g : gain) g = 1 + rng.Uniform(-cast, cast);
  for (int i = 0; i < 256; ++i) {
    const double level = i == 0 ? 0 : degrade::PreciseExp(gamma * degrade::PreciseLog(i / 255.0));
    const float value = black + exposure * static_cast<float>(level);
    for (int c = 0; c < 3; ++c) {
      table.at<cv::Vec3b>(i)[c] =
          static_cast<std::uint8_t>(std::clamp(255 * gain[c] * value + 0.5f, 0.0f, 255.0f));
    }
  }
  return table;
}

void Turn(cv::Mat& patch, bool mirror, bool upside_down, bool transpose) {
  if (transpose) patch = patch.t();
  if (mirror || upside_down) {
    cv::Mat turned;
    cv::flip(patch, turned, mirror && upside_down ? -1 : mirror ? 1 : 0);
    patch = turned;
  }
}

}  // namespace

std::vector<cv::Mat> MakeCleanClip(const std::vector<ClipSource>& sources, std::size_t which,
                                   Rng& rng, int patch, int frames, const SceneOptions& options) {
  CheckArguments(sources, which, patch, frames);
  const ClipSource& source = Checked(sources, which);
  const bool real = source.frames.size() > 1;
  const cv::Size source_size = FrameOf(source, 0, {}).size();

  // Real clips move by themselves; a few get a virtual pan on top.
  const float moving = real ? 0.2f : 1 - options.still_share;
  Path path(static_cast<std::size_t>(frames), cv::Point2f(0, 0));
  if (frames > 1 && rng.Chance(moving)) path = CameraPath(rng, frames, options.max_pan);
  cv::Point2f far(0, 0);
  for (const cv::Point2f& at : path) {
    far.x = std::max(far.x, at.x);
    far.y = std::max(far.y, at.y);
  }
  const bool travels = far.x > 0 || far.y > 0;
  const int border = travels ? kBorder : 0;
  const cv::Size needed(patch + static_cast<int>(std::ceil(far.x)) + 2 * border,
                        patch + static_cast<int>(std::ceil(far.y)) + 2 * border);
  // Some at the source's own sharpness; area means are a little soft at most other scales.
  float scale = rng.Chance(0.25f) ? 1 : rng.Uniform(options.min_scale, 1);
  // Cheap lenses, fog and codecs leave less detail than any photo of a training set lacks.
  if (options.soft_share > 0 && rng.Chance(options.soft_share)) scale = rng.LogUniform(1, 3);
  const Window window = PlaceWindow(rng, source_size, needed, scale);

  std::vector<Mover> movers;
  if (frames > 1 && rng.Chance(options.mover_share)) {
    const int count = rng.Integer(1, 3);
    for (int i = 0; i < count; ++i) movers.push_back(MakeMover(sources, rng, patch, frames));
  }
  const cv::Mat table = LightTable(rng, options);
  const bool mirror = options.flips && rng.Chance(0.5f);
  const bool upside_down = options.flips && rng.Chance(0.5f);
  const bool transpose = options.flips && rng.Chance(0.5f);
  const std::vector<int> order = FrameOrder(rng, static_cast<int>(source.frames.size()), frames);

  std::vector<cv::Mat> clip;
  cv::Mat picture;
  int shown = -1;
  const cv::Point2f margin(static_cast<float>(border), static_cast<float>(border));
  for (int t = 0; t < frames; ++t) {
    if (order[t] == shown && movers.empty() && path[t] == path[t - 1]) {
      clip.push_back(clip.back().clone());
      continue;
    }
    if (order[t] != shown) picture = Extract(FrameOf(source, order[t], source_size), window);
    shown = order[t];
    cv::Mat out = Sample(picture, path[t] + margin, patch);
    for (const Mover& mover : movers) {
      Paste(mover, mover.start + static_cast<float>(t) * mover.velocity - (path[t] - path[0]), out);
    }
    if (!table.empty()) cv::LUT(out, table, out);
    Turn(out, mirror, upside_down, transpose);
    clip.push_back(out);
  }
  return clip;
}

void LayOver(const cv::Mat& colour, const cv::Mat& cover, cv::Mat& picture) {
  for (int y = 0; y < picture.rows; ++y) {
    const std::uint8_t* from = colour.ptr<std::uint8_t>(y);
    const std::uint8_t* part = cover.ptr<std::uint8_t>(y);
    std::uint8_t* to = picture.ptr<std::uint8_t>(y);
    for (int x = 0; x < picture.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int mixed = to[3 * x + c] * (255 - part[x]) + from[3 * x + c] * part[x];
        to[3 * x + c] = static_cast<std::uint8_t>((mixed + 127) / 255);
      }
    }
  }
}

bool PairFits(cv::Size input, cv::Size target) {
  constexpr int kMaxFrame = 32;
  const cv::Size more = target - input;
  return more.width >= 0 && more.height >= 0 && more.width % 2 == 0 && more.height % 2 == 0 &&
         more.width <= 2 * kMaxFrame && more.height <= 2 * kMaxFrame;
}

PairPatches MakePairClip(const PairClip& pair, Rng& rng, int patch, int frames) {
  const cv::Size size = FrameOf(pair.input, 0, {}).size();
  const Window window = PlaceWindow(rng, size, cv::Size(patch, patch), 1);
  const bool mirror = rng.Chance(0.5f);
  const bool upside_down = rng.Chance(0.5f);
  const bool transpose = rng.Chance(0.5f);
  const int count = static_cast<int>(pair.input.frames.size());
  PairPatches patches;
  for (const int index : FrameOrder(rng, count, frames)) {
    const cv::Mat input = FrameOf(pair.input, index, size);
    const cv::Mat target = FrameOf(pair.target, index, {});
    if (!PairFits(size, target.size())) {
      throw Error(ErrorCode::kBadFormat, pair.input.frames[index].Path() +
                                             ": its size differs from " +
                                             pair.target.frames[index].Path() + "'s");
    }
    const cv::Size frame = (target.size() - size) / 2;
    const Window inner{window.source + cv::Point(frame.width, frame.height), window.size};
    patches.input.push_back(Extract(input, window));
    patches.target.push_back(Extract(target, inner));
    Turn(patches.input.back(), mirror, upside_down, transpose);
    Turn(patches.target.back(), mirror, upside_down, transpose);
  }
  return patches;
}

}  // namespace cpl::train
