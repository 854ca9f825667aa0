// SPDX-License-Identifier: Apache-2.0

#include "gst/degrade_frame.h"

#include <algorithm>

#include "model/pixels.h"

namespace cpl {
namespace {

constexpr float kMostSlant = 1.2f;    // degrade/spec.h's limit of rain.angle
constexpr float kSlantOfWind = 0.6f;  // radians
constexpr float kDriftOfWind = 4.0f;  // pixels a frame, in a picture of 720 rows

// Bytes from a pixel to its red, green and blue; pixel_bytes 0 for what is not 8-bit RGB.
struct RgbOrder {
  int pixel_bytes = 0;
  int red = 0;
  int blue = 2;
};

RgbOrder OrderOf(PixelFormat format) {
  switch (format) {
    case PixelFormat::kRGB:
      return {3, 0, 2};
    case PixelFormat::kBGR:
      return {3, 2, 0};
    case PixelFormat::kRGBA:
    case PixelFormat::kRGBx:
      return {4, 0, 2};
    case PixelFormat::kBGRA:
    case PixelFormat::kBGRx:
      return {4, 2, 0};
    default:
      return {};
  }
}

// Calls visit(float* rgb_of_the_pixel, const float* cell_value) for the pixels of a row of cells
// that lie in the picture; the values of a cell's channels are four floats apart.
template <typename Visit>
void ForEachPixel(const degrade::ImageView& picture, int cell_y, float* cells, const Visit& visit) {
  for (int dy = 0; dy < 2 && 2 * cell_y + dy < picture.height; ++dy) {
    float* row = picture.Row(2 * cell_y + dy);
    for (int x = 0; x < picture.width; ++x) {
      visit(row + 3 * x, cells + x / 2 * kCellChannels + dy * 2 + x % 2);
    }
  }
}

}  // namespace

degrade::Spec SpecOf(const DegradeSettings& settings, int height) {
  degrade::Spec spec = degrade::SpecForLevel(settings.kinds, settings.level, settings.seed, height);
  const auto wind = static_cast<float>(settings.wind);
  if (spec.rain) {
    spec.rain->angle = std::clamp(spec.rain->angle + kSlantOfWind * wind, -kMostSlant, kMostSlant);
  }
  if (spec.snow) {
    for (degrade::SnowLayer& layer : spec.snow->layers) layer.wind += wind * layer.fall;
  }
  if (spec.haze) {
    spec.haze->drift[0] += kDriftOfWind * wind * static_cast<float>(height) / 720;
  }
  return spec;
}

void FrameDegrader::Restart() {
  degrader_.reset();
  index_ = 0;
}

void FrameDegrader::Apply(const FrameView& frame, const DegradeSettings& settings) {
  if (frame.width != picture_.width || frame.height != picture_.height) {
    pixels_.resize(std::size_t{3} * static_cast<std::size_t>(frame.width) *
                   static_cast<std::size_t>(frame.height));
    picture_ = {pixels_.data(), frame.width, frame.height, std::ptrdiff_t{3} * frame.width};
    degrader_.reset();
  }
  if (!degrader_ || settings != settings_) {
    degrader_.emplace(SpecOf(settings, frame.height), frame.width, frame.height);
    settings_ = settings;
  }
  if (OrderOf(frame.format).pixel_bytes > 0) {
    ApplyToRgb(frame);
  } else {
    ApplyToYuv(frame);
  }
  ++index_;
}

void FrameDegrader::ApplyToRgb(const FrameView& frame) {
  const RgbOrder order = OrderOf(frame.format);
  std::vector<std::uint8_t> rgb(std::size_t{3} * static_cast<std::size_t>(frame.width));
  const auto row_of = [&](int y) {
    return degrade::ImageView{picture_.Row(y), frame.width, 1, picture_.stride};
  };
  for (int y = 0; y < frame.height; ++y) {
    const std::uint8_t* from = frame.plane[0] + y * frame.stride[0];
    for (std::size_t x = 0; x < rgb.size(); x += 3, from += order.pixel_bytes) {
      rgb[x] = from[order.red];
      rgb[x + 1] = from[1];
      rgb[x + 2] = from[order.blue];
    }
    degrade::FromU8(rgb.data(), 0, row_of(y));
  }
  degrader_->Apply(picture_, index_);
  for (int y = 0; y < frame.height; ++y) {
    degrade::ToU8(row_of(y), rgb.data(), 0);
    std::uint8_t* to = frame.plane[0] + y * frame.stride[0];
    for (std::size_t x = 0; x < rgb.size(); x += 3, to += order.pixel_bytes) {
      to[order.red] = rgb[x];
      to[1] = rgb[x + 1];
      to[order.blue] = rgb[x + 2];
    }
  }
}

void FrameDegrader::ApplyToYuv(const FrameView& frame) {
  // ReadCellRow's unit is (v - 0.5) * 4.
  const ConstFrameView in = AsConst(frame);
  std::vector<float> cells(static_cast<std::size_t>(CellsAcross(frame.width)) * kCellChannels);
  for (int y = 0; y < CellsAcross(frame.height); ++y) {
    ReadCellRow(in, y, cells.data());
    ForEachPixel(picture_, y, cells.data(), [](float* rgb, const float* cell) {
      for (int c = 0; c < 3; ++c) rgb[c] = std::clamp(cell[4 * c] / 4 + 0.5f, 0.0f, 1.0f);
    });
  }
  degrader_->Apply(picture_, index_);
  for (int y = 0; y < CellsAcross(frame.height); ++y) {
    ReadCellRow(in, y, cells.data());
    ForEachPixel(picture_, y, cells.data(), [](const float* rgb, float* cell) {
      for (int c = 0; c < 3; ++c) {
        const float before = std::clamp(cell[4 * c] / 4 + 0.5f, 0.0f, 1.0f);
        cell[4 * c] = (rgb[c] - before) * 4;
      }
    });
    WriteCellRow(in, frame, y, cells.data(), 1);
  }
}

}  // namespace cpl
