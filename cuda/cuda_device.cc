// SPDX-License-Identifier: Apache-2.0
//
// cuda/device.h on a GPU, through LibTorch's allocator, streams and graphs. The only file that
// includes LibTorch's CUDA headers.
#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <stdexcept>

#include "cuda/device.h"

namespace cpl::cuda {
namespace {

void Check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA error while ") + doing + ": " +
                           cudaGetErrorString(status));
}

cudaStream_t Native(Stream stream) { return static_cast<cudaStream_t>(stream); }

class CudaEvent final : public Event {
 public:
  CudaEvent() { Check(cudaEventCreate(&event_), "making an event"); }
  ~CudaEvent() override { cudaEventDestroy(event_); }
  void Record(Stream stream) override {
    Check(cudaEventRecord(event_, Native(stream)), "recording an event");
  }
  bool IsDone() override {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) return false;
    Check(status, "asking for an event");
    return true;
  }
  void Wait() override { Check(cudaEventSynchronize(event_), "waiting for the GPU"); }
  void HoldBack(Stream stream) override {
    Check(cudaStreamWaitEvent(Native(stream), event_, 0), "ordering two streams");
  }
  double MillisecondsSince(const Event& earlier) const override {
    float ms = 0;
    const cudaError_t status =
        cudaEventElapsedTime(&ms, static_cast<const CudaEvent&>(earlier).event_, event_);
    return status == cudaSuccess ? static_cast<double>(ms) : 0;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(int device) : device_(device) {}
  at::cuda::CUDAGraph& graph() { return graph_; }
  void Launch(Stream stream) override {
    const c10::cuda::CUDAStreamGuard guard(
        c10::cuda::getStreamFromExternal(Native(stream), static_cast<c10::DeviceIndex>(device_)));
    graph_.replay();
  }

 private:
  int device_;
  at::cuda::CUDAGraph graph_;
};

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int id) {
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(id));
    cudaDeviceProp properties;
    Check(cudaGetDeviceProperties(&properties, id), "asking for the GPU's properties");
    info_ = {properties.name, id, properties.major, properties.minor, false};
    Check(cudaFree(nullptr), "making the primary context");
    // Frames of a stream have one shape, so that trying the algorithms once pays; and float32 is to
    // be exact.
    at::globalContext().setBenchmarkCuDNN(true);
    at::globalContext().setAllowTF32CuDNN(false);
  }

  const DeviceInfo& info() const override { return info_; }
  const Kernels& kernels() const override { return DeviceKernels(); }

  DeviceMemory Memory() override {
    const c10::cuda::CUDAGuard guard(Index());
    std::size_t free = 0, total = 0;
    Check(cudaMemGetInfo(&free, &total), "asking for free memory");
    return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
  }

  Stream NewStream() override { return c10::cuda::getStreamFromPool(false, Index()).stream(); }

  std::int64_t TorchStreamId(Stream stream) override {
    return c10::cuda::getStreamFromExternal(Native(stream), Index()).id();
  }

  void Synchronize(Stream stream) override {
    Check(cudaStreamSynchronize(Native(stream)), "waiting for the GPU");
  }

  std::unique_ptr<Event> NewEvent() override {
    const c10::cuda::CUDAGuard guard(Index());
    return std::make_unique<CudaEvent>();
  }

  std::unique_ptr<Graph> Capture(const std::function<void(Stream)>& work) override {
    auto graph = std::make_unique<CudaGraph>(info_.id);
    // Capturing forbids other threads nothing (thread-local mode): decoders and encoders of the
    // same process go on allocating meanwhile.
    const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, Index()));
    const Stream stream = c10::cuda::getCurrentCUDAStream(Index()).stream();
    graph->graph().capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work(stream);
    } catch (...) {
      try {
        graph->graph().capture_end();
      } catch (...) {  // the first failure is the one to tell
      }
      throw;
    }
    graph->graph().capture_end();
    return graph;
  }

  std::shared_ptr<void> NewPinned(std::size_t bytes) override {
    const c10::cuda::CUDAGuard guard(Index());
    void* memory = nullptr;
    Check(cudaMallocHost(&memory, bytes), "allocating pinned memory");
    return std::shared_ptr<void>(memory, [](void* p) { cudaFreeHost(p); });
  }

  void Copy(void* to, const void* from, std::size_t bytes, bool to_device, Stream stream) override {
    Check(cudaMemcpyAsync(to, from, bytes,
                          to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                          Native(stream)),
          "copying");
  }

 private:
  c10::DeviceIndex Index() const { return static_cast<c10::DeviceIndex>(info_.id); }

  DeviceInfo info_;
};

Device* DeviceOf(int id) {
  static std::mutex mutex;
  static auto* const devices = new std::map<int, std::unique_ptr<CudaDevice>>;
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<CudaDevice>& device = (*devices)[id];
  if (!device) device = std::make_unique<CudaDevice>(id);
  return device.get();
}

}  // namespace
}  // namespace cpl::cuda

extern "C" __attribute__((visibility("default"))) cpl::cuda::Device* cpl_cuda_device(
    int abi, int id, char* error, std::size_t size) {
  if (abi != cpl::cuda::kDeviceAbi) {
    std::snprintf(error, size, "it is of another version of cplrestore");
    return nullptr;
  }
  try {
    return cpl::cuda::DeviceOf(id);
  } catch (const std::exception& failure) {
    std::snprintf(error, size, "%s", failure.what());
  } catch (...) {
    std::snprintf(error, size, "an unknown failure");
  }
  return nullptr;
}
