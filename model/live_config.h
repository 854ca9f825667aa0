// SPDX-License-Identifier: Apache-2.0
//
// The shape of a live network, as it stands in a model file's metadata. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/pixels.h"

namespace cpl {

// One convolution of the network, by the name of its tensors in the file.
struct ConvShape {
  std::string name;
  int in = 0;
  int out = 0;
  int kernel = 1;
  int stride = 1;
  bool prompted = false;     // prompts change its weights (PromptWeights) and shift its output
  bool conditioned = false;  // the router's conditioning vector shifts its output
  // Outputs that are logits of gates, `logits` of them from `first_logit` on, are kLogitGain times
  // what the file's tensors say: at the network's own learning rate a gate would take tens of
  // thousands of steps from closed to open.
  int first_logit = 0;
  int logits = 0;
};

// What the router takes the mean of, over the patches of a frame.
enum class RouterPooling {
  kFeatures,  // what its convolutions found: what stands out in a part of the frame decides alone
  kLogits,    // its answers, one a patch: a vote, in which a part that is clear, like a dashboard
              // behind a windscreen in the fog, does not outshout the rest
};

// How a prompt changes the weights of a convolution. Either folds into them once, so that a frame
// costs the same.
enum class PromptWeights {
  kGains,  // gains for its input and output channels
  kFull,   // and a change of every weight: a specialist for each degradation on a common base
};

// A U-Net on cells of 2x2 pixels (space-to-depth by 2). Level l works at 1/2^(l+1) of the frame's
// size; a level's encoder and decoder hold so many residual pairs of 3x3 convolutions.
struct LiveConfig {
  std::vector<int> channels = {16, 32, 48, 48};
  std::vector<int> encoder = {0, 1, 1, 1};
  std::vector<int> decoder = {0, 0, 0};
  int conditioning = 16;  // length of the conditioning vector
  std::vector<int> router_channels = {16, 24, 32};
  int router_patches = 3;  // 64x64 pixels each, the most that are looked at in one frame
  RouterPooling router_pooling = RouterPooling::kFeatures;
  PromptWeights prompt_weights = PromptWeights::kGains;
  // Whether the conditioner sees the tone of the whole frame too (tone.h), and its vector shifts
  // the gain field and the output: the way of what is the same all over the frame, as a veil is.
  bool tone = false;
  std::string framework = "cpl";
  int top_k = 1;  // prompts mixed per frame

  // Sizes of a frame's cells are padded to multiples of this.
  int stride() const { return 1 << (channels.size() - 1); }
  int levels() const { return static_cast<int>(channels.size()); }

  // Throws Error(kBadFormat) naming the field that is missing, absurd or unknown.
  static LiveConfig FromJson(const std::string& json);
  std::string ToJson() const;

  // Every convolution of the network proper, in the order of execution.
  std::vector<ConvShape> Convs() const;
  // Those of the motion head, which decides how much of the past each part of a frame keeps.
  std::vector<ConvShape> MotionConvs() const;
  // Those of a head on the patches: the router and the conditioner have one each of this shape.
  std::vector<ConvShape> HeadConvs(const std::string& head) const;

  // Multiply-adds of one frame divided by its pixels; all convolutions, the heads included.
  double MacsPerPixel(int width, int height) const;
};

inline constexpr float kLogitGain = 4;
inline constexpr int kOutputChannels = 16;  // residual of the 12 cell values, 4 memory logits
inline constexpr int kSideChannels = 16;    // change since the past, and the maps of the blend
inline constexpr int kMapChannels = kSideChannels - kCellChannels;
inline constexpr int kFieldChannels = 3;  // the gain field has one gain a colour
inline constexpr int kFieldLevel = 2;     // it is predicted at 1/8 of the frame's size
inline constexpr int kMotionScale = 4;    // cells along a side of a block of the motion head
inline constexpr int kMotionInputs = 10;  // see recurrence.h
inline constexpr int kMotionChannels = 10;
inline constexpr int kMotionOutputs = 2;
inline constexpr float kSmallChange = 0.25f;  // 16 8-bit levels, in the cells' unit
inline constexpr float kMostClip = 4;         // the cells' whole range
inline constexpr float kMostFrames =
    16;  // what the memory is worth at most; longer is slower to forget
inline constexpr int kToneHidden = 24;   // units between the tone and the conditioning vector
inline constexpr int kRouterPatch = 32;  // side of a router patch, in cells

}  // namespace cpl
