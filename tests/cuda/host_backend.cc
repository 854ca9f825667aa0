// SPDX-License-Identifier: Apache-2.0
//
// The host as the CUDA backend's device: what CPL_CUDA_BACKEND names where tests run the whole
// runtime on the fake driver.
#include <cstdio>

#include "cuda/host_device.h"

extern "C" __attribute__((visibility("default"))) cpl::cuda::Device* cpl_cuda_device(
    int abi, int id, char* error, std::size_t size) {
  if (abi != cpl::cuda::kDeviceAbi || id > 0) {
    std::snprintf(error, size, "the host is one device of one version");
    return nullptr;
  }
  static auto* const device = new cpl::cuda::HostDevice(0);
  return device;
}
