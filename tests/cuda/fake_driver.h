// SPDX-License-Identifier: Apache-2.0
//
// A libcuda.so.1 for tests: contexts, streams and memory as GStreamer's CUDA library asks for them,
// with host memory behind device pointers. It runs no kernels. Tests reach its controls with dlsym.
#pragma once

#include <cstddef>

struct CplFakeCuda {
  // What the driver says.
  int version = 13000;  // as cuDriverGetVersion
  int devices = 1;
  int major = 8, minor = 6;
  int init = 0;  // a CUresult
  // The allocation of device memory that fails, counted from 1 on from now; 0: none.
  int fail_allocation = 0;
  // The wait for a stream that fails, counted likewise.
  int fail_synchronise = 0;

  // What happened.
  int live_allocations = 0;  // of device memory
  int live_contexts = 0;     // made by cuCtxCreate
  int live_streams = 0;
  int retained = 0;          // calls of cuDevicePrimaryCtxRetain
  int to_device = 0;         // copies
  int to_host = 0;           // copies
  int within_device = 0;     // copies
  int between_contexts = 0;  // copies
  int fills = 0;             // of device memory
  int synchronised = 0;      // calls of cuStreamSynchronize
  // Calls without a current context, unknown pointers, double frees, copies within rows that
  // overlap.
  int misuse = 0;
  void* primary = nullptr;  // the primary context of GPU 0, once it was retained
};

// `extern "C" CplFakeCuda* cpl_fake_cuda()`; not locked: tests look between frames.
using CplFakeCudaFunction = CplFakeCuda* (*)();
