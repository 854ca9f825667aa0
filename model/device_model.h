// SPDX-License-Identifier: Apache-2.0
//
// Models on a GPU behind the public API. The networks run in LibTorch's operators, all else in the
// kernels of cuda/. A live network's frame is one captured graph once its shape has been seen a few
// times; the paper's network runs as it is, since its operators take longer than their launches and
// a graph would hold its memory a second time.
#pragma once

#include <memory>
#include <string>

#include "cpl/restorer.h"
#include "cuda/device.h"
#include "model/tensor_file.h"

namespace cpl {

// kAuto is fp16; bf16 needs a GPU of compute capability 8.0. Throws what LoadModel throws.
std::shared_ptr<Model> OpenDeviceModel(const std::string& path, const ModelOptions& options,
                                       cuda::Device& device);

// `file` is the opened `path`. Frames are restored in strips where memory is short, with the same
// result, so that ModelOptions::tile is refused.
std::shared_ptr<Model> OpenDevicePaperModel(const std::string& path, const TensorFile& file,
                                            const ModelOptions& options, cuda::Device& device);

}  // namespace cpl
