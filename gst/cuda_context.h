// SPDX-License-Identifier: Apache-2.0
//
// The primary context of a GPU as a GstCudaContext, and calls of the driver that GStreamer's CUDA
// library does not make.
#pragma once

#include <string>

#include "gst/cuda_compat.h"

namespace cpl::gstcuda {

// Transfer none: it is made once per process and device and lives as long as the process, since
// buffers that refer to it may outlive every element. Null with a reason. Thread-safe.
GstCudaContext* PrimaryContext(int device_id, std::string* why);

// A part of a plane between two contexts of one device, or within one, on `stream`.
struct PlaneCopy {
  CUdeviceptr from, to;
  std::size_t from_pitch, to_pitch;
  std::size_t row_bytes;
  std::size_t rows;
};
bool CopyBetweenContexts(const PlaneCopy& copy, GstCudaContext* from, GstCudaContext* to,
                         CUstream stream);

// Equal samples of one or two bytes, `samples` side by side in each of `rows`, on `stream` of the
// current context.
bool Fill(CUdeviceptr to, std::size_t pitch, unsigned value, int sample_bytes, std::size_t samples,
          std::size_t rows, CUstream stream);

}  // namespace cpl::gstcuda
