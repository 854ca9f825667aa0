// SPDX-License-Identifier: Apache-2.0
//
// Live models on a GPU behind the public API. The network runs in LibTorch's operators, all else in
// the kernels of cuda/; a frame is one captured graph once its shape has been seen a few times.
#pragma once

#include <memory>
#include <string>

#include "cpl/restorer.h"
#include "cuda/device.h"

namespace cpl {

// kAuto is fp16; bf16 needs a GPU of compute capability 8.0. Throws what LoadModel throws.
std::shared_ptr<Model> OpenDeviceModel(const std::string& path, const ModelOptions& options,
                                       cuda::Device& device);

}  // namespace cpl
