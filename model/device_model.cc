// SPDX-License-Identifier: Apache-2.0
#include "model/device_model.h"

#include <algorithm>

#include "model/device_batch.h"
#include "model/device_network.h"
#include "model/device_weights.h"
#include "model/model_info.h"

namespace cpl {
namespace {

std::string MiB(std::int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

void ThrowForDevice(cuda::Device& device, const char* doing) {
  const std::string gpu =
      "GPU " + std::to_string(device.info().id) + " (" + device.info().name + ")";
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    const cuda::DeviceMemory memory = device.Memory();
    throw Error(ErrorCode::kOutOfMemory,
                gpu + " is out of memory while " + doing + ": " + MiB(memory.free) + " of " +
                    MiB(memory.total) +
                    " are free. Use smaller frames or fewer streams, or set device to cpu.");
  } catch (const std::exception& error) {
    std::string what = error.what();
    if (const auto* torch = dynamic_cast<const c10::Error*>(&error)) {
      what = torch->what_without_backtrace();
    }
    for (const char* sign : {"CUDA", "cuda", "CUDNN", "cuDNN", "CUBLAS"}) {
      if (what.find(sign) == std::string::npos) continue;
      throw Error(ErrorCode::kDeviceLost, gpu + " failed while " + doing + ": " +
                                              what.substr(0, what.find('\n')) +
                                              ". Restart the pipeline, or set device to cpu.");
    }
    throw Error(ErrorCode::kInternal, std::string("failed while ") + doing + ": " + what);
  }
}

Precision DevicePrecision(Precision asked, const cuda::Device& device) {
  if (asked == Precision::kInt8) {
    throw Error(ErrorCode::kUnsupported,
                "precision int8 is for the CPU: set device to cpu, or precision to auto, fp16 or "
                "fp32.");
  }
  if (asked == Precision::kAuto) return Precision::kFp16;
  if (asked == Precision::kBf16 && device.info().major < 8) {
    throw Error(ErrorCode::kUnsupported,
                "GPU " + std::to_string(device.info().id) + " (" + device.info().name +
                    ") has no bfloat16: set precision to auto, fp16 or fp32.");
  }
  return asked;
}

DeviceModel::DeviceModel(const std::string& path, const ModelOptions& options, cuda::Device& device)
    : device_(device), file_(LoadLiveModel(path)), torch_device_(TorchDevice(device)) {
  precision_ = DevicePrecision(options.precision, device);
  info_ = InfoOf(path, "live", file_);
  const auto clean = std::find(file_.prompts.begin(), file_.prompts.end(), "clean");
  clean_ = clean == file_.prompts.end() ? -1 : static_cast<int>(clean - file_.prompts.begin());
  for (const auto& [name, tensor] : file_.parameters.items()) {
    heads_.Add(name, tensor.to(torch_device_));
  }
  folded_.resize(file_.prompts.size());
  batcher_ = std::make_unique<DeviceBatcher>(*this);
}

DeviceModel::~DeviceModel() = default;

const FoldedNet& DeviceModel::Folded(int prompt) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<FoldedNet>& net = folded_[static_cast<std::size_t>(prompt)];
  if (!net) {
    std::vector<float> mix(file_.prompts.size(), 0);
    mix[static_cast<std::size_t>(prompt)] = 1;
    net = std::make_unique<FoldedNet>(FoldedWith(mix));
  }
  return *net;
}

FoldedNet DeviceModel::FoldedWith(const std::vector<float>& mix) const {
  FoldedNet folded = Fold(file_.config, file_.parameters, at::tensor(mix));
  // Converted on the CPU, so that nothing is left to be done on a stream when this returns.
  const auto move = [&](std::vector<FoldedConv>& convs, at::ScalarType type) {
    for (FoldedConv& conv : convs) {
      conv.weight =
          conv.weight.to(type).contiguous(at::MemoryFormat::ChannelsLast).to(torch_device_);
      conv.bias = conv.bias.to(torch_device_);
      if (conv.cond.defined()) conv.cond = conv.cond.to(torch_device_);
    }
  };
  move(folded.convs, scalar_type());
  move(folded.motion, at::kFloat);
  device_.Synchronize(nullptr);
  return folded;
}

void DeviceModel::FoldAnew(const at::Tensor& mix, const FoldedNet& net) const {
  const FoldedNet fresh = Fold(file_.config, heads_, mix);
  const auto copy = [](const std::vector<FoldedConv>& from, const std::vector<FoldedConv>& to) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      at::Tensor(to[i].weight).copy_(from[i].weight);
      at::Tensor(to[i].bias).copy_(from[i].bias);
    }
  };
  copy(fresh.convs, net.convs);
  copy(fresh.motion, net.motion);
}

std::unique_ptr<Restorer> DeviceModel::NewStream() {
  return OnDevice(device_, "opening a stream", [&] {
    return NewDeviceStream(std::static_pointer_cast<DeviceModel>(shared_from_this()));
  });
}

std::shared_ptr<Model> OpenDeviceModel(const std::string& path, const ModelOptions& options,
                                       cuda::Device& device) {
  return OnDevice(device, "loading a model", [&]() -> std::shared_ptr<Model> {
    return std::make_shared<DeviceModel>(path, options, device);
  });
}

}  // namespace cpl
