// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include "cuda/kernels.h"

namespace cpl::cuda {
namespace {

// Work items lie in rows: x goes on in steps of a thread, so that neighbours read side by side.
constexpr int kThreadsX = 32;
constexpr int kThreadsY = 4;
constexpr int kThreads = kThreadsX * kThreadsY;

dim3 GridFor(int across, int down, int layers = 1) {
  return dim3((across + kThreadsX - 1) / kThreadsX, (down + kThreadsY - 1) / kThreadsY, layers);
}
dim3 Block() { return dim3(kThreadsX, kThreadsY); }

__device__ int X() { return static_cast<int>(blockIdx.x * kThreadsX + threadIdx.x); }
__device__ int Y() { return static_cast<int>(blockIdx.y * kThreadsY + threadIdx.y); }

cudaStream_t On(Stream stream) { return static_cast<cudaStream_t>(stream); }

int Launched() { return static_cast<int>(cudaGetLastError()); }

template <typename Job>
__global__ void SetJob(const Job job, Job* to) {
  // By words, all threads together.
  const auto* from = reinterpret_cast<const std::uint32_t*>(&job);
  auto* words = reinterpret_cast<std::uint32_t*>(to);
  for (unsigned i = threadIdx.x; i < sizeof(Job) / 4; i += blockDim.x) words[i] = from[i];
}
static_assert(sizeof(FrameJob) % 4 == 0 && sizeof(FrameJob) <= 4000, "passed by value");
static_assert(sizeof(LookJob) % 4 == 0 && sizeof(LookJob) <= 4000, "passed by value");

__global__ void __launch_bounds__(kThreads) ReadPatches(const LookJob* job, float* patches) {
  if (X() < kPatchStrips && Y() < kRouterPatch) {
    ReadPatchStrip(*job, static_cast<int>(blockIdx.z), Y(), X(), patches);
  }
}

__global__ void __launch_bounds__(kSceneBlocks) Scene(const LookJob* job, SceneState* scene) {
  __shared__ float blocks[kSceneBlocks];
  for (unsigned i = threadIdx.x; i < kToneChannels * kToneBins; i += kSceneBlocks) {
    scene->tone[0][i] = 0;
  }
  __syncthreads();
  blocks[threadIdx.x] = SceneBlockMean(job->in, static_cast<int>(threadIdx.x), scene);
  __syncthreads();
  if (threadIdx.x == 0) JudgeScene(blocks, scene);
}

__global__ void __launch_bounds__(kThreads) Motion(const Recurrence r) {
  if (X() < r.BlocksAcross() && Y() < r.BlocksDown()) MotionBlock(r, X(), Y());
}

__global__ void __launch_bounds__(kThreads) Keep(const Recurrence r) {
  if (X() < r.BlocksAcross() && Y() < r.BlocksDown()) KeepBlock(r, X(), Y());
}

__global__ void __launch_bounds__(kThreads) Blend(const Recurrence r) {
  if (X() < r.BlocksAcross() && Y() < r.down) BlendStrip(r, X(), Y());
}

__global__ void __launch_bounds__(kThreads) Finish(const Recurrence r) {
  if (X() < r.BlocksAcross() && Y() < r.down) FinishStrip(r, X(), Y());
}

__global__ void __launch_bounds__(kThreads)
    ReadCells(const Picture frame, int across, int down, Dtype dtype, void* cells) {
  if (X() < across / kStrip && Y() < down) ReadCellStrip(frame, across, X(), Y(), dtype, cells);
}

__global__ void __launch_bounds__(kThreads)
    WriteCells(const Picture in, const Picture out, const WriteFactors factors, int across,
               Dtype dtype, const void* residual) {
  if (kStrip * X() < CellsOf(in.width) && Y() < CellsOf(in.height)) {
    WriteCellStrip(in, out, factors, across, X(), Y(), dtype, residual);
  }
}

__global__ void __launch_bounds__(kThreads) Copy(const Picture in, const Picture out) {
  if (kStrip * X() < CellsOf(in.width) && Y() < CellsOf(in.height)) CopyStrip(in, out, X(), Y());
}

const Kernels kDevice = {
    "cuda",
    [](const FrameJob& job, FrameJob* to, Stream stream) {
      SetJob<FrameJob><<<1, 256, 0, On(stream)>>>(job, to);
      return Launched();
    },
    [](const LookJob& job, LookJob* to, Stream stream) {
      SetJob<LookJob><<<1, 256, 0, On(stream)>>>(job, to);
      return Launched();
    },
    [](const LookJob* job, int count, float* patches, Stream stream) {
      ReadPatches<<<GridFor(kPatchStrips, kRouterPatch, count), Block(), 0, On(stream)>>>(job,
                                                                                          patches);
      return Launched();
    },
    [](const LookJob* job, SceneState* scene, Stream stream) {
      Scene<<<1, kSceneBlocks, 0, On(stream)>>>(job, scene);
      return Launched();
    },
    [](const Recurrence& r, Stream stream) {
      Motion<<<GridFor(r.BlocksAcross(), r.BlocksDown()), Block(), 0, On(stream)>>>(r);
      return Launched();
    },
    [](const Recurrence& r, Stream stream) {
      Keep<<<GridFor(r.BlocksAcross(), r.BlocksDown()), Block(), 0, On(stream)>>>(r);
      return Launched();
    },
    [](const Recurrence& r, Stream stream) {
      Blend<<<GridFor(r.BlocksAcross(), r.down), Block(), 0, On(stream)>>>(r);
      return Launched();
    },
    [](const Recurrence& r, Stream stream) {
      Finish<<<GridFor(r.BlocksAcross(), r.down), Block(), 0, On(stream)>>>(r);
      return Launched();
    },
    [](const Picture& frame, int across, int down, Dtype dtype, void* cells, Stream stream) {
      ReadCells<<<GridFor(across / kStrip, down), Block(), 0, On(stream)>>>(frame, across, down,
                                                                            dtype, cells);
      return Launched();
    },
    [](const Picture& in, const Picture& out, const WriteFactors& factors, int across, Dtype dtype,
       const void* residual, Stream stream) {
      WriteCells<<<GridFor((CellsOf(in.width) + kStrip - 1) / kStrip, CellsOf(in.height)), Block(),
                   0, On(stream)>>>(in, out, factors, across, dtype, residual);
      return Launched();
    },
    [](const Picture& in, const Picture& out, Stream stream) {
      Copy<<<GridFor((CellsOf(in.width) + kStrip - 1) / kStrip, CellsOf(in.height)), Block(), 0,
             On(stream)>>>(in, out);
      return Launched();
    },
};

}  // namespace

const Kernels& DeviceKernels() { return kDevice; }

}  // namespace cpl::cuda
