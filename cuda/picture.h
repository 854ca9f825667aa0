// SPDX-License-Identifier: Apache-2.0
//
// A frame as the kernels take it: plain data that is passed to a kernel, made on the host from a
// FrameView. Nothing here dereferences a plane, which may lie in device memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/pixel_math.h"

namespace cpl::cuda {

// Formats by what the kernels have to tell apart; the order of samples is Picture::swapped.
enum class Layout : std::uint8_t {
  kNV12,     // and NV21
  kP010,     //
  kI420,     // and YV12
  kI420_10,  //
  kY42B,     //
  kY444,     //
  kGRAY8,    //
  kPacked3,  // RGB, BGR
  kPacked4,  // RGBA, BGRA, RGBx, BGRx
  kRGBP,     // and GBR, by the order of planes
};

struct Picture {
  std::uint8_t* plane[3] = {nullptr, nullptr, nullptr};
  std::ptrdiff_t stride[3] = {0, 0, 0};
  int width = 0;
  int height = 0;
  Layout layout = Layout::kNV12;
  bool swapped = false;  // packed: B comes first; interleaved chroma: V comes first
  bool wide = false;     // planes and strides are multiples of 16: accesses of up to 16 bytes
  ReadFactors read = {};
};

struct LayoutChoice {
  Layout layout;
  bool swapped;
};

constexpr LayoutChoice LayoutOf(PixelFormat format) {
  switch (format) {
    case PixelFormat::kNV12:
      return {Layout::kNV12, false};
    case PixelFormat::kNV21:
      return {Layout::kNV12, true};
    case PixelFormat::kP010:
      return {Layout::kP010, false};
    case PixelFormat::kI420:
      return {Layout::kI420, false};
    case PixelFormat::kI420_10:
      return {Layout::kI420_10, false};
    case PixelFormat::kY42B:
      return {Layout::kY42B, false};
    case PixelFormat::kY444:
      return {Layout::kY444, false};
    case PixelFormat::kRGB:
      return {Layout::kPacked3, false};
    case PixelFormat::kBGR:
      return {Layout::kPacked3, true};
    case PixelFormat::kRGBA:
    case PixelFormat::kRGBx:
      return {Layout::kPacked4, false};
    case PixelFormat::kBGRA:
    case PixelFormat::kBGRx:
      return {Layout::kPacked4, true};
    case PixelFormat::kRGBP:
      return {Layout::kRGBP, false};
    case PixelFormat::kGRAY8:
      break;
  }
  return {Layout::kGRAY8, false};
}

// The view has passed ValidateFrame.
template <typename Byte>
inline Picture MakePicture(const BasicFrameView<Byte>& view) {
  const FormatInfo info = FormatInfoOf(view.format);
  const LayoutChoice choice = LayoutOf(view.format);
  Picture picture;
  picture.width = view.width;
  picture.height = view.height;
  picture.layout = choice.layout;
  picture.swapped = choice.swapped;
  picture.wide = true;
  picture.read = MakeReadFactors(view.matrix, view.range, info.bits);
  for (int p = 0; p < info.planes; ++p) {
    // Whoever makes a picture of a const view does not name it as the output of a kernel.
    picture.plane[p] = const_cast<std::uint8_t*>(view.plane[p]);
    picture.stride[p] = view.stride[p];
    const auto address = reinterpret_cast<std::uintptr_t>(view.plane[p]);
    picture.wide = picture.wide && address % 16 == 0 && view.stride[p] % 16 == 0;
  }
  return picture;
}

// A part of a picture: x, y even, within it; the same memory.
CPL_HOST_DEVICE inline Picture CropPicture(const Picture& whole, int x, int y, int width,
                                           int height) {
  Picture part = whole;
  part.width = width;
  part.height = height;
  part.wide = false;
  int pixel = 1, chroma_x = 0, chroma_y = 0;
  switch (whole.layout) {
    case Layout::kNV12:
      chroma_x = x, chroma_y = y / 2;
      break;
    case Layout::kP010:
      pixel = 2, chroma_x = 2 * x, chroma_y = y / 2;
      break;
    case Layout::kI420:
      chroma_x = x / 2, chroma_y = y / 2;
      break;
    case Layout::kI420_10:
      pixel = 2, chroma_x = x, chroma_y = y / 2;
      break;
    case Layout::kY42B:
      chroma_x = x / 2, chroma_y = y;
      break;
    case Layout::kY444:
    case Layout::kRGBP:
      chroma_x = x, chroma_y = y;
      break;
    case Layout::kPacked3:
      pixel = 3;
      break;
    case Layout::kPacked4:
      pixel = 4;
      break;
    case Layout::kGRAY8:
      break;
  }
  part.plane[0] += whole.stride[0] * y + static_cast<std::ptrdiff_t>(pixel) * x;
  for (int p = 1; p < 3; ++p) {
    if (part.plane[p] != nullptr) part.plane[p] += whole.stride[p] * chroma_y + chroma_x;
  }
  return part;
}

}  // namespace cpl::cuda
