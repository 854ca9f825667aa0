// SPDX-License-Identifier: Apache-2.0
#include "model/exec_calibrate.h"

#include <algorithm>

#include "model/calibration_frames.h"
#include "model/exec_stream.h"
#include "model/router_state.h"

namespace cpl::exec {
namespace {

// What saturates costs far more than what is rounded: ranges that were cut to 4, 5, 6 or 8 standard
// deviations lost up to 20 dB, while 1 to 2 times what was seen made next to no difference.
constexpr float kMargin = 1.15f;

// What a channel held, over all pixels.
struct Moments {
  double count = 0, sum = 0;
  float least = 0, most = 0;
};

FrameView ViewOf(std::vector<std::uint8_t>& bytes) {
  FrameView view;
  view.format = PixelFormat::kRGBx;
  view.width = kCalibrationWidth;
  view.height = kCalibrationHeight;
  view.plane[0] = bytes.data();
  view.stride[0] = kCalibrationWidth * 4;
  return view;
}

}  // namespace

LiveRanges Calibrate(const LiveConfig& config, const PackedLive& net, RouterExecutor& router) {
  const std::vector<LiveStep> steps = LiveSteps(config);
  std::vector<std::vector<Moments>> moments;
  for (const LiveStep& step : steps) moments.emplace_back(step.channels());
  ThreadPool pool(1);
  Stream stream(config, kCalibrationWidth, kCalibrationHeight, 1, BestKernels());
  stream.Watch([&](int step, const Rows& rows, int begin, int end) {
    if (steps[step].wide()) return;
    for (int y = begin; y < end; ++y) {
      const float* row = rows.RowOrZeros(y);
      for (int x = 0; x < rows.width(); ++x, row += rows.channels()) {
        for (std::size_t c = 0; c < moments[step].size(); ++c) {
          Moments& of = moments[step][c];
          of.count += 1;
          of.sum += row[c];
          of.least = std::min(of.least, row[c]);
          of.most = std::max(of.most, row[c]);
        }
      }
    }
  });
  std::vector<float> probabilities(router.prompts()), cond(router.conditioning());
  const int tiles = RouterTiles(kCalibrationWidth, kCalibrationHeight);
  std::vector<float> patches(static_cast<std::size_t>(tiles) * kRouterPatch * kRouterPatch *
                             kCellChannels);
  for (int clip = 0; clip < kCalibrationClips; ++clip) {
    std::vector<std::vector<std::uint8_t>> frames = CalibrationClip(clip);
    ReadRouterPatches(AsConst(ViewOf(frames[0])), 0, tiles, patches.data());
    SceneCut scene;
    scene.Update(AsConst(ViewOf(frames[0])));
    router.Run(patches.data(), tiles, scene.tone(), probabilities.data(), cond.data());
    stream.Forget();
    for (std::vector<std::uint8_t>& frame : frames) {
      const FrameView view = ViewOf(frame);
      stream.Restore(net, cond.data(), AsConst(view), view, 1, pool);
    }
  }
  LiveRanges ranges;
  for (const std::vector<Moments>& step : moments) {
    std::vector<Range>& to = ranges.emplace_back();
    for (const Moments& of : step) {
      to.push_back({kMargin * of.least, kMargin * of.most,
                    of.count > 0 ? static_cast<float>(of.sum / of.count) : 0});
    }
  }
  return ranges;
}

LiveRanges Union(LiveRanges a, const LiveRanges& b) {
  for (std::size_t step = 0; step < a.size(); ++step) {
    for (std::size_t c = 0; c < a[step].size(); ++c) {
      a[step][c].low = std::min(a[step][c].low, b[step][c].low);
      a[step][c].high = std::max(a[step][c].high, b[step][c].high);
      a[step][c].mean = (a[step][c].mean + b[step][c].mean) / 2;
    }
  }
  return a;
}

}  // namespace cpl::exec
