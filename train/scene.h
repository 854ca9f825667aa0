// SPDX-License-Identifier: Apache-2.0
//
// Clean clips to train on, cut out of photos and clips: crops, scales, flips, light, and motion for
// what does not move by itself.
#pragma once

#include <cstddef>
#include <opencv2/core.hpp>
#include <vector>

#include "degrade/rng.h"
#include "train/picture.h"

namespace cpl::train {

// A photo (one frame) or a clip (consecutive frames of one size). 8-bit, three channels in the
// order R, G, B (CV_8UC3). The pixels are shared, as cv::Mat shares them, and never written.
struct ClipSource {
  std::vector<Picture> frames;
};

// The same, degraded and clean: as many frames of both, which fit each other (PairFits).
struct PairClip {
  ClipSource input;
  ClipSource target;
};

struct SceneOptions {
  float min_scale = 0.5f;     // sources are shrunk by a factor between this and 1
  float still_share = 0.5f;   // clips of photos with a fixed camera; the rest pans and shakes
  float mover_share = 0.4f;   // clips of more than one frame with moving objects pasted in
  float max_pan = 6.0f;       // pixels a frame
  float photometric = 0.7f;   // pictures whose gamma, brightness and contrast are changed
  float night_share = 0.12f;  // pictures made dark
  bool flips = true;          // mirror, upside down, transpose
  float soft_share = 0;       // sources that are enlarged instead, up to three times: soft pictures
};

// `frames` patches of `patch` x `patch` pixels (CV_8UC3, R, G, B, freshly allocated) from
// sources[which]; objects that move are textured from any of `sources`. A still scene holds the
// same pixels in each frame, in separate memory. Real clips give consecutive frames (every one or
// every second, backwards too), played to and fro where they are too short. Sources smaller than
// the patch are enlarged.
//
// Depends on the arguments and on `rng` alone. Reads the sources, so threads may share them.
// Throws Error(kInvalidArgument) for an empty or foreign source or a size below 1.
std::vector<cv::Mat> MakeCleanClip(const std::vector<ClipSource>& sources, std::size_t which,
                                   degrade::Rng& rng, int patch, int frames,
                                   const SceneOptions& options = {});

// Mixes `colour` over `picture`, in place: `cover` (CV_8UC1) is how much of it is seen, of 255. All
// of one size; the pictures CV_8UC3.
void LayOver(const cv::Mat& colour, const cv::Mat& cover, cv::Mat& picture);

// Whether pictures of these sizes show the same: equal sizes, or a target that has a frame besides,
// equally wide on opposite sides and up to 32 pixels (RESIDE's indoor set).
bool PairFits(cv::Size input, cv::Size target);

struct PairPatches {
  std::vector<cv::Mat> input;
  std::vector<cv::Mat> target;
};

// `frames` patches out of the same place of input and target, as MakeCleanClip delivers them:
// consecutive frames of a clip; a still stands still. Nothing but place and flips is varied, since
// degradations have a size and a light of their own; only pictures smaller than the patch are
// enlarged. Throws Error(kBadFormat) where the sizes do not fit.
PairPatches MakePairClip(const PairClip& pair, degrade::Rng& rng, int patch, int frames);

}  // namespace cpl::train
