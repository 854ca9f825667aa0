// SPDX-License-Identifier: Apache-2.0
#include "model/pixels.h"

#include <cstring>
#include <string>

#include "cpl/error.h"
#include "model/pixel_kernels.h"
#include "model/pixel_math.h"

namespace cpl {
namespace {

// What the code needs to know of a format.
struct FormatInfo {
  const char* name;
  PixelLayout layout;
  int planes;
  int bytes_per_pixel;  // In plane 0.
  bool blue_first;
};

FormatInfo InfoOf(PixelFormat format) {
  switch (format) {
    case PixelFormat::kNV12:
      return {"NV12", PixelLayout::kNV12, 2, 1, false};
    case PixelFormat::kI420:
      return {"I420", PixelLayout::kI420, 3, 1, false};
    case PixelFormat::kRGB:
      return {"RGB", PixelLayout::kPacked3, 1, 3, false};
    case PixelFormat::kBGR:
      return {"BGR", PixelLayout::kPacked3, 1, 3, true};
    case PixelFormat::kRGBA:
      return {"RGBA", PixelLayout::kPacked4, 1, 4, false};
    case PixelFormat::kBGRA:
      return {"BGRA", PixelLayout::kPacked4, 1, 4, true};
    case PixelFormat::kRGBx:
      return {"RGBx", PixelLayout::kPacked4, 1, 4, false};
    case PixelFormat::kBGRx:
      return {"BGRx", PixelLayout::kPacked4, 1, 4, true};
  }
  throw Error(ErrorCode::kInvalidArgument,
              "unknown pixel format " + std::to_string(static_cast<int>(format)));
}

// Bytes of a row of a plane.
int RowBytes(const FormatInfo& info, int plane, int width) {
  if (plane == 0) return width * info.bytes_per_pixel;
  return CellsAcross(width) * (info.layout == PixelLayout::kNV12 ? 2 : 1);
}

template <typename Byte>
Byte* RowOf(const BasicFrameView<Byte>& frame, int plane, int y) {
  return frame.plane[plane] + frame.stride[plane] * y;
}

CellRow InputRow(const ConstFrameView& frame, const FormatInfo& info, int cell_y) {
  CellRow row;
  row.width = frame.width;
  row.blue_first = info.blue_first;
  row.in_top = RowOf(frame, 0, 2 * cell_y);
  row.in_bottom = 2 * cell_y + 1 < frame.height ? RowOf(frame, 0, 2 * cell_y + 1) : row.in_top;
  if (info.planes > 1) row.in_u = RowOf(frame, 1, cell_y);
  if (info.planes > 2) row.in_v = RowOf(frame, 2, cell_y);
  return row;
}

}  // namespace

void ValidateFrame(const ConstFrameView& frame) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, what);
  };
  const FormatInfo info = InfoOf(frame.format);
  const std::string size = std::to_string(frame.width) + "x" + std::to_string(frame.height);
  if (frame.width < 1 || frame.width > kMaxFrameSide || frame.height < 1 ||
      frame.height > kMaxFrameSide) {
    refuse("a frame of " + size + " is out of range: each side must be in 1.." +
           std::to_string(kMaxFrameSide));
  }
  if (frame.matrix > ColorMatrix::kBT2020) refuse("unknown colour matrix of a frame");
  if (frame.range > ColorRange::kFull) refuse("unknown colour range of a frame");
  for (int plane = 0; plane < info.planes; ++plane) {
    const std::string which =
        "plane " + std::to_string(plane) + " of the " + info.name + " frame of " + size;
    if (frame.plane[plane] == nullptr) refuse(which + " is missing");
    const int row = RowBytes(info, plane, frame.width);
    if (frame.stride[plane] > -row && frame.stride[plane] < row) {
      refuse(which + " has a stride of " + std::to_string(frame.stride[plane]) +
             " bytes, less than a row's " + std::to_string(row));
    }
  }
}

void ValidateFramePair(const ConstFrameView& in, const FrameView& out) {
  ValidateFrame(in);
  ValidateFrame(AsConst(out));
  if (in.format != out.format || in.width != out.width || in.height != out.height ||
      in.matrix != out.matrix || in.range != out.range) {
    throw Error(ErrorCode::kInvalidArgument,
                "input and output frame differ in format, size, colour matrix or range");
  }
}

void ReadCellRow(const ConstFrameView& frame, int cell_y, float* cells) {
  const FormatInfo info = InfoOf(frame.format);
  BestPixelKernels().read[static_cast<int>(info.layout)](
      InputRow(frame, info, cell_y), MakeReadFactors(frame.matrix, frame.range), cells);
}

void WriteCellRow(const ConstFrameView& in, const FrameView& out, int cell_y, const float* residual,
                  float strength) {
  const FormatInfo info = InfoOf(in.format);
  const float sane = strength > 0.0f ? (strength < 1.0f ? strength : 1.0f) : 0.0f;
  CellRow row = InputRow(in, info, cell_y);
  row.out_top = RowOf(out, 0, 2 * cell_y);
  if (2 * cell_y + 1 < in.height) row.out_bottom = RowOf(out, 0, 2 * cell_y + 1);
  if (info.planes > 1) row.out_u = RowOf(out, 1, cell_y);
  if (info.planes > 2) row.out_v = RowOf(out, 2, cell_y);
  BestPixelKernels().write[static_cast<int>(info.layout)](
      row, MakeWriteFactors(in.matrix, in.range, sane), residual);
}

void PackRow(const float* cells, int cells_x, float* out, int channels) {
  for (int i = 0; i < cells_x; ++i, cells += kCellChannels, out += channels) {
    std::memcpy(out, cells, kCellChannels * sizeof(float));
  }
}

void PackRow(const float* cells, int cells_x, std::uint16_t* out, int channels) {
  BestPixelKernels().pack_bf16(cells, cells_x, out, channels);
}

}  // namespace cpl
