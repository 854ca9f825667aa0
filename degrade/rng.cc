// SPDX-License-Identifier: Apache-2.0
#include "degrade/rng.h"

#include <array>
#include <cmath>

#include "degrade/math.h"

namespace cpl::degrade {
namespace {

constexpr int kBits = 12;
constexpr std::uint64_t kMask = (1u << kBits) - 1;

// Weights whose squares add up to one: of two coarse normals they make a fine one, with 2^24
// values and tails to 5.2.
constexpr float kMajor = 0.8f;
constexpr float kMinor = 0.6f;

using QuantileTable = std::array<float, 1 << kBits>;

// The quantiles of the normal distribution at (i + 0.5) / size, scaled to variance 1. Solved by
// Newton's method on the series for its distribution function.
QuantileTable MakeQuantiles() {
  constexpr int kSize = 1 << kBits;
  std::array<double, kSize / 2> upper;
  const double root_two_pi = std::sqrt(2 * kPi);
  double x = 0;
  double sum_of_squares = 0;
  for (int i = 0; i < kSize / 2; ++i) {
    const double want = (i + 0.5) / kSize;  // Area between 0 and x.
    for (int step = 0; step < 12; ++step) {
      const double density = PreciseExp(-0.5 * x * x) / root_two_pi;
      double term = x;
      double series = x;
      for (int n = 3; n < 160; n += 2) series += term *= x * x / n;
      x -= (density * series - want) / density;
    }
    upper[i] = x;
    sum_of_squares += 2 * x * x;
  }
  const double scale = 1 / std::sqrt(sum_of_squares / kSize);
  QuantileTable table;
  for (int i = 0; i < kSize / 2; ++i) {
    table[kSize / 2 + i] = static_cast<float>(upper[i] * scale);
    table[kSize / 2 - 1 - i] = static_cast<float>(-upper[i] * scale);
  }
  return table;
}

const float* Quantiles() {
  static const QuantileTable table = MakeQuantiles();
  return table.data();
}

inline float First(const float* table, std::uint64_t bits) {
  return kMajor * table[bits & kMask] + kMinor * table[(bits >> kBits) & kMask];
}

inline float Second(const float* table, std::uint64_t bits) {
  return kMajor * table[(bits >> (2 * kBits)) & kMask] +
         kMinor * table[(bits >> (3 * kBits)) & kMask];
}

}  // namespace

float Rng::LogUniform(float low, float high) {
  return static_cast<float>(low * PreciseExp(Uniform() * PreciseLog(double{high} / low)));
}

float Rng::Normal() { return First(Quantiles(), Next()); }

void Rng::FillNormal(float* to, std::size_t count) {
  const float* table = Quantiles();
  std::uint64_t state = state_;
  std::size_t i = 0;
  for (; i + 1 < count; i += 2) {
    const std::uint64_t bits = Mix(state += kGamma);
    to[i] = First(table, bits);
    to[i + 1] = Second(table, bits);
  }
  if (i < count) to[i] = First(table, Mix(state += kGamma));
  state_ = state;
}

}  // namespace cpl::degrade
