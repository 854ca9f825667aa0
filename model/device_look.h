// SPDX-License-Identifier: Apache-2.0
//
// What a stream on a device knows of its own weather: the router's answers, which come back a frame
// later, and the cuts of the scene, which the device finds by itself.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "cpl/restorer.h"
#include "cuda/device.h"
#include "model/device_network.h"
#include "model/device_weights.h"
#include "model/router_state.h"

namespace cpl {

// For one stream; one caller at a time.
class DeviceLook {
 public:
  explicit DeviceLook(DeviceModel& model);

  // Another shape of frames: new buffers, and no past. On the current stream of LibTorch's.
  void Allocate();
  void Reset();

  // Looks at a frame on the device unless it was looked at already; the first look at a scene waits
  // for its answer. Afterwards the report says what is known.
  FrameReport Look(const ConstFrameView& in, const RestoreParams& params, cuda::Stream stream);
  bool looked() const { return looked_; }
  // The frame that was looked at is done with.
  void EndFrame() { looked_ = false; }

  const RouterState& router() const { return router_; }
  // In device memory.
  const cuda::SceneState* scene() const;

 private:
  int Prompts() const { return static_cast<int>(model_.info().prompts.size()); }
  int Conditioning() const { return model_.config().conditioning; }
  // Of the answer: probabilities, conditioning by the patches, cuts, counts of the tone.
  int AnswerSize() const;
  void Ask(const ConstFrameView& in, bool route, cuda::Stream stream);
  void Route(int count, cuda::Stream stream);
  void TakeAnswer(bool wait);

  DeviceModel& model_;
  cuda::Device& device_;
  RouterState router_;
  bool looked_ = false;
  bool scene_cut_ = false;
  bool forget_scene_ = false;
  std::int64_t looks_ = 0;
  int until_look_ = 0;
  std::int64_t patches_seen_ = 0;

  // On the device.
  at::Tensor job_, scene_, patches_, answer_;
  at::Tensor cuts_, tone_;  // parts of scene_
  RepeatedWork work_;

  std::shared_ptr<void> pinned_;
  std::unique_ptr<cuda::Event> answered_;
  bool pending_ = false;
  int cuts_seen_ = 0;
};

}  // namespace cpl
