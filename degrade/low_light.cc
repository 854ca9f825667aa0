// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>

#include "degrade/effects.h"
#include "degrade/math.h"

namespace cpl::degrade {
namespace {

// The sensor's noise is not the one that NoiseSpec adds later.
constexpr std::uint64_t kNoiseSalt = 0x6c6f776c69676874u;

constexpr int kSteps = 1024;

}  // namespace

LowLightEffect::LowLightEffect(const LowLightSpec& spec, std::uint64_t seed)
    : spec_(spec), noise_(spec.noise, Rng::Mix(seed ^ kNoiseSalt)) {
  curve_.resize(kSteps + 2);
  for (int i = 1; i <= kSteps; ++i) {
    const double level = static_cast<double>(i) / kSteps;
    curve_[i] = static_cast<float>(spec.gain * PreciseExp(spec.gamma * PreciseLog(level)));
  }
  curve_[kSteps + 1] = curve_[kSteps];
}

void LowLightEffect::Apply(const ImageView& rgb, std::int64_t frame) {
  for (int y = 0; y < rgb.height; ++y) {
    float* row = rgb.Row(y);
    for (int x = 0; x < rgb.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        float v = row[3 * x + c];
        v = v > 0.0f ? v : 0.0f;
        v = (v < 1.0f ? v : 1.0f) * kSteps;
        const int below = static_cast<int>(v);
        const float part = v - static_cast<float>(below);
        row[3 * x + c] =
            spec_.tint[c] * (curve_[below] + (curve_[below + 1] - curve_[below]) * part);
      }
    }
  }
  noise_.Apply(rgb, frame);
}

}  // namespace cpl::degrade
