// SPDX-License-Identifier: Apache-2.0

#include "gst/cuda_context.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

namespace cpl::gstcuda {
namespace {

// From cuda.h; libgstcuda has opened the driver already, which makes these the same library.
struct Driver {
  CUresult(CUDAAPI* retain)(CUcontext* context, CUdevice device);
  CUresult(CUDAAPI* copy)(const CUDA_MEMCPY3D_PEER* copy, CUstream stream);
  CUresult(CUDAAPI* fill8)(CUdeviceptr to, std::size_t pitch, unsigned char value,
                           std::size_t width, std::size_t height, CUstream stream);
  CUresult(CUDAAPI* fill16)(CUdeviceptr to, std::size_t pitch, unsigned short value,
                            std::size_t width, std::size_t height, CUstream stream);
};

const Driver* OpenDriver() {
  static const Driver driver = [] {
    Driver found{};
    if (void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
      const auto find = [library](auto& function, const char* symbol) {
        function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, symbol));
      };
      find(found.retain, "cuDevicePrimaryCtxRetain");
      find(found.copy, "cuMemcpy3DPeerAsync");
      find(found.fill8, "cuMemsetD2D8Async");
      find(found.fill16, "cuMemsetD2D16Async");
    }
    return found;
  }();
  const bool whole = driver.retain != nullptr && driver.copy != nullptr &&
                     driver.fill8 != nullptr && driver.fill16 != nullptr;
  return whole ? &driver : nullptr;
}

GstCudaContext* Wrap(int device_id, std::string* why) {
  CUdevice device = 0;
  CUcontext primary = nullptr;
  if (CuInit(0) != CUDA_SUCCESS || CuDeviceGet(&device, device_id) != CUDA_SUCCESS) {
    *why = "there is no GPU " + std::to_string(device_id);
    return nullptr;
  }
  const Driver* driver = OpenDriver();
  if (driver == nullptr || driver->retain(&primary, device) != CUDA_SUCCESS) {
    *why = "the primary context of GPU " + std::to_string(device_id) + " cannot be had";
    return nullptr;
  }
  GstCudaContext* context = gst_cuda_context_new_wrapped(primary, device);
  if (context == nullptr) {
    *why = "GStreamer does not take the context of GPU " + std::to_string(device_id);
    return nullptr;
  }
  // Known to the leaks tracer as something that stays.
  GST_OBJECT_FLAG_SET(context, GST_OBJECT_FLAG_MAY_BE_LEAKED);
  return context;
}

}  // namespace

GstCudaContext* PrimaryContext(int device_id, std::string* why) {
  static std::mutex mutex;
  static auto* const contexts = new std::map<int, GstCudaContext*>;
  // Loading, too: whoever calls gst_cuda_load_library while another thread is at it is told that
  // all is there before it is.
  const std::lock_guard lock(mutex);
  // The library's functions end the process if they are called without a driver.
  if (!gst_cuda_load_library()) {
    *why = "there is no NVIDIA driver";
    return nullptr;
  }
  GstCudaContext*& context = (*contexts)[device_id];
  if (context == nullptr) context = Wrap(device_id, why);
  return context;
}

bool CopyBetweenContexts(const PlaneCopy& copy, GstCudaContext* from, GstCudaContext* to,
                         CUstream stream) {
  const Driver* driver = OpenDriver();
  if (driver == nullptr || !gst_cuda_context_push(to)) return false;
  CUDA_MEMCPY3D_PEER params = {};
  params.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  params.srcDevice = copy.from;
  params.srcContext = static_cast<CUcontext>(gst_cuda_context_get_handle(from));
  params.srcPitch = copy.from_pitch;
  params.srcHeight = copy.rows;
  params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  params.dstDevice = copy.to;
  params.dstContext = static_cast<CUcontext>(gst_cuda_context_get_handle(to));
  params.dstPitch = copy.to_pitch;
  params.dstHeight = copy.rows;
  params.WidthInBytes = copy.row_bytes;
  params.Height = copy.rows;
  params.Depth = 1;
  const bool copied = driver->copy(&params, stream) == CUDA_SUCCESS;
  gst_cuda_context_pop(nullptr);
  return copied;
}

bool Fill(CUdeviceptr to, std::size_t pitch, unsigned value, int sample_bytes, std::size_t samples,
          std::size_t rows, CUstream stream) {
  const Driver* driver = OpenDriver();
  if (driver == nullptr) return false;
  const CUresult status =
      sample_bytes == 1
          ? driver->fill8(to, pitch, static_cast<unsigned char>(value), samples, rows, stream)
          : driver->fill16(to, pitch, static_cast<unsigned short>(value), samples, rows, stream);
  return status == CUDA_SUCCESS;
}

}  // namespace cpl::gstcuda
