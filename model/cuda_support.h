// SPDX-License-Identifier: Apache-2.0
//
// Whether there is a GPU to work on, and the way to it. Nothing of CUDA is linked: the driver and
// the backend (libcpl_cuda.so, with LibTorch's CUDA libraries) are opened when first asked for.
// Torch-free.
#pragma once

#include "cuda/device.h"

namespace cpl {

// Returns if models can run on this GPU (-1: the first). Asks the driver only; no context is made.
// Throws Error: kUnsupported (this build has no backend; no driver; one that is too old; a GPU of
// another generation), kNotFound (no GPU of this number). Each names the remedy. Thread-safe.
void CheckCuda(int device_id);

// CheckCuda, then the device itself: opens the backend and makes the device's primary context.
// Throws Error in addition when the backend cannot be opened, naming the library that is missing.
cuda::Device& OpenCudaDevice(int device_id);

}  // namespace cpl
