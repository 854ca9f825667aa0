// SPDX-License-Identifier: Apache-2.0
//
// The kernels as functions that launch them. Every pointer is to memory that the kernels can reach
// (device memory, or the host's for the host's table) unless a struct is passed by value or by
// reference, which is copied at the launch. Launches are asynchronous on `stream`, a cudaStream_t
// of the current device; nothing is allocated, nothing waits. They may be captured into a graph.
//
// Each returns 0 or a cudaError_t of the launch. Limits: pixels.h, recurrence.h.
#pragma once

#include "cuda/look.h"

namespace cpl::cuda {

using Stream = void*;

struct Kernels {
  const char* name;

  // *to = job.
  int (*set_job)(const FrameJob& job, FrameJob* to, Stream stream);
  int (*set_look)(const LookJob& job, LookJob* to, Stream stream);

  // patches: float32 [count][32][32][12]; count as in the job.
  int (*read_patches)(const LookJob* job, int count, float* patches, Stream stream);
  // Takes the frame's blocks and tone into `scene` and says there whether it began another scene.
  int (*judge_scene)(const LookJob* job, SceneState* scene, Stream stream);

  // The four passes of a frame, in this order; what comes between them is the caller's: the motion
  // head after `motion`, the network after `blend`.
  int (*motion)(const Recurrence& recurrence, Stream stream);
  int (*keep)(const Recurrence& recurrence, Stream stream);
  int (*blend)(const Recurrence& recurrence, Stream stream);
  int (*finish)(const Recurrence& recurrence, Stream stream);

  // For networks without a memory. cells, residual: dtype [down][across][12], across a multiple of
  // 4, both at least the frame's cells.
  int (*read_cells)(const Picture& frame, int across, int down, Dtype dtype, void* cells,
                    Stream stream);
  int (*write_cells)(const Picture& in, const Picture& out, const WriteFactors& factors, int across,
                     Dtype dtype, const void* residual, Stream stream);
  // out = in, within rows.
  int (*copy_frame)(const Picture& in, const Picture& out, Stream stream);
};

// On the host, one after the other: what tests and the fake device run. `stream` is ignored.
const Kernels& HostKernels();

// On the GPU, where nvcc was there to compile them.
const Kernels& DeviceKernels();

}  // namespace cpl::cuda
