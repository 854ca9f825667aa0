// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "cuda/kernels.h"

namespace cpl::cuda {
namespace {

template <typename Body>
void ForEach(int across, int down, const Body& body) {
  for (int y = 0; y < down; ++y) {
    for (int x = 0; x < across; ++x) body(x, y);
  }
}

int JudgeSceneOnHost(const LookJob* job, SceneState* scene, Stream) {
  float blocks[kSceneBlocks];
  std::memset(scene->tone, 0, sizeof(scene->tone));
  for (int i = 0; i < kSceneBlocks; ++i) blocks[i] = SceneBlockMean(job->in, i, scene);
  JudgeScene(blocks, scene);
  return 0;
}

constexpr Kernels kHost = {
    "host",
    [](const FrameJob& job, FrameJob* to, Stream) {
      *to = job;
      return 0;
    },
    [](const LookJob& job, LookJob* to, Stream) {
      *to = job;
      return 0;
    },
    [](const LookJob* job, int count, float* patches, Stream) {
      for (int i = 0; i < count; ++i) {
        ForEach(kPatchStrips, kRouterPatch,
                [&](int strip, int row) { ReadPatchStrip(*job, i, row, strip, patches); });
      }
      return 0;
    },
    &JudgeSceneOnHost,
    [](const Recurrence& r, Stream) {
      ForEach(r.BlocksAcross(), r.BlocksDown(), [&](int x, int y) { MotionBlock(r, x, y); });
      return 0;
    },
    [](const Recurrence& r, Stream) {
      ForEach(r.BlocksAcross(), r.BlocksDown(), [&](int x, int y) { KeepBlock(r, x, y); });
      return 0;
    },
    [](const Recurrence& r, Stream) {
      ForEach(r.BlocksAcross(), r.down, [&](int x, int y) { BlendStrip(r, x, y); });
      return 0;
    },
    [](const Recurrence& r, Stream) {
      ForEach(r.BlocksAcross(), r.down, [&](int x, int y) { FinishStrip(r, x, y); });
      return 0;
    },
    [](const Picture& frame, int across, int down, Dtype dtype, void* cells, Stream) {
      ForEach(across / kStrip, down,
              [&](int strip, int y) { ReadCellStrip(frame, across, strip, y, dtype, cells); });
      return 0;
    },
    [](const Picture& in, const Picture& out, const WriteFactors& factors, int across, Dtype dtype,
       const void* residual, Stream) {
      ForEach((CellsOf(in.width) + kStrip - 1) / kStrip, CellsOf(in.height), [&](int strip, int y) {
        WriteCellStrip(in, out, factors, across, strip, y, dtype, residual);
      });
      return 0;
    },
    [](const Picture& in, const Picture& out, Stream) {
      ForEach((CellsOf(in.width) + kStrip - 1) / kStrip, CellsOf(in.height),
              [&](int strip, int y) { CopyStrip(in, out, strip, y); });
      return 0;
    },
};

}  // namespace

const Kernels& HostKernels() { return kHost; }

}  // namespace cpl::cuda
