// SPDX-License-Identifier: Apache-2.0
//
// SparsePromptIR on a device, for inference: LibTorch's operators in float32, float16 or bfloat16,
// channels-last, and exact in strips of rows where the memory does not hold what is widest.
//
// The strips are those of sparse_prompt_ir_strips.h, without its copies between caches: queries and
// keys are summed up strip by strip, in float32 whatever the type, since a sum over a million
// pixels does not fit a float16; what follows needs one row more at each end of a strip.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>

#include "cuda/device.h"
#include "model/sparse_prompt_ir.h"

namespace cpl {

// Weights on a device. Shared by streams; never changed once made.
class DevicePaperWeights {
 public:
  DevicePaperWeights(const SparsePromptIrConfig& config, const Parameters& parameters,
                     at::Device device, at::ScalarType type);

  const SparsePromptIrConfig& config() const { return config_; }
  at::ScalarType type() const { return type_; }
  const at::Tensor& Get(const std::string& name) const;

 private:
  SparsePromptIrConfig config_;
  at::ScalarType type_;
  std::map<std::string, at::Tensor> tensors_;
};

// What the last run's deepest prompt module did, on the device: float32 [1, prompts].
struct DeviceRouting {
  at::Tensor softmax, weights;
};

// One picture on the current stream. image: [1, 3, H, W], channels-last, of the weights' type. The
// residual. `routing` is undefined after a network without prompts. `strips`: in how many parts
// each block is worked on. Throws c10::OutOfMemoryError if they are too few, and is to be called
// again with more.
at::Tensor RunPaperNet(cuda::Device& device, const DevicePaperWeights& weights,
                       const at::Tensor& image, const SparsePromptIrOptions& options, int strips,
                       DeviceRouting* routing);

}  // namespace cpl
