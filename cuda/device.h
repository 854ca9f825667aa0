// SPDX-License-Identifier: Apache-2.0
//
// The one interface between the networks (model/device_model.cc, which issues LibTorch's operators)
// and a GPU: what LibTorch's device-independent part does not reach. libcpl_cuda.so implements it
// with CUDA; host_device.h implements it with the host's memory, so that tests run everything above
// it without a GPU. Torch-free.
//
// Streams are cudaStream_t. Nothing here waits unless it says so. A Device is thread-safe, the
// objects that it makes are for one caller at a time. Failures are std::runtime_error whose text
// begins with "CUDA error" when the device itself failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cuda/kernels.h"

namespace cpl::cuda {

inline constexpr int kDeviceAbi = 2;

// Work that was recorded once and is launched as a whole.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void Launch(Stream stream) = 0;
};

// A place in a stream.
class Event {
 public:
  virtual ~Event() = default;
  virtual void Record(Stream stream) = 0;
  // Whether the stream has come past it; true if it was never recorded.
  virtual bool IsDone() = 0;
  virtual void Wait() = 0;  // on the host
  // What is put into the stream from now on begins when the event has come. Nothing waits here.
  virtual void HoldBack(Stream stream) = 0;
  // Of two recorded events that are done.
  virtual double MillisecondsSince(const Event& earlier) const = 0;
};

struct DeviceInfo {
  std::string name;
  int id = 0;
  int major = 0, minor = 0;  // compute capability
  bool is_host = false;      // no GPU: tests
};

struct DeviceMemory {
  std::int64_t free = 0, total = 0;  // bytes
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  virtual const Kernels& kernels() const = 0;
  virtual DeviceMemory Memory() = 0;

  // A stream of LibTorch's own pool; never freed.
  virtual Stream NewStream() = 0;
  // LibTorch's number for a stream of anybody's.
  virtual std::int64_t TorchStreamId(Stream stream) = 0;
  virtual void Synchronize(Stream stream) = 0;  // waits on the host

  virtual std::unique_ptr<Event> NewEvent() = 0;
  // Records what `work` launches, on a stream of the device's own. `work` must only use memory that
  // stays where it is, or that LibTorch allocates inside it. What `work` throws is thrown here.
  virtual std::unique_ptr<Graph> Capture(const std::function<void(Stream)>& work) = 0;

  // Host memory that copies run to and from without help of the CPU.
  virtual std::shared_ptr<void> NewPinned(std::size_t bytes) = 0;
  // Between pinned and device memory.
  virtual void Copy(void* to, const void* from, std::size_t bytes, bool to_device,
                    Stream stream) = 0;

  // Called before the network runs on so many cells at once; tests refuse here.
  virtual void Admit(std::int64_t cells) {}
};

// The symbol of libcpl_cuda.so: `extern "C" Device* cpl_cuda_device(int abi, int id, char* error,
// size_t size)`. Null with a text in `error` (of `size` bytes) if there is none; the same object
// for the same id, never freed.
inline constexpr char kDeviceSymbol[] = "cpl_cuda_device";
using DeviceFunction = Device* (*)(int abi, int id, char* error, std::size_t size);

}  // namespace cpl::cuda
