// SPDX-License-Identifier: Apache-2.0
#include "model/pixels.h"

#include <string>

#include "cpl/error.h"
#include "model/pixel_kernels.h"
#include "model/pixel_math.h"

namespace cpl {
namespace {

// How the kernels take a format.
struct Kernel {
  PixelLayout layout;
  bool swapped;
};

Kernel KernelOf(PixelFormat format) {
  switch (format) {
    case PixelFormat::kNV12:
      return {PixelLayout::kNV12, false};
    case PixelFormat::kNV21:
      return {PixelLayout::kNV12, true};
    case PixelFormat::kI420:
      return {PixelLayout::kI420, false};
    case PixelFormat::kRGB:
      return {PixelLayout::kPacked3, false};
    case PixelFormat::kBGR:
      return {PixelLayout::kPacked3, true};
    case PixelFormat::kRGBA:
    case PixelFormat::kRGBx:
      return {PixelLayout::kPacked4, false};
    case PixelFormat::kBGRA:
    case PixelFormat::kBGRx:
      return {PixelLayout::kPacked4, true};
    case PixelFormat::kP010:
      return {PixelLayout::kP010, false};
    case PixelFormat::kI420_10:
      return {PixelLayout::kI420_10, false};
    case PixelFormat::kY42B:
      return {PixelLayout::kY42B, false};
    case PixelFormat::kY444:
      return {PixelLayout::kY444, false};
    case PixelFormat::kGRAY8:
      return {PixelLayout::kGRAY8, false};
    case PixelFormat::kRGBP:
      return {PixelLayout::kRGBP, false};
  }
  throw Error(ErrorCode::kInternal, "a frame of unknown format was not refused");
}

// The rows of a plane that a row of cells covers, `first` and what follows it.
template <typename Byte>
void PlaceRows(const BasicFrameView<Byte>& frame, const FormatInfo& info, int plane, int cell_y,
               Byte** rows, bool repeat) {
  const int per_cell = plane == 0 ? 2 : 2 / info.rows;
  const int first = per_cell * cell_y;
  rows[0] = frame.plane[plane] + frame.stride[plane] * first;
  const bool has_second = per_cell == 2 && first + 1 < PlaneRows(info, plane, frame.height);
  rows[1] = has_second ? rows[0] + frame.stride[plane] : repeat ? rows[0] : nullptr;
}

CellRow InputRow(const ConstFrameView& frame, const FormatInfo& info, bool swapped, int cell_y) {
  CellRow row;
  row.width = frame.width;
  row.swapped = swapped;
  for (int p = 0; p < info.planes; ++p) PlaceRows(frame, info, p, cell_y, row.in[p], true);
  return row;
}

}  // namespace

void ValidateFrame(const ConstFrameView& frame) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, what);
  };
  const FormatInfo info = FormatInfoOf(frame.format);
  if (info.planes == 0) {
    refuse("unknown pixel format " + std::to_string(static_cast<int>(frame.format)));
  }
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
    const std::ptrdiff_t row = PlaneRowBytes(info, plane, frame.width);
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
  const FormatInfo info = FormatInfoOf(frame.format);
  const Kernel kernel = KernelOf(frame.format);
  BestPixelKernels().read[static_cast<int>(kernel.layout)](
      InputRow(frame, info, kernel.swapped, cell_y),
      MakeReadFactors(frame.matrix, frame.range, info.bits), cells);
}

void WriteCellRow(const ConstFrameView& in, const FrameView& out, int cell_y, const float* residual,
                  float strength) {
  const FormatInfo info = FormatInfoOf(in.format);
  const Kernel kernel = KernelOf(in.format);
  const float sane = strength > 0.0f ? (strength < 1.0f ? strength : 1.0f) : 0.0f;
  CellRow row = InputRow(in, info, kernel.swapped, cell_y);
  for (int p = 0; p < info.planes; ++p) PlaceRows(out, info, p, cell_y, row.out[p], false);
  BestPixelKernels().write[static_cast<int>(kernel.layout)](
      row, MakeWriteFactors(in.matrix, in.range, info.bits, sane), residual);
}

}  // namespace cpl
