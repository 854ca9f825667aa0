// SPDX-License-Identifier: Apache-2.0
#include "train/colour.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpl/error.h"
#include "model/pixel_math.h"
#include "model/pixels.h"

namespace cpl::train {
namespace {

std::uint8_t ToByte(float value) {
  return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
}

void Check(const ConstFrameView& yuv, const ConstFrameView& rgb, bool formats) {
  ValidateFrame(yuv);
  ValidateFrame(rgb);
  if (!formats || rgb.format != PixelFormat::kRGB || yuv.width != rgb.width ||
      yuv.height != rgb.height) {
    throw Error(ErrorCode::kInvalidArgument, "frames of other formats or sizes than expected");
  }
}

}  // namespace

void ConvertToRgb(const ConstFrameView& in, const FrameView& rgb) {
  Check(in, AsConst(rgb), in.format == PixelFormat::kI420 || in.format == PixelFormat::kNV12);
  const int cells_across = CellsAcross(in.width);
  std::vector<float> cells(static_cast<std::size_t>(cells_across) * kCellChannels);
  for (int cell_y = 0; cell_y < CellsAcross(in.height); ++cell_y) {
    ReadCellRow(in, cell_y, cells.data());
    for (int dy = 0; dy < 2 && 2 * cell_y + dy < in.height; ++dy) {
      std::uint8_t* row = rgb.plane[0] + (2 * cell_y + dy) * rgb.stride[0];
      for (int x = 0; x < in.width; ++x) {
        const float* cell = &cells[static_cast<std::size_t>(x / 2) * kCellChannels];
        for (int c = 0; c < 3; ++c) {
          const float value = cell[c * 4 + dy * 2 + x % 2] / kUnitsPerRange + 0.5f;
          row[3 * x + c] = ToByte(value * 255.0f);
        }
      }
    }
  }
}

void ConvertFromRgb(const ConstFrameView& rgb, const FrameView& out) {
  Check(AsConst(out), rgb, out.format == PixelFormat::kI420);
  const MatrixWeights weights = WeightsOf(out.matrix);
  const auto kr = static_cast<float>(weights.r), kg = static_cast<float>(weights.g),
             kb = static_cast<float>(weights.b);
  const bool full = out.range == ColorRange::kFull;
  const float luma_scale = full ? 1.0f : 219.0f / 255.0f;
  const float luma_offset = full ? 0.0f : 16.0f;
  const float chroma_scale = full ? 1.0f : 224.0f / 255.0f;
  const float cb_scale = chroma_scale / (2 * (1 - kb));
  const float cr_scale = chroma_scale / (2 * (1 - kr));
  for (int y0 = 0; y0 < rgb.height; y0 += 2) {
    for (int x0 = 0; x0 < rgb.width; x0 += 2) {
      float blue = 0, red = 0;  // sums of B' - Y' and R' - Y'
      int pixels = 0;
      for (int y = y0; y < std::min(y0 + 2, rgb.height); ++y) {
        for (int x = x0; x < std::min(x0 + 2, rgb.width); ++x, ++pixels) {
          const std::uint8_t* p = rgb.plane[0] + y * rgb.stride[0] + 3 * x;
          const float luma = kr * p[0] + kg * p[1] + kb * p[2];
          out.plane[0][y * out.stride[0] + x] = ToByte(luma * luma_scale + luma_offset);
          blue += p[2] - luma;
          red += p[0] - luma;
        }
      }
      const auto count = static_cast<float>(pixels);
      const int x = x0 / 2, y = y0 / 2;
      out.plane[1][y * out.stride[1] + x] = ToByte(blue / count * cb_scale + 128.0f);
      out.plane[2][y * out.stride[2] + x] = ToByte(red / count * cr_scale + 128.0f);
    }
  }
}

}  // namespace cpl::train
