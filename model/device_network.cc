// SPDX-License-Identifier: Apache-2.0
#include "model/device_network.h"

#include <algorithm>

namespace cpl {

at::Device TorchDevice(const cuda::Device& device) {
  if (device.info().is_host) return at::Device(at::kCPU);
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device.info().id));
}

OnStream::OnStream(cuda::Device& device, cuda::Stream stream) {
  if (device.info().is_host) return;
  guard_.emplace(c10::Stream::unpack3(device.TorchStreamId(stream),
                                      static_cast<c10::DeviceIndex>(device.info().id),
                                      c10::DeviceType::CUDA));
}

int StripMargin(const LiveConfig& config) {
  // A 3x3 convolution at level l sees 2^l cells beyond its own; each pair has two. A step between
  // levels is counted as one at the coarser level.
  int margin = 4;  // stems and output layers, and what bilinear resizing of the field sees
  for (int l = 0; l < config.levels(); ++l) {
    int convs = 2 * config.encoder[static_cast<std::size_t>(l)] + 2;
    if (l + 1 < config.levels()) convs += 2 * config.decoder[static_cast<std::size_t>(l)] + 1;
    margin += convs << l;
  }
  return (margin + config.stride() - 1) / config.stride() * config.stride();
}

LiveOutput RunInStrips(cuda::Device& device, const LiveConfig& config, const FoldedNet& net,
                       const at::Tensor& x, const at::Tensor& side, const at::Tensor& cond,
                       int strips) {
  constexpr auto kLast = at::MemoryFormat::ChannelsLast;
  const std::int64_t down = x.size(2), across = x.size(3);
  const auto run = [&](std::int64_t first, std::int64_t rows) {
    device.Admit(x.size(0) * rows * across);
    LiveOutput out =
        RunLive(config, net.convs, x.narrow(2, first, rows), side.narrow(2, first, rows), cond);
    out.output = out.output.contiguous(kLast);
    out.field = out.field.contiguous(kLast);
    return out;
  };
  if (strips <= 1) return run(0, down);
  const std::int64_t margin = StripMargin(config), stride = config.stride();
  const std::int64_t rows = (down / stride + strips - 1) / strips * stride;
  LiveOutput whole;
  whole.output = at::empty({1, kOutputChannels, down, across}, x.options(), kLast);
  whole.field = at::empty({1, kFieldChannels, down / kMotionScale, across / kMotionScale},
                          x.options(), kLast);
  for (std::int64_t begin = 0; begin < down; begin += rows) {
    const std::int64_t end = std::min(down, begin + rows);
    const std::int64_t first = std::max<std::int64_t>(0, begin - margin);
    const LiveOutput part = run(first, std::min(down, end + margin) - first);
    whole.output.narrow(2, begin, end - begin)
        .copy_(part.output.narrow(2, begin - first, end - begin));
    whole.field.narrow(2, begin / kMotionScale, (end - begin) / kMotionScale)
        .copy_(part.field.narrow(2, (begin - first) / kMotionScale, (end - begin) / kMotionScale));
  }
  return whole;
}

void RepeatedWork::Prepare(cuda::Device& device, cuda::Stream stream,
                           const std::function<void(cuda::Stream)>& work) {
  while (graph_ == nullptr && !cannot_) Run(device, stream, work);
}

void RepeatedWork::Run(cuda::Device& device, cuda::Stream stream,
                       const std::function<void(cuda::Stream)>& work) {
  if (graph_ == nullptr && !cannot_ && runs_ >= kWarmUp) {
    try {
      graph_ = device.Capture(work);
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const std::exception&) {
      // What cannot be captured runs as it is; if the device itself has failed, that fails too.
      cannot_ = true;
    }
  }
  if (graph_ != nullptr) {
    graph_->Launch(stream);
    return;
  }
  const OnStream on(device, stream);
  work(stream);
  ++runs_;
}

}  // namespace cpl
