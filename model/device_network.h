// SPDX-License-Identifier: Apache-2.0
//
// What runs between the kernels on a device: the live network on cells that are there, in strips
// where the memory does not hold the whole, and work that becomes a graph when it repeats.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>

#include <functional>
#include <memory>
#include <optional>

#include "cuda/device.h"
#include "model/live_net.h"

namespace cpl {

// While it lives the device is this thread's current one, which launches of kernels need (there may
// be several GPUs), and LibTorch's operators of this thread go to `stream`.
class OnStream {
 public:
  OnStream(cuda::Device& device, cuda::Stream stream);

 private:
  std::optional<c10::StreamGuard> guard_;
};

at::Device TorchDevice(const cuda::Device& device);

// A tensor of bytes as the struct that lies in it.
template <typename T>
T* BytesAs(const at::Tensor& bytes) {
  return reinterpret_cast<T*>(bytes.data_ptr());
}

// Rows of cells by which a strip must overlap its neighbours so that what lies between does not see
// its ends; a multiple of config.stride().
int StripMargin(const LiveConfig& config);

// RunLive on `strips` strips of rows, one after the other: the same result in less memory. x, side:
// channels-last. Both parts of the result are channels-last.
LiveOutput RunInStrips(cuda::Device& device, const LiveConfig& config, const FoldedNet& net,
                       const at::Tensor& x, const at::Tensor& side, const at::Tensor& cond,
                       int strips);

// Work that is done again and again on the same memory: a few times as it is, so that libraries
// have chosen their algorithms, then as a graph.
class RepeatedWork {
 public:
  void Run(cuda::Device& device, cuda::Stream stream,
           const std::function<void(cuda::Stream)>& work);
  // As many runs as it takes until further ones need no memory: for memory whose contents do not
  // matter yet.
  void Prepare(cuda::Device& device, cuda::Stream stream,
               const std::function<void(cuda::Stream)>& work);
  void Forget() { *this = RepeatedWork(); }

 private:
  static constexpr int kWarmUp = 3;

  int runs_ = 0;
  bool cannot_ = false;  // be captured
  std::unique_ptr<cuda::Graph> graph_;
};

}  // namespace cpl
