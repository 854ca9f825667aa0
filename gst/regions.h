// SPDX-License-Identifier: Apache-2.0
//
// Parts of the picture that are left as they came: what a camera writes into it, logos, masks.
#pragma once

#include <string>
#include <vector>

namespace cpl {

// In pixels, within the picture once clipped to it.
struct Rect {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  bool operator==(const Rect&) const = default;
};

// The part of `rect` that lies in a picture of this size; width and height 0 when there is none.
Rect ClipTo(const Rect& rect, int width, int height);

// Rectangles as text: "x,y,width,height", several with semicolons between. Each number is in
// pixels, or with a % of the picture's width (x, width) or height (y, height). Spaces are allowed.
class Regions {
 public:
  Regions() = default;

  // Throws Error kInvalidArgument, naming the part that is wrong.
  explicit Regions(const std::string& text);

  const std::string& text() const { return text_; }

  // Where they are in a picture of this size, clipped to it; those outside are left out.
  std::vector<Rect> In(int width, int height) const;

 private:
  struct Length {
    double value;
    bool percent;
  };
  struct Rectangle {
    Length side[4];
  };

  static Rectangle Parse(const std::string& text);

  std::string text_;
  std::vector<Rectangle> rectangles_;
};

}  // namespace cpl
