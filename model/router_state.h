// SPDX-License-Identifier: Apache-2.0
//
// What a stream knows of its own weather, from frame to frame. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "cpl/frame.h"
#include "cpl/restorer.h"
#include "model/live_config.h"
#include "model/tone.h"

namespace cpl {

// A part of a frame: x, y even, within the frame. The same memory.
ConstFrameView Crop(const ConstFrameView& frame, int x, int y, int width, int height);

// Copies the router's patches of a frame into `cells`: [count][32][32][12]. They lie on a
// low-discrepancy sequence that goes on from frame to frame, so a few a frame see all of it in
// time. Frames smaller than a patch repeat their last row and column.
void ReadRouterPatches(const ConstFrameView& frame, std::int64_t first_index, int count,
                       float* cells);

// Where the index-th patch of a frame of this size lies: x, y even.
struct PatchPlace {
  int x, y;
};
PatchPlace RouterPatchPlace(int width, int height, std::int64_t index);

// How many patches a frame is worth at most: as many as fit without overlap.
int RouterTiles(int width, int height);

// How many are looked at in a frame, where `most` is the model's number of them: the first look at
// a scene is worth more than those that follow.
int RouterLook(int width, int height, int most, bool first);

// Says whether a frame belongs to another scene than the one before it, from the mean colours of
// blocks of the inputs; restored pictures would hide a cut behind the state's own inertia. The
// blocks also give the frame's tone.
class SceneCut {
 public:
  bool Update(const ConstFrameView& frame);
  void Reset() { blocks_.clear(); }
  const Tone& tone() const { return tone_; }  // of the last frame

 private:
  std::vector<float> blocks_;
  Tone tone_;
};

// Smooths the router's answers and gives its choices inertia.
class RouterState {
 public:
  // `clean` is the index of the prompt that means "nothing to do", or -1. The mean over frames is
  // of what the mean over patches is of: with kLogits it is the geometric one of the probabilities,
  // in which frames that are sure weigh more than frames that lean.
  RouterState(int prompts, int conditioning, int clean,
              RouterPooling pooling = RouterPooling::kFeatures);

  void Reset();

  // When the stream is clear: see RestoreParams. Counts from the next Update on.
  void SetClear(float threshold, float hysteresis) {
    enter_clear_ = threshold;
    leave_clear_ = threshold - hysteresis;
  }

  // Takes a frame's probabilities and conditioning vector.
  void Update(const std::vector<float>& probabilities, const std::vector<float>& conditioning);

  // What is known, and which prompt a frame with these parameters gets.
  FrameReport Report(const RestoreParams& params) const;

  int prompt() const { return prompt_; }
  bool clear() const { return clear_; }  // clean for sure, and for some time
  const std::vector<float>& probabilities() const { return probabilities_; }
  const std::vector<float>& conditioning() const { return conditioning_; }

 private:
  int clean_;
  RouterPooling pooling_;
  int prompt_ = 0;
  bool clear_ = false;
  float enter_clear_ = 0.9f;
  float leave_clear_ = 0.7f;
  std::int64_t frames_ = 0;
  std::vector<float> logits_;  // means of logarithms, where those are averaged
  std::vector<float> probabilities_;
  std::vector<float> conditioning_;
};

}  // namespace cpl
