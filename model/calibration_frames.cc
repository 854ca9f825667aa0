// SPDX-License-Identifier: Apache-2.0
#include "model/calibration_frames.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace cpl {
namespace {

constexpr int kWidth = kCalibrationWidth, kHeight = kCalibrationHeight;

// splitmix64 (S. Vigna). Whole numbers only, so that every machine draws the same.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u) {}
  std::uint64_t Next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  int Below(int count) { return static_cast<int>(Next() >> 33) % count; }
  int Between(int low, int high) { return low + Below(high - low + 1); }
  // A sum of twelve: normal enough, of variance 1 in 1/4096.
  int Normal() {
    int sum = -6 * 4096;
    for (int i = 0; i < 12; ++i) sum += Below(4096);
    return sum;
  }

 private:
  std::uint64_t state_;
};

using Colour = std::array<int, 3>;

class Picture {
 public:
  Picture() : values_(static_cast<std::size_t>(kWidth) * kHeight * 3) {}
  int* At(int x, int y) { return values_.data() + (static_cast<std::size_t>(y) * kWidth + x) * 3; }
  bool Holds(int x, int y) const { return x >= 0 && y >= 0 && x < kWidth && y < kHeight; }
  // part: of 256.
  void Mix(int x, int y, const Colour& colour, int part) {
    if (!Holds(x, y)) return;
    for (int c = 0; c < 3; ++c) At(x, y)[c] += (colour[c] - At(x, y)[c]) * part / 256;
  }
  template <typename Function>
  void ForEach(const Function& function) {
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) function(x, y, At(x, y));
    }
  }

 private:
  std::vector<int> values_;
};

Colour AnyColour(Random& random) {
  const int grey = random.Between(0, 255), hue = random.Below(3) == 0 ? 120 : 25;
  Colour colour;
  for (int& c : colour) c = std::clamp(grey + random.Between(-hue, hue), 0, 255);
  return colour;
}

// Ramps, texture of every size, and things with sharp edges, some of them in stripes as fine as
// pixels. `moved`: how far the things are from where they were.
Picture Scene(int seed, int moved) {
  Random random(static_cast<std::uint64_t>(seed) + 1);
  Picture picture;
  const Colour top = AnyColour(random), bottom = AnyColour(random);
  picture.ForEach([&](int, int y, int* to) {
    for (int c = 0; c < 3; ++c) to[c] = top[c] + (bottom[c] - top[c]) * y / kHeight;
  });
  for (int size = 32; size >= 1; size /= 2) {
    const int across = kWidth / size + 2;
    std::vector<int> grid(static_cast<std::size_t>(across) * (kHeight / size + 2));
    const int most = 6 + size;
    for (int& value : grid) value = random.Between(-most, most);
    picture.ForEach([&](int x, int y, int* to) {
      const int* const at = grid.data() + y / size * across + x / size;
      const int right = x % size, down = y % size;
      const int above = at[0] * (size - right) + at[1] * right;
      const int below = at[across] * (size - right) + at[across + 1] * right;
      for (int c = 0; c < 3; ++c) {
        to[c] += (above * (size - down) + below * down) / (size * size);
      }
    });
  }
  for (int i = 0; i < 24; ++i) {
    const Colour colour = AnyColour(random), other = AnyColour(random);
    const int w = random.Between(3, 36), h = random.Between(3, 36);
    const int left = random.Between(-8, kWidth) + moved, up = random.Between(-8, kHeight);
    const bool round = random.Below(2) == 0;
    const int stripe = random.Below(3) == 0 ? random.Between(1, 4) : 1000;
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        const int dx = 2 * x - w, dy = 2 * y - h;
        if (round && dx * dx * h * h + dy * dy * w * w > w * w * h * h) continue;
        picture.Mix(left + x, up + y, x / stripe % 2 == 0 ? colour : other, 256);
      }
    }
  }
  return picture;
}

void AddRain(Picture& picture, Random& random) {
  for (int i = 0; i < kWidth * kHeight / 90; ++i) {
    const int length = random.Between(5, 24), slant = random.Between(0, 4);
    const int part = random.Between(40, 190), x = random.Below(kWidth);
    const int y = random.Between(-10, kHeight), wide = random.Below(3) == 0 ? 2 : 1;
    for (int k = 0; k < length * wide; ++k) {
      picture.Mix(x + k / wide * slant / 8 + k % wide, y + k / wide, {235, 235, 240}, part);
    }
  }
}

void AddSnow(Picture& picture, Random& random) {
  for (int i = 0; i < kWidth * kHeight / 160; ++i) {
    const int size = random.Between(1, 7), cx = random.Below(kWidth), cy = random.Below(kHeight);
    const int part = random.Between(120, 250);
    for (int y = -size; y <= size; ++y) {
      for (int x = -size; x <= size; ++x) {
        if (4 * (x * x + y * y) <= size * size) {
          picture.Mix(cx + x, cy + y, {240, 240, 240}, part);
        }
      }
    }
  }
}

// What a camera sees of a scene in this clip, at this frame.
std::vector<std::uint8_t> Taken(Picture picture, int clip, int frame) {
  Random random(static_cast<std::uint64_t>(clip) * 100 + frame + 1000);
  const auto haze = [&](int least, int most) {
    picture.ForEach([&](int x, int y, int*) {
      picture.Mix(x, y, {222, 220, 215}, most + (least - most) * y / kHeight);
    });
  };
  const auto noise = [&](int sigma) {
    picture.ForEach([&](int, int, int* to) {
      for (int c = 0; c < 3; ++c) to[c] += sigma * random.Normal() / 4096;
    });
  };
  switch (clip) {
    case 0:
      break;
    case 1:
      noise(25);
      break;
    case 2:
      noise(45);
      break;
    case 3:
      AddRain(picture, random);
      haze(15, 15);
      break;
    case 4:
      AddSnow(picture, random);
      haze(15, 15);
      break;
    case 5:
      haze(60, 230);
      break;
    case 6:
      haze(150, 190);
      noise(5);
      break;
    case 7:  // night
      picture.ForEach([&](int, int, int* to) {
        for (int c = 0; c < 3; ++c) to[c] /= 5;
      });
      noise(12);
      AddRain(picture, random);
      break;
  }
  std::vector<std::uint8_t> bytes;
  bytes.reserve(static_cast<std::size_t>(kWidth) * kHeight * 4);
  picture.ForEach([&](int, int, const int* from) {
    for (int c = 0; c < 3; ++c) {
      bytes.push_back(static_cast<std::uint8_t>(std::clamp(from[c], 0, 255)));
    }
    bytes.push_back(0);
  });
  return bytes;
}

}  // namespace

std::vector<std::vector<std::uint8_t>> CalibrationClip(int clip) {
  const Picture still = Scene(clip, 0);
  std::vector<std::vector<std::uint8_t>> frames;
  for (int frame = 0; frame < kCalibrationFrames - 1; ++frame) {
    frames.push_back(Taken(still, clip, frame));
  }
  frames.push_back(Taken(Scene(clip, 7), clip, kCalibrationFrames - 1));
  return frames;
}

}  // namespace cpl
