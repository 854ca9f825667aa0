// SPDX-License-Identifier: Apache-2.0
//
// What the streams of a model on a device share: the weights, and the batches of their frames.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "cuda/device.h"
#include "model/live_net.h"
#include "model/model_file.h"

namespace cpl {

// Throws if a launch has failed.
inline void Launched(int status) {
  if (status == 0) return;
  throw std::runtime_error("CUDA error " + std::to_string(status) + " while launching a kernel");
}

// In a catch block: throws what is in flight as an Error that names the device, telling failures of
// the device, and want of its memory, from others.
[[noreturn]] void ThrowForDevice(cuda::Device& device, const char* doing);

template <typename Call>
auto OnDevice(cuda::Device& device, const char* doing, const Call& call) {
  try {
    return call();
  } catch (...) {
    ThrowForDevice(device, doing);
  }
}

// What kAuto means on a device; throws for a type that it does not have.
Precision DevicePrecision(Precision asked, const cuda::Device& device);

inline cuda::Dtype DtypeOf(Precision precision) {
  return precision == Precision::kFp32   ? cuda::Dtype::kFloat32
         : precision == Precision::kBf16 ? cuda::Dtype::kBFloat16
                                         : cuda::Dtype::kFloat16;
}
inline at::ScalarType ScalarTypeOf(Precision precision) {
  return precision == Precision::kFp32   ? at::kFloat
         : precision == Precision::kBf16 ? at::kBFloat16
                                         : at::kHalf;
}

class DeviceBatcher;

// Thread-safe.
class DeviceModel final : public Model {
 public:
  DeviceModel(const std::string& path, const ModelOptions& options, cuda::Device& device);
  ~DeviceModel() override;

  const ModelInfo& info() const override { return info_; }
  Precision precision() const override { return precision_; }
  DeviceKind device() const override { return DeviceKind::kCuda; }
  std::unique_ptr<Restorer> NewStream() override;

  cuda::Device& gpu() const { return device_; }
  at::Device torch_device() const { return torch_device_; }
  const LiveConfig& config() const { return file_.config; }
  const Parameters& heads() const { return heads_; }
  const Parameters& parameters() const { return file_.parameters; }  // on the CPU
  int clean() const { return clean_; }
  DeviceBatcher& batcher() const { return *batcher_; }

  cuda::Dtype dtype() const { return DtypeOf(precision_); }
  at::ScalarType scalar_type() const { return ScalarTypeOf(precision_); }

  // With one prompt folded in, made at its first use. The motion head is small and decides over
  // many frames: it stays in float32.
  const FoldedNet& Folded(int prompt);

  // With a mix of prompts folded in, for one stream alone.
  FoldedNet FoldedWith(const std::vector<float>& mix) const;
  // Puts another mix into `net`, a result of FoldedWith, where it is: graphs that read it go on
  // with the new weights. mix: [prompts], on the device. On the current stream; nothing waits.
  void FoldAnew(const at::Tensor& mix, const FoldedNet& net) const;

 private:
  cuda::Device& device_;
  LiveModelFile file_;
  at::Device torch_device_;
  ModelInfo info_;
  Precision precision_;
  int clean_;
  Parameters heads_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<FoldedNet>> folded_;
  std::unique_ptr<DeviceBatcher> batcher_;
};

std::unique_ptr<Restorer> NewDeviceStream(std::shared_ptr<DeviceModel> model);

}  // namespace cpl
