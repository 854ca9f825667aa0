// SPDX-License-Identifier: Apache-2.0

#include "gst/regions.h"

#include <glib.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cpl/error.h"
#include "gst/i18n.h"

namespace cpl {
namespace {

constexpr double kMost = 1e6;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool IsBlank(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return g_ascii_isspace(c); });
}

}  // namespace

Rect ClipTo(const Rect& rect, int width, int height) {
  const auto clip = [](std::int64_t value, int most) {
    return static_cast<int>(std::clamp<std::int64_t>(value, 0, most));
  };
  const int left = clip(rect.x, width), top = clip(rect.y, height);
  const int right = clip(std::int64_t{rect.x} + rect.width, width);
  const int bottom = clip(std::int64_t{rect.y} + rect.height, height);
  if (right <= left || bottom <= top) return {};
  return {left, top, right - left, bottom - top};
}

Regions::Rectangle Regions::Parse(const std::string& text) {
  const auto refuse = [&] {
    return Error(
        ErrorCode::kInvalidArgument,
        Text(_("'%s' is no rectangle: write x,y,width,height in pixels or percent, such as "
               "\"0,0,400,40; 0,90%%,100%%,10%%\"."),
             text.c_str()));
  };
  const std::vector<std::string> numbers = Split(text, ',');
  if (numbers.size() != 4) throw refuse();
  Rectangle rectangle{};
  for (int i = 0; i < 4; ++i) {
    const char* begin = numbers[static_cast<std::size_t>(i)].c_str();
    gchar* end = nullptr;
    // Not strtod: the decimal point must not depend on the language of the desktop.
    Length& length = rectangle.side[i];
    length.value = g_ascii_strtod(begin, &end);
    if (end == begin) throw refuse();
    length.percent = *end == '%';
    if (length.percent) ++end;
    if (!IsBlank(end)) throw refuse();
    if (!(length.value >= 0 && length.value <= kMost)) throw refuse();
  }
  return rectangle;
}

Regions::Regions(const std::string& text) : text_(text) {
  for (const std::string& part : Split(text, ';')) {
    if (!IsBlank(part)) rectangles_.push_back(Parse(part));
  }
}

std::vector<Rect> Regions::In(int width, int height) const {
  std::vector<Rect> rects;
  for (const Rectangle& rectangle : rectangles_) {
    const auto pixels = [&](int i) {
      const Length& length = rectangle.side[i];
      return length.percent ? length.value / 100 * (i % 2 == 0 ? width : height) : length.value;
    };
    // Outward: what is named is left alone to its last pixel.
    const double left = std::floor(pixels(0)), top = std::floor(pixels(1));
    const double right = std::ceil(pixels(0) + pixels(2)),
                 bottom = std::ceil(pixels(1) + pixels(3));
    const Rect rect = ClipTo({static_cast<int>(left), static_cast<int>(top),
                              static_cast<int>(right - left), static_cast<int>(bottom - top)},
                             width, height);
    if (rect.width > 0) rects.push_back(rect);
  }
  return rects;
}

}  // namespace cpl
