// SPDX-License-Identifier: Apache-2.0
//
// What the router sees of a frame, and plain conversions, on host and device. Formats, sizes and
// alignments: pixels.h.
#pragma once

#include "cuda/recurrence.h"

namespace cpl::cuda {

inline constexpr int kMostPatches = 128;
inline constexpr int kPatchStrips = kRouterPatch / kStrip;

// Of one frame, in device memory. x, y are even and in the frame; patches larger than the frame
// repeat its last column and row.
struct LookJob {
  Picture in;
  int count = 0;
  struct Place {
    std::int16_t x, y;
  } place[kMostPatches] = {};
};

// Strip `strip` of row `row` of a patch into cells: float32 [count][32][32][12].
CPL_HOST_DEVICE inline void ReadPatchStrip(const LookJob& job, int patch, int row, int strip,
                                           float* cells) {
  constexpr int kSide = 2 * kRouterPatch;
  const int width = job.in.width < kSide ? job.in.width : kSide;
  const int height = job.in.height < kSide ? job.in.height : kSide;
  const Picture part = CropPicture(job.in, job.place[patch].x, job.place[patch].y, width, height);
  float values[kStrip][kCellValues];
  ReadStrip(part, strip, row, values);
  const std::ptrdiff_t at =
      (static_cast<std::ptrdiff_t>(patch) * kRouterPatch + row) * kRouterPatch + kStrip * strip;
  StoreValues<kStrip * kCellValues>(Dtype::kFloat32, cells, at * kCellValues, values[0]);
}

// For networks without a memory; cells, residual: [..][across][12].
CPL_HOST_DEVICE inline void ReadCellStrip(const Picture& frame, int across, int strip, int y,
                                          Dtype dtype, void* cells) {
  float values[kStrip][kCellValues];
  ReadStrip(frame, strip, y, values);
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(y) * across + kStrip * strip;
  StoreValues<kStrip * kCellValues>(dtype, cells, at * kCellValues, values[0]);
}

CPL_HOST_DEVICE inline void WriteCellStrip(const Picture& in, const Picture& out,
                                           const WriteFactors& factors, int across, int strip,
                                           int y, Dtype dtype, const void* residual) {
  float values[kStrip][kCellValues];
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(y) * across + kStrip * strip;
  LoadValues<kStrip * kCellValues>(dtype, residual, at * kCellValues, values[0]);
  WriteStrip(in, out, factors, strip, y, values);
}

CPL_HOST_DEVICE inline void CopyStrip(const Picture& in, const Picture& out, int strip, int y) {
  const float nothing[kStrip][kCellValues] = {};
  WriteStrip(in, out, WriteFactors{}, strip, y, nothing);
}

}  // namespace cpl::cuda
