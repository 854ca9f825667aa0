// SPDX-License-Identifier: Apache-2.0
#include "model/fused_loops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "model/live_config.h"

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define CPL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPL_CLONES
#endif
#define CPL_INLINE __attribute__((always_inline)) inline

namespace cpl::fused {
namespace {

constexpr int kPixels = 4;  // of a cell, for each colour

CPL_INLINE float Get(float v) { return v; }
CPL_INLINE float Get(Bf16 v) {
  const std::uint32_t bits = static_cast<std::uint32_t>(v) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
CPL_INLINE void Put(float v, float* to) { *to = v; }
// To nearest even; a NaN stays one unless its payload is all in the lower half, which no operation
// makes.
CPL_INLINE void Put(float v, Bf16* to) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  *to = static_cast<Bf16>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Pixels are worked on in pieces of about so many values, with a shift for each of them: long
// loops without an inner one over a few channels.
constexpr int kPiece = 512;

template <bool kRelu, bool kSkip, typename T>
CPL_INLINE void EpilogueLoop(T* __restrict y, const float* __restrict shift,
                             const T* __restrict skip, int count) {
  for (int i = 0; i < count; ++i) {
    float v = Get(y[i]) + shift[i];
    if (kRelu) v = v > 0 ? v : 0;
    if (kSkip) v += Get(skip[i]);
    Put(v, y + i);
  }
}

template <typename T>
CPL_INLINE void EpilogueOf(T* y, const float* shift, const T* skip, std::ptrdiff_t pixels,
                           int channels, bool relu) {
  const T* const nothing = nullptr;
  const int piece = std::max(1, kPiece / channels);
  std::vector<float> row(static_cast<std::size_t>(piece) * channels);
  for (int p = 0; p < piece; ++p) std::copy_n(shift, channels, row.data() + p * channels);
  for (std::ptrdiff_t p = 0; p < pixels; p += piece) {
    const int count = static_cast<int>(std::min<std::ptrdiff_t>(piece, pixels - p)) * channels;
    T* to = y + p * channels;
    if (skip) {
      EpilogueLoop<false, true>(to, row.data(), skip + p * channels, count);
    } else if (relu) {
      EpilogueLoop<true, false>(to, row.data(), nothing, count);
    } else {
      EpilogueLoop<false, false>(to, row.data(), nothing, count);
    }
  }
}

template <bool kRelu, typename T>
CPL_INLINE void EpilogueBackwardLoop(const T* __restrict grad, const T* __restrict y,
                                     T* __restrict masked, float* __restrict sums, int count) {
  for (int i = 0; i < count; ++i) {
    float g = Get(grad[i]);
    if (kRelu) {
      g = Get(y[i]) > 0 ? g : 0;
      Put(g, masked + i);
    }
    sums[i] += g;
  }
}

template <typename T>
CPL_INLINE void EpilogueBackwardOf(const T* grad, const T* y, T* masked, float* sums,
                                   std::ptrdiff_t pixels, int channels, bool relu) {
  const int piece = std::max(1, kPiece / channels);
  std::vector<float> row(static_cast<std::size_t>(piece) * channels);
  for (std::ptrdiff_t p = 0; p < pixels; p += piece) {
    const int count = static_cast<int>(std::min<std::ptrdiff_t>(piece, pixels - p)) * channels;
    const std::ptrdiff_t at = p * channels;
    if (relu) {
      EpilogueBackwardLoop<true>(grad + at, y + at, masked + at, row.data(), count);
    } else {
      EpilogueBackwardLoop<false>(grad + at, grad + at, masked, row.data(), count);
    }
  }
  for (int p = 0; p < piece; ++p) {
    for (int c = 0; c < channels; ++c) sums[c] += row[p * channels + c];
  }
}

template <typename T>
CPL_INLINE void ComposeOf(const T* __restrict output, const float* __restrict gain,
                          const float* __restrict blend, std::ptrdiff_t cells,
                          float* __restrict picture, float* __restrict kept) {
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    float share[kPixels];
    for (int j = 0; j < kPixels; ++j) {
      share[j] = 1 / (1 + std::exp(-Get(output[i * kOutputChannels + kCellChannels + j])));
    }
    for (int c = 0; c < kFieldChannels; ++c) {
      for (int j = 0; j < kPixels; ++j) {
        const std::ptrdiff_t at = i * kCellChannels + c * kPixels + j;
        const float change = Get(output[i * kOutputChannels + c * kPixels + j]) +
                             gain[i * kFieldChannels + c] * blend[at];
        picture[at] = blend[at] + change;
        kept[at] = blend[at] + share[j] * change;
      }
    }
  }
}

template <typename T>
CPL_INLINE void ComposeBackwardOf(const T* __restrict output, const float* __restrict gain,
                                  const float* __restrict blend,
                                  const float* __restrict grad_picture,
                                  const float* __restrict grad_kept, std::ptrdiff_t cells,
                                  T* __restrict grad_output, float* __restrict grad_gain,
                                  float* __restrict grad_blend) {
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    float share[kPixels] = {}, grad_share[kPixels] = {};
    if (grad_kept) {
      for (int j = 0; j < kPixels; ++j) {
        share[j] = 1 / (1 + std::exp(-Get(output[i * kOutputChannels + kCellChannels + j])));
      }
    }
    for (int c = 0; c < kFieldChannels; ++c) {
      const float g = gain[i * kFieldChannels + c];
      float sum = 0;
      for (int j = 0; j < kPixels; ++j) {
        const std::ptrdiff_t at = i * kCellChannels + c * kPixels + j;
        const float from_kept = grad_kept ? grad_kept[at] : 0;
        const float from_picture = grad_picture[at];
        const float grad_change = from_picture + share[j] * from_kept;
        const float change = Get(output[i * kOutputChannels + c * kPixels + j]) + g * blend[at];
        grad_share[j] += from_kept * change;
        sum += grad_change * blend[at];
        grad_blend[at] = from_picture + from_kept + g * grad_change;
        Put(grad_change, grad_output + i * kOutputChannels + c * kPixels + j);
      }
      grad_gain[i * kFieldChannels + c] = sum;
    }
    for (int j = 0; j < kPixels; ++j) {
      Put(grad_share[j] * share[j] * (1 - share[j]),
          grad_output + i * kOutputChannels + kCellChannels + j);
    }
  }
}

}  // namespace

CPL_CLONES void Epilogue(float* y, const float* shift, const float* skip, std::ptrdiff_t pixels,
                         int channels, bool relu) {
  EpilogueOf(y, shift, skip, pixels, channels, relu);
}
CPL_CLONES void Epilogue(Bf16* y, const float* shift, const Bf16* skip, std::ptrdiff_t pixels,
                         int channels, bool relu) {
  EpilogueOf(y, shift, skip, pixels, channels, relu);
}

CPL_CLONES void EpilogueBackward(const float* grad, const float* y, float* masked, float* sums,
                                 std::ptrdiff_t pixels, int channels, bool relu) {
  EpilogueBackwardOf(grad, y, masked, sums, pixels, channels, relu);
}
CPL_CLONES void EpilogueBackward(const Bf16* grad, const Bf16* y, Bf16* masked, float* sums,
                                 std::ptrdiff_t pixels, int channels, bool relu) {
  EpilogueBackwardOf(grad, y, masked, sums, pixels, channels, relu);
}

CPL_CLONES void MotionFeaturesBackward(const float* x, const float* memory, const float* grad,
                                       int h, int w, float* grad_memory) {
  constexpr float kMean = 1.0f / (kPixels * kMotionScale * kMotionScale);
  for (int y = 0; y < h; ++y) {
    for (int i = 0; i < w; ++i) {
      const int block = y / kMotionScale * (w / kMotionScale) + i / kMotionScale;
      const float* g = grad + std::ptrdiff_t{kMotionInputs} * block;
      const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(y) * w + i) * kCellChannels;
      for (int k = 0; k < kCellChannels; ++k) {
        const int c = k / kPixels;
        const float d = x[at + k] - memory[at + k];
        const float size = std::fabs(d);
        const float by_size = (g[3 + c] + (size < kSmallChange ? g[6 + c] : 0)) * kMean;
        const float sign = d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f;
        grad_memory[at + k] = -(g[c] * kMean + sign * by_size);
      }
    }
  }
}

CPL_CLONES void Blend(const float* __restrict x, const float* __restrict memory,
                      const float* __restrict maps, std::ptrdiff_t cells, float* __restrict blend,
                      float* __restrict side) {
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    const float* map = maps + i * kMapChannels;
    const float keep = map[0], clip = map[2], outlier = map[3];
    for (int k = 0; k < kCellChannels; ++k) {
      const std::ptrdiff_t at = i * kCellChannels + k;
      const float d = x[at] - memory[at];
      const float above = std::max(d - clip, 0.0f), below = std::min(d + clip, 0.0f);
      blend[at] = x[at] - keep * (d - below) - outlier * above;
      side[i * kSideChannels + k] = d;
    }
    for (int k = 0; k < kMapChannels; ++k) side[i * kSideChannels + kCellChannels + k] = map[k];
  }
}

CPL_CLONES void BlendBackward(const float* __restrict x, const float* __restrict memory,
                              const float* __restrict maps, const float* __restrict grad_blend,
                              const float* __restrict grad_side, std::ptrdiff_t cells,
                              float* __restrict grad_memory, float* __restrict grad_maps) {
  for (std::ptrdiff_t i = 0; i < cells; ++i) {
    const float* map = maps + i * kMapChannels;
    const float* from_side = grad_side + i * kSideChannels;
    const float keep = map[0], clip = map[2], outlier = map[3];
    float grad_keep = 0, grad_clip = 0, grad_outlier = 0;
    for (int k = 0; k < kCellChannels; ++k) {
      const std::ptrdiff_t at = i * kCellChannels + k;
      const float d = x[at] - memory[at];
      const float g = grad_blend[at];
      const float above = std::max(d - clip, 0.0f), below = std::min(d + clip, 0.0f);
      const float is_above = above > 0 ? 1.0f : 0.0f, is_below = below < 0 ? 1.0f : 0.0f;
      const float by_d = -keep * (1 - is_below) - outlier * is_above;
      grad_memory[at] = -(from_side[k] + g * by_d);
      grad_keep -= (d - below) * g;
      grad_outlier -= above * g;
      grad_clip += (keep * is_below + outlier * is_above) * g;
    }
    float* to = grad_maps + i * kMapChannels;
    to[0] = from_side[kCellChannels] + grad_keep;
    to[1] = from_side[kCellChannels + 1];
    to[2] = from_side[kCellChannels + 2] + grad_clip;
    to[3] = from_side[kCellChannels + 3] + grad_outlier;
  }
}

CPL_CLONES void Compose(const float* output, const float* gain, const float* blend,
                        std::ptrdiff_t cells, float* picture, float* kept) {
  ComposeOf(output, gain, blend, cells, picture, kept);
}
CPL_CLONES void Compose(const Bf16* output, const float* gain, const float* blend,
                        std::ptrdiff_t cells, float* picture, float* kept) {
  ComposeOf(output, gain, blend, cells, picture, kept);
}

CPL_CLONES void ComposeBackward(const float* output, const float* gain, const float* blend,
                                const float* grad_picture, const float* grad_kept,
                                std::ptrdiff_t cells, float* grad_output, float* grad_gain,
                                float* grad_blend) {
  ComposeBackwardOf(output, gain, blend, grad_picture, grad_kept, cells, grad_output, grad_gain,
                    grad_blend);
}
CPL_CLONES void ComposeBackward(const Bf16* output, const float* gain, const float* blend,
                                const float* grad_picture, const float* grad_kept,
                                std::ptrdiff_t cells, Bf16* grad_output, float* grad_gain,
                                float* grad_blend) {
  ComposeBackwardOf(output, gain, blend, grad_picture, grad_kept, cells, grad_output, grad_gain,
                    grad_blend);
}

}  // namespace cpl::fused
