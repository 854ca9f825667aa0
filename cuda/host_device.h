// SPDX-License-Identifier: Apache-2.0
//
// A device that is the host: its kernels are the host's, its streams do at once what they are told.
// For tests of everything that is above cuda/device.h.
#pragma once

#include <chrono>
#include <cstring>
#include <memory>

#include "cuda/device.h"

namespace cpl::cuda {

class HostEvent final : public Event {
 public:
  void Record(Stream) override { at_ = std::chrono::steady_clock::now(); }
  bool IsDone() override { return true; }
  void Wait() override {}
  void HoldBack(Stream) override {}
  double MillisecondsSince(const Event& earlier) const override {
    return std::chrono::duration<double, std::milli>(at_ -
                                                     static_cast<const HostEvent&>(earlier).at_)
        .count();
  }

 private:
  std::chrono::steady_clock::time_point at_;
};

class HostGraph final : public Graph {
 public:
  explicit HostGraph(std::function<void(Stream)> work) : work_(std::move(work)) {}
  void Launch(Stream stream) override { work_(stream); }

 private:
  std::function<void(Stream)> work_;
};

class HostDevice : public Device {
 public:
  explicit HostDevice(int id = 0) : info_{"host", id, 8, 0, true} {}

  const DeviceInfo& info() const override { return info_; }
  const Kernels& kernels() const override { return HostKernels(); }
  DeviceMemory Memory() override { return {}; }
  Stream NewStream() override { return nullptr; }
  std::int64_t TorchStreamId(Stream) override { return 0; }
  void Synchronize(Stream) override {}
  std::unique_ptr<Event> NewEvent() override { return std::make_unique<HostEvent>(); }
  std::unique_ptr<Graph> Capture(const std::function<void(Stream)>& work) override {
    return std::make_unique<HostGraph>(work);
  }
  std::shared_ptr<void> NewPinned(std::size_t bytes) override {
    return std::shared_ptr<void>(::operator new(bytes), [](void* p) { ::operator delete(p); });
  }
  void Copy(void* to, const void* from, std::size_t bytes, bool, Stream) override {
    std::memcpy(to, from, bytes);
  }

 private:
  DeviceInfo info_;
};

}  // namespace cpl::cuda
