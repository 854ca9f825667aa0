// SPDX-License-Identifier: Apache-2.0
#include "model/router_state.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/pixels.h"

namespace cpl {
namespace {

// A running mean over the first frames, then an exponential one over about this many.
constexpr double kMemory = 8;
// Another prompt must lead by this much before it takes over.
constexpr float kLead = 0.15f;
// No frame is surer than this, which a float's softmax can be.
constexpr float kLeastProbability = 1e-6f;

// Blocks of the scene-cut test, and the mean change (white = 1) that makes a cut. A third of the
// picture changing by a third of the range is one; weather, noise and movers stay far below.
constexpr int kBlocksAcross = 16;
constexpr int kBlocksDown = 9;
constexpr int kBlockSide = 16;
constexpr float kCutChange = 0.10f;

constexpr int kSide = 2 * kRouterPatch;  // of a patch, in pixels

int Even(int value) { return value & ~1; }

}  // namespace

ConstFrameView Crop(const ConstFrameView& frame, int x, int y, int width, int height) {
  ConstFrameView part = frame;
  part.width = width;
  part.height = height;
  const FormatInfo info = FormatInfoOf(frame.format);
  for (int p = 0; p < info.planes; ++p) {
    part.plane[p] += PlaneRows(info, p, y) * frame.stride[p] + PlaneRowBytes(info, p, x);
  }
  return part;
}

int RouterTiles(int width, int height) {
  return std::max(1, CellsAcross(width) / kRouterPatch) *
         std::max(1, CellsAcross(height) / kRouterPatch);
}

int RouterLook(int width, int height, int most, bool first) {
  constexpr int kFirstLookFactor = 10;
  return std::min(RouterTiles(width, height), most * (first ? kFirstLookFactor : 1));
}

PatchPlace RouterPatchPlace(int width, int height, std::int64_t index) {
  // The R2 sequence (Roberts, 2018): the plane's counterpart of multiples of the golden ratio.
  const double n = static_cast<double>(index);
  const double u = std::fmod(0.5 + n * 0.7548776662466927, 1.0);
  const double v = std::fmod(0.5 + n * 0.5698402909980532, 1.0);
  return {Even(static_cast<int>(u * (width - std::min(width, kSide) + 1))),
          Even(static_cast<int>(v * (height - std::min(height, kSide) + 1)))};
}

void ReadRouterPatches(const ConstFrameView& frame, std::int64_t first_index, int count,
                       float* cells) {
  const int width = std::min(frame.width, kSide);
  const int height = std::min(frame.height, kSide);
  const int across = CellsAcross(width), down = CellsAcross(height);
  for (int i = 0; i < count; ++i) {
    const PatchPlace place = RouterPatchPlace(frame.width, frame.height, first_index + i);
    const ConstFrameView part = Crop(frame, place.x, place.y, width, height);
    float* patch =
        cells + static_cast<std::size_t>(i) * kRouterPatch * kRouterPatch * kCellChannels;
    for (int row = 0; row < kRouterPatch; ++row) {
      float* to = patch + row * kRouterPatch * kCellChannels;
      if (row >= down) {
        std::memcpy(to, to - kRouterPatch * kCellChannels,
                    sizeof(float) * kRouterPatch * kCellChannels);
        continue;
      }
      ReadCellRow(part, row, to);
      for (int column = across; column < kRouterPatch; ++column) {
        std::memcpy(to + column * kCellChannels, to + (column - 1) * kCellChannels,
                    sizeof(float) * kCellChannels);
      }
    }
  }
}

bool SceneCut::Update(const ConstFrameView& frame) {
  std::vector<float> blocks;
  blocks.reserve(kBlocksAcross * kBlocksDown);
  tone_.Clear();
  const int width = std::min(frame.width, kBlockSide), height = std::min(frame.height, kBlockSide);
  float cells[kBlockSide / 2 * kCellChannels];
  for (int by = 0; by < kBlocksDown; ++by) {
    for (int bx = 0; bx < kBlocksAcross; ++bx) {
      const int x = Even((frame.width - width) * bx / (kBlocksAcross - 1));
      const int y = Even((frame.height - height) * by / (kBlocksDown - 1));
      const ConstFrameView part = Crop(frame, x, y, width, height);
      float sum = 0;
      const int values = CellsAcross(width) * kCellChannels;
      for (int row = 0; row < CellsAcross(height); ++row) {
        ReadCellRow(part, row, cells);
        for (int i = 0; i < values; ++i) sum += cells[i];
        tone_.Add(cells, CellsAcross(width));
      }
      blocks.push_back(sum / static_cast<float>(values * CellsAcross(height)) / 4);
    }
  }
  float change = 0;
  if (blocks_.size() == blocks.size()) {
    for (std::size_t i = 0; i < blocks.size(); ++i) change += std::abs(blocks[i] - blocks_[i]);
    change /= static_cast<float>(blocks.size());
  }
  blocks_ = std::move(blocks);
  return change > kCutChange;
}

RouterState::RouterState(int prompts, int conditioning, int clean, RouterPooling pooling)
    : clean_(clean),
      pooling_(pooling),
      logits_(prompts),
      probabilities_(prompts),
      conditioning_(conditioning) {}

FrameReport RouterState::Report(const RestoreParams& params) const {
  const bool chooses = params.prompt == kAutoPrompt;
  FrameReport report;
  report.prompt = chooses ? prompt_ : params.prompt;
  report.confidence = probabilities_[static_cast<std::size_t>(report.prompt)];
  if (clean_ >= 0) report.clean = probabilities_[static_cast<std::size_t>(clean_)];
  report.bypassed = chooses && params.bypass_clean && clear_;
  return report;
}

void RouterState::Reset() {
  frames_ = 0;
  clear_ = false;
}

void RouterState::Update(const std::vector<float>& probabilities,
                         const std::vector<float>& conditioning) {
  const auto weight =
      static_cast<float>(std::max(1.0 / static_cast<double>(++frames_), 1 / kMemory));
  const auto blend = [&](std::vector<float>& mean, const std::vector<float>& value) {
    for (std::size_t i = 0; i < mean.size(); ++i) {
      mean[i] = frames_ == 1 ? value[i] : mean[i] + weight * (value[i] - mean[i]);
    }
  };
  if (pooling_ == RouterPooling::kFeatures) {
    blend(probabilities_, probabilities);
  } else {
    std::vector<float> logits(probabilities);
    for (float& value : logits) value = std::log(std::max(value, kLeastProbability));
    blend(logits_, logits);
    const float most = *std::max_element(logits_.begin(), logits_.end());
    float sum = 0;
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      sum += probabilities_[i] = std::exp(logits_[i] - most);
    }
    for (float& value : probabilities_) value /= sum;
  }
  blend(conditioning_, conditioning);
  const int best = static_cast<int>(std::max_element(probabilities_.begin(), probabilities_.end()) -
                                    probabilities_.begin());
  if (frames_ == 1 || probabilities_[best] > probabilities_[prompt_] + kLead) prompt_ = best;
  clear_ = clean_ >= 0 && prompt_ == clean_ &&
           probabilities_[clean_] > (clear_ ? leave_clear_ : enter_clear_);
}

}  // namespace cpl
