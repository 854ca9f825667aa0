// SPDX-License-Identifier: Apache-2.0
//
// The signatures and layouts are those of cuda.h, written out: the suffixes _v2 are macros there,
// and the file builds where there is no CUDA.
#include "tests/cuda/fake_driver.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#define CPL_CUDA extern "C" __attribute__((visibility("default"))) int

namespace {

constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100,
              kInvalidContext = 201, kNotSupported = 801, kInvalidDevice = 101,
              kIllegalAddress = 700;
constexpr std::size_t kPitch = 512;
constexpr unsigned kHost = 1, kDevice = 2;  // CU_MEMORYTYPE_*

struct Context {
  int device = 0;
  bool primary = false;
};

struct Stream {
  Context* context;
};

using DevicePointer = unsigned long long;

// CUDA_MEMCPY2D
struct Copy2D {
  std::size_t src_x, src_y;
  unsigned src_type;
  const void* src_host;
  DevicePointer src_device;
  void* src_array;
  std::size_t src_pitch;
  std::size_t dst_x, dst_y;
  unsigned dst_type;
  void* dst_host;
  DevicePointer dst_device;
  void* dst_array;
  std::size_t dst_pitch;
  std::size_t width, height;
};

// CUDA_MEMCPY3D_PEER
struct Copy3DPeer {
  std::size_t src_x, src_y, src_z, src_lod;
  unsigned src_type;
  const void* src_host;
  DevicePointer src_device;
  void* src_array;
  Context* src_context;
  std::size_t src_pitch, src_height;
  std::size_t dst_x, dst_y, dst_z, dst_lod;
  unsigned dst_type;
  void* dst_host;
  DevicePointer dst_device;
  void* dst_array;
  Context* dst_context;
  std::size_t dst_pitch, dst_height;
  std::size_t width, height, depth;
};

std::mutex mutex;
CplFakeCuda state;
std::map<std::uintptr_t, std::size_t> allocations;  // by address, sizes
std::map<int, Context*> primaries;
thread_local std::vector<Context*> current;

bool HasContext() {
  if (!current.empty()) return true;
  ++state.misuse;
  return false;
}

int Allocate(DevicePointer* pointer, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  if (state.fail_allocation > 0 && --state.fail_allocation == 0) return kOutOfMemory;
  void* memory = std::aligned_alloc(kPitch, (bytes + kPitch - 1) / kPitch * kPitch);
  if (memory == nullptr) return kOutOfMemory;
  *pointer = reinterpret_cast<std::uintptr_t>(memory);
  allocations[reinterpret_cast<std::uintptr_t>(memory)] = bytes;
  ++state.live_allocations;
  return kSuccess;
}

// Whether rows of a copy lie in one allocation of ours.
bool IsDeviceMemory(DevicePointer at, std::size_t pitch, std::size_t width, std::size_t height) {
  auto it = allocations.upper_bound(static_cast<std::uintptr_t>(at));
  if (it == allocations.begin()) return false;
  --it;
  const std::size_t first = static_cast<std::uintptr_t>(at) - it->first;
  return height == 0 || first + pitch * (height - 1) + width <= it->second;
}

// Whether a row is copied onto a part of itself: undefined on a GPU.
bool Overlap(DevicePointer from, DevicePointer to, std::size_t width) {
  return from < to + width && to < from + width;
}

void CopyRows(const std::uint8_t* from, std::size_t from_pitch, std::uint8_t* to,
              std::size_t to_pitch, std::size_t width, std::size_t height) {
  for (std::size_t y = 0; y < height; ++y) {
    std::memcpy(to + y * to_pitch, from + y * from_pitch, width);
  }
}

int Copy(const Copy2D& c) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  const bool from_device = c.src_type == kDevice, to_device = c.dst_type == kDevice;
  if ((!from_device && c.src_type != kHost) || (!to_device && c.dst_type != kHost)) {
    return kNotSupported;
  }
  if ((from_device && !IsDeviceMemory(c.src_device, c.src_pitch, c.width, c.height)) ||
      (to_device && !IsDeviceMemory(c.dst_device, c.dst_pitch, c.width, c.height)) ||
      (from_device && to_device && Overlap(c.src_device, c.dst_device, c.width))) {
    ++state.misuse;
    return kInvalidValue;
  }
  const auto* from = static_cast<const std::uint8_t*>(
      from_device ? reinterpret_cast<const void*>(c.src_device) : c.src_host);
  auto* to =
      static_cast<std::uint8_t*>(to_device ? reinterpret_cast<void*>(c.dst_device) : c.dst_host);
  CopyRows(from + c.src_y * c.src_pitch + c.src_x, c.src_pitch,
           to + c.dst_y * c.dst_pitch + c.dst_x, c.dst_pitch, c.width, c.height);
  if (from_device && to_device) {
    ++state.within_device;
  } else if (to_device) {
    ++state.to_device;
  } else if (from_device) {
    ++state.to_host;
  }
  return kSuccess;
}

template <typename Sample>
int Fill(DevicePointer to, std::size_t pitch, Sample value, std::size_t width, std::size_t height) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  if (to % sizeof value != 0 || pitch % sizeof value != 0 ||
      !IsDeviceMemory(to, pitch, width * sizeof value, height)) {
    ++state.misuse;
    return kInvalidValue;
  }
  for (std::size_t y = 0; y < height; ++y) {
    auto* row = reinterpret_cast<Sample*>(to + y * pitch);
    for (std::size_t x = 0; x < width; ++x) row[x] = value;
  }
  ++state.fills;
  return kSuccess;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) CplFakeCuda* cpl_fake_cuda() { return &state; }

CPL_CUDA cuInit(unsigned) {
  if (state.init != 0) return state.init;
  return state.devices > 0 ? kSuccess : kNoDevice;
}
CPL_CUDA cuDriverGetVersion(int* version) {
  *version = state.version;
  return kSuccess;
}
CPL_CUDA cuGetErrorName(int, const char** text) {
  *text = "CUDA_ERROR_FAKE";
  return kSuccess;
}
CPL_CUDA cuGetErrorString(int, const char** text) {
  *text = "an error of the fake driver";
  return kSuccess;
}

CPL_CUDA cuDeviceGetCount(int* count) {
  *count = state.devices;
  return kSuccess;
}
CPL_CUDA cuDeviceGet(int* device, int ordinal) {
  if (ordinal < 0 || ordinal >= state.devices) return kInvalidDevice;
  *device = ordinal;
  return kSuccess;
}
CPL_CUDA cuDeviceGetName(char* name, int size, int) {
  std::strncpy(name, "Fake GPU", static_cast<std::size_t>(size));
  return kSuccess;
}
CPL_CUDA cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75   ? state.major
           : attribute == 76 ? state.minor
           : attribute == 14 ? static_cast<int>(kPitch)  // CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT
                             : 0;
  return kSuccess;
}
CPL_CUDA cuDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return kSuccess;
}

CPL_CUDA cuDevicePrimaryCtxRetain(Context** context, int device) {
  const std::lock_guard lock(mutex);
  Context*& primary = primaries[device];
  if (primary == nullptr) primary = new Context{device, true};
  if (device == 0) state.primary = primary;
  ++state.retained;
  *context = primary;
  return kSuccess;
}
CPL_CUDA cuCtxCreate_v2(Context** context, unsigned, int device) {
  const std::lock_guard lock(mutex);
  *context = new Context{device, false};
  current.push_back(*context);
  ++state.live_contexts;
  return kSuccess;
}
CPL_CUDA cuCtxDestroy_v2(Context* context) {
  const std::lock_guard lock(mutex);
  if (context->primary) {
    ++state.misuse;
    return kInvalidContext;
  }
  --state.live_contexts;
  delete context;
  return kSuccess;
}
CPL_CUDA cuCtxPushCurrent_v2(Context* context) {
  current.push_back(context);
  return kSuccess;
}
CPL_CUDA cuCtxPopCurrent_v2(Context** context) {
  if (current.empty()) return kInvalidContext;
  if (context != nullptr) *context = current.back();
  current.pop_back();
  return kSuccess;
}
CPL_CUDA cuCtxEnablePeerAccess(Context*, unsigned) { return kSuccess; }
CPL_CUDA cuCtxDisablePeerAccess(Context*) { return kSuccess; }

CPL_CUDA cuMemAlloc_v2(DevicePointer* pointer, std::size_t bytes) {
  return Allocate(pointer, bytes);
}
CPL_CUDA cuMemAllocPitch_v2(DevicePointer* pointer, std::size_t* pitch, std::size_t width,
                            std::size_t height, unsigned) {
  *pitch = (width + kPitch - 1) / kPitch * kPitch;
  return Allocate(pointer, *pitch * height);
}
CPL_CUDA cuMemFree_v2(DevicePointer pointer) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  if (allocations.erase(static_cast<std::uintptr_t>(pointer)) == 0) {
    ++state.misuse;
    return kInvalidValue;
  }
  std::free(reinterpret_cast<void*>(pointer));
  --state.live_allocations;
  return kSuccess;
}
CPL_CUDA cuMemAllocHost_v2(void** pointer, std::size_t bytes) {
  *pointer = std::malloc(bytes);
  return *pointer == nullptr ? kOutOfMemory : kSuccess;
}
CPL_CUDA cuMemFreeHost(void* pointer) {
  std::free(pointer);
  return kSuccess;
}
CPL_CUDA cuMemcpy2D_v2(const Copy2D* copy) { return Copy(*copy); }
CPL_CUDA cuMemcpy2DAsync_v2(const Copy2D* copy, Stream*) { return Copy(*copy); }
CPL_CUDA cuMemcpy3DPeerAsync(const Copy3DPeer* c, Stream*) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  if (c->src_type != kDevice || c->dst_type != kDevice || c->depth != 1 ||
      !IsDeviceMemory(c->src_device, c->src_pitch, c->width, c->height) ||
      !IsDeviceMemory(c->dst_device, c->dst_pitch, c->width, c->height)) {
    ++state.misuse;
    return kInvalidValue;
  }
  CopyRows(reinterpret_cast<const std::uint8_t*>(c->src_device), c->src_pitch,
           reinterpret_cast<std::uint8_t*>(c->dst_device), c->dst_pitch, c->width, c->height);
  ++state.between_contexts;
  return kSuccess;
}

CPL_CUDA cuMemsetD2D8Async(DevicePointer to, std::size_t pitch, unsigned char value,
                           std::size_t width, std::size_t height, Stream*) {
  return Fill(to, pitch, value, width, height);
}
CPL_CUDA cuMemsetD2D16Async(DevicePointer to, std::size_t pitch, unsigned short value,
                            std::size_t width, std::size_t height, Stream*) {
  return Fill(to, pitch, value, width, height);
}

CPL_CUDA cuStreamCreate(Stream** stream, unsigned) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  *stream = new Stream{current.back()};
  ++state.live_streams;
  return kSuccess;
}
CPL_CUDA cuStreamDestroy(Stream* stream) {
  const std::lock_guard lock(mutex);
  delete stream;
  --state.live_streams;
  return kSuccess;
}
CPL_CUDA cuStreamDestroy_v2(Stream* stream) { return cuStreamDestroy(stream); }
CPL_CUDA cuStreamSynchronize(Stream*) {
  const std::lock_guard lock(mutex);
  if (!HasContext()) return kInvalidContext;
  ++state.synchronised;
  return state.fail_synchronise > 0 && --state.fail_synchronise == 0 ? kIllegalAddress : kSuccess;
}

CPL_CUDA cuCtxSynchronize() { return HasContext() ? kSuccess : kInvalidContext; }
CPL_CUDA cuEventCreate(void** event, unsigned) {
  *event = std::malloc(1);
  return kSuccess;
}
CPL_CUDA cuEventDestroy_v2(void* event) {
  std::free(event);
  return kSuccess;
}
CPL_CUDA cuEventRecord(void*, Stream*) { return kSuccess; }
CPL_CUDA cuEventSynchronize(void*) { return kSuccess; }

// What libgstcuda looks for and no test calls: 1.22, then what came later.
#define CPL_UNUSED(name) \
  CPL_CUDA name() { return kNotSupported; }
CPL_UNUSED(cuGraphicsMapResources)
CPL_UNUSED(cuGraphicsUnmapResources)
CPL_UNUSED(cuGraphicsUnregisterResource)
CPL_UNUSED(cuGraphicsGLRegisterImage)
CPL_UNUSED(cuGraphicsGLRegisterBuffer)
CPL_UNUSED(cuGraphicsResourceSetMapFlags_v2)
CPL_UNUSED(cuGraphicsSubResourceGetMappedArray)
CPL_UNUSED(cuGraphicsResourceGetMappedPointer_v2)
CPL_UNUSED(cuGLGetDevices_v2)
CPL_UNUSED(cuModuleLoadData)
CPL_UNUSED(cuModuleUnload)
CPL_UNUSED(cuModuleGetFunction)
CPL_UNUSED(cuTexObjectCreate)
CPL_UNUSED(cuTexObjectDestroy)
CPL_UNUSED(cuLaunchKernel)
CPL_UNUSED(cuCtxGetLimit)
CPL_UNUSED(cuCtxSetLimit)
CPL_UNUSED(cuDestroyExternalMemory)
CPL_UNUSED(cuDestroyExternalSemaphore)
CPL_UNUSED(cuExternalMemoryGetMappedBuffer)
CPL_UNUSED(cuExternalMemoryGetMappedMipmappedArray)
CPL_UNUSED(cuImportExternalMemory)
CPL_UNUSED(cuImportExternalSemaphore)
CPL_UNUSED(cuIpcCloseMemHandle)
CPL_UNUSED(cuIpcGetEventHandle)
CPL_UNUSED(cuIpcGetMemHandle)
CPL_UNUSED(cuIpcOpenEventHandle)
CPL_UNUSED(cuIpcOpenMemHandle)
CPL_UNUSED(cuMemAddressFree)
CPL_UNUSED(cuMemAddressReserve)
CPL_UNUSED(cuMemAllocAsync)
CPL_UNUSED(cuMemAllocFromPoolAsync)
CPL_UNUSED(cuMemCreate)
CPL_UNUSED(cuMemExportToShareableHandle)
CPL_UNUSED(cuMemFreeAsync)
CPL_UNUSED(cuMemGetAccess)
CPL_UNUSED(cuMemGetAllocationGranularity)
CPL_UNUSED(cuMemGetAllocationPropertiesFromHandle)
CPL_UNUSED(cuMemImportFromShareableHandle)
CPL_UNUSED(cuMemMap)
CPL_UNUSED(cuMemPoolCreate)
CPL_UNUSED(cuMemPoolDestroy)
CPL_UNUSED(cuMemPoolGetAttribute)
CPL_UNUSED(cuMemPoolSetAttribute)
CPL_UNUSED(cuMemRelease)
CPL_UNUSED(cuMemRetainAllocationHandle)
CPL_UNUSED(cuMemSetAccess)
CPL_UNUSED(cuMemUnmap)
CPL_UNUSED(cuMemcpyDtoDAsync_v2)
CPL_UNUSED(cuMemcpyDtoD_v2)
CPL_UNUSED(cuMemcpyDtoHAsync_v2)
CPL_UNUSED(cuMemcpyDtoH_v2)
CPL_UNUSED(cuMemcpyHtoDAsync_v2)
CPL_UNUSED(cuMemcpyHtoD_v2)
CPL_UNUSED(cuMemsetD2D16_v2)
CPL_UNUSED(cuMemsetD2D32Async)
CPL_UNUSED(cuMemsetD2D32_v2)
CPL_UNUSED(cuMemsetD2D8_v2)
CPL_UNUSED(cuSignalExternalSemaphoresAsync)
CPL_UNUSED(cuWaitExternalSemaphoresAsync)
