// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that are the same on every machine. The distributions of <random> are left to the
// implementation, and libm differs in the last bit, so both are done here in plain IEEE arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpl::degrade {

// Counter-based: number n of the stream (seed, a, b, c) is a hash of these five, so streams can be
// opened anywhere, in any order and thread. The hash is SplitMix64 (Steele, Lea, Flood: Fast
// Splittable Pseudorandom Number Generators, 2014). A value, cheap to copy and to make.
class Rng {
 public:
  explicit Rng(std::uint64_t seed, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0)
      : state_(Mix(Mix(Mix(Mix(seed + kGamma) + a + kGamma) + b + kGamma) + c + kGamma)) {}

  std::uint64_t Next() { return Mix(state_ += kGamma); }

  // [0, 1), 24 bits.
  float Uniform() { return static_cast<float>(Next() >> 40) * 0x1p-24f; }
  float Uniform(float low, float high) { return low + (high - low) * Uniform(); }

  // As likely in each octave; 0 < low <= high.
  float LogUniform(float low, float high);

  // 0 .. count - 1, for count of at least 1.
  std::uint32_t Below(std::uint32_t count) {
    return static_cast<std::uint32_t>(((Next() >> 32) * count) >> 32);
  }
  // low .. high, both included.
  int Integer(int low, int high) {
    return low + static_cast<int>(Below(static_cast<std::uint32_t>(high - low) + 1));
  }
  bool Chance(float probability) { return Uniform() < probability; }

  // Mean 0, standard deviation 1, within +-5.2.
  float Normal();

  // `count` normals. Two for each Next(): for an even count, the same numbers as two calls of half
  // of it, if that is even too.
  void FillNormal(float* to, std::size_t count);

  static constexpr std::uint64_t Mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  static constexpr std::uint64_t kGamma = 0x9e3779b97f4a7c15u;
  std::uint64_t state_;
};

}  // namespace cpl::degrade
