// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions out of additions and multiplications only, so that their last bit is the
// same with every libm. (The library is built without contraction to fused multiply-adds.)
#pragma once

#include <bit>
#include <cstdint>

namespace cpl::degrade {

inline constexpr double kPi = 3.14159265358979323846;

// Relative error below 3e-7 for x in [-87, 87]; outside of it, the value at the nearer end. Free of
// branches: loops over it vectorise.
inline float Exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
  const float k = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
  const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;  // ln 2 in two parts.
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<std::int32_t>(k) + 127) << 23);
}

// e^x for |x| < 700, natural logarithm for finite x > 0, error about 1e-14.
double PreciseExp(double x);
double PreciseLog(double x);

// Error about 1e-12 for |x| < 1e6.
double Sin(double x);
inline double Cos(double x) { return Sin(x + kPi / 2); }

}  // namespace cpl::degrade
