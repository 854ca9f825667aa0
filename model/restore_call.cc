// SPDX-License-Identifier: Apache-2.0
#include "model/restore_call.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <vector>

#include "model/pixels.h"

namespace cpl {
namespace {

constexpr int kMinSide = 16;

}  // namespace

double Milliseconds() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void UseThreads(int threads) {
  thread_local int current = 0;
  if (current == threads) return;
  at::set_num_threads(threads);
  current = threads;
}

void CopyFrame(const ConstFrameView& in, const FrameView& out) {
  if (in.plane[0] == out.plane[0]) return;
  const std::vector<float> nothing(static_cast<std::size_t>(CellsAcross(in.width)) * kCellChannels);
  for (int y = 0; y < CellsAcross(in.height); ++y) WriteCellRow(in, out, y, nothing.data(), 0);
}

void CheckCall(const ConstFrameView& in, const RestoreParams& params, int prompts) {
  ValidateFrame(in);
  if (in.width < kMinSide || in.height < kMinSide) {
    throw Error(ErrorCode::kInvalidArgument, "a frame of " + std::to_string(in.width) + "x" +
                                                 std::to_string(in.height) +
                                                 " is too small, 16x16 is the least");
  }
  if (params.prompt < kAutoPrompt || params.prompt >= prompts) {
    throw Error(ErrorCode::kInvalidArgument, "prompt " + std::to_string(params.prompt) +
                                                 " does not exist, the model has " +
                                                 std::to_string(prompts));
  }
  if (!(params.strength >= 0 && params.strength <= 1)) {
    throw Error(ErrorCode::kInvalidArgument, "strength must lie in 0..1");
  }
}

}  // namespace cpl
