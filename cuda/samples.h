// SPDX-License-Identifier: Apache-2.0
//
// A few samples of a row of a plane, as the words that they are loaded and stored by. Internal to
// pixels.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/pixel_math.h"

#ifdef __CUDACC__
#define CPL_UNROLL _Pragma("unroll")
#else
#define CPL_UNROLL
#endif

namespace cpl::cuda {

// kCount samples of kWord bytes each, kCount * kWord being a multiple of 4. Loops over it are
// unrolled by the compiler, so that it stays in registers.
template <int kCount, int kWord>
struct Samples {
  static constexpr int kBytes = kCount * kWord;
  static constexpr int kWords = kBytes / 4;
  static_assert(kBytes % 4 == 0, "whole words");

  std::uint32_t words[kWords];

  CPL_HOST_DEVICE int Get(int i) const {
    constexpr int kPerWord = 4 / kWord;
    constexpr std::uint32_t kMask = kWord == 1 ? 0xffu : 0xffffu;
    return static_cast<int>(words[i / kPerWord] >> (i % kPerWord * 8 * kWord) & kMask);
  }
  CPL_HOST_DEVICE void Set(int i, int value) {
    constexpr int kPerWord = 4 / kWord;
    constexpr std::uint32_t kMask = kWord == 1 ? 0xffu : 0xffffu;
    const int shift = i % kPerWord * 8 * kWord;
    std::uint32_t& word = words[i / kPerWord];
    word = (word & ~(kMask << shift)) | static_cast<std::uint32_t>(value) << shift;
  }
};

// What one access moves at most.
template <int kBytes>
struct WidestAccess {
  static constexpr int kSize = kBytes % 16 == 0 ? 16 : kBytes % 8 == 0 ? 8 : 4;
  struct alignas(kSize) Type {
    std::uint32_t words[kSize / 4];
  };
};

template <int kCount, int kWord>
CPL_HOST_DEVICE inline void LoadWide(const std::uint8_t* from, Samples<kCount, kWord>* to) {
  constexpr int kBytes = kCount * kWord;
#ifdef __CUDA_ARCH__
  using Access = WidestAccess<kBytes>;
  const auto* wide = reinterpret_cast<const typename Access::Type*>(from);
  CPL_UNROLL
  for (int i = 0; i < kBytes / Access::kSize; ++i) {
    const typename Access::Type part = wide[i];
    CPL_UNROLL
    for (int k = 0; k < Access::kSize / 4; ++k)
      to->words[i * Access::kSize / 4 + k] = part.words[k];
  }
#else
  std::memcpy(to->words, from, kBytes);
#endif
}

template <int kCount, int kWord>
CPL_HOST_DEVICE inline void StoreWide(const Samples<kCount, kWord>& from, std::uint8_t* to) {
  constexpr int kBytes = kCount * kWord;
#ifdef __CUDA_ARCH__
  using Access = WidestAccess<kBytes>;
  auto* wide = reinterpret_cast<typename Access::Type*>(to);
  CPL_UNROLL
  for (int i = 0; i < kBytes / Access::kSize; ++i) {
    typename Access::Type part;
    CPL_UNROLL
    for (int k = 0; k < Access::kSize / 4; ++k)
      part.words[k] = from.words[i * Access::kSize / 4 + k];
    wide[i] = part;
  }
#else
  std::memcpy(to, from.words, kBytes);
#endif
}

// Rows of samples in elements of kEach (a pixel, a pair of chroma). `first` is the first element's
// number. kPerCell elements make a cell; cells from `cells` on repeat the last one, and elements
// from `limit` on the last one of all.
template <int kEach, int kPerCell, int kCount, int kWord>
CPL_HOST_DEVICE inline void LoadEdge(const std::uint8_t* row, int first, int limit, int cells,
                                     Samples<kCount, kWord>* to) {
  CPL_UNROLL
  for (int i = 0; i < kCount / kEach; ++i) {
    const int cell = (first + i) / kPerCell;
    int at = cell < cells ? first + i : (cells - 1) * kPerCell + (first + i) % kPerCell;
    at = at < limit ? at : limit - 1;
    CPL_UNROLL
    for (int k = 0; k < kEach; ++k) {
      const std::uint8_t* from = row + static_cast<std::ptrdiff_t>(at * kEach + k) * kWord;
      to->Set(i * kEach + k, kWord == 1 ? from[0] : from[0] | from[1] << 8);
    }
  }
}

// Those before `limit`.
template <int kEach, int kCount, int kWord>
CPL_HOST_DEVICE inline void StoreEdge(const Samples<kCount, kWord>& from, int first, int limit,
                                      std::uint8_t* row) {
  CPL_UNROLL
  for (int i = 0; i < kCount / kEach; ++i) {
    if (first + i >= limit) continue;
    CPL_UNROLL
    for (int k = 0; k < kEach; ++k) {
      std::uint8_t* to = row + static_cast<std::ptrdiff_t>((first + i) * kEach + k) * kWord;
      const int value = from.Get(i * kEach + k);
      to[0] = static_cast<std::uint8_t>(value);
      if (kWord == 2) to[1] = static_cast<std::uint8_t>(value >> 8);
    }
  }
}

}  // namespace cpl::cuda
