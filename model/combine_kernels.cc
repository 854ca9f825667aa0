// SPDX-License-Identifier: Apache-2.0
//
// Cells go in pairs: their 2 x 12 values are three vectors of eight, R G | B R | G B, with what
// belongs to a cell (its weight, its gains) spread to match.
#include "model/combine_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/live_config.h"
#include "model/pixel_vectors.h"

namespace cpl {
namespace {

constexpr int kColours = 3;
constexpr int kPixels = kCellChannels / kColours;  // Of a cell.
constexpr int kPair = 2 * kCellChannels;           // Values of two cells.
constexpr int kMapChannels = kSideChannels - kCellChannels;
static_assert(kPixels == 4 && kMapChannels == 4 && kMotionScale == 4, "the vectors' lengths");

typedef unsigned UInt8 __attribute__((vector_size(32)));
typedef std::uint16_t UShort8 __attribute__((vector_size(16)));

// Restored pictures live within about +-2; what is beyond this is not a picture.
constexpr float kAbsurd = 64;

CPL_INLINE Vec8 Absolute(Vec8 v) { return (Vec8)((Int8)v & 0x7fffffff); }

// exp is 2^n * exp(r) with |r| <= ln(2) / 2 and Cephes' polynomial of degree 7 for exp(r), which is
// within 2e-7 of it; the rest is rounding. Beyond +-87 the sigmoid is 0 or 1 within 2e-38.
CPL_INLINE Vec8 Sigmoid(Vec8 x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Vec8 zero{};
  Vec8 t = zero - x;
  t = t > 87.0f ? zero + 87.0f : t;
  t = t < -87.0f ? zero - 87.0f : t;
  const Vec8 shifted = t * 1.44269504088896341f + kRound;
  const Vec8 n = shifted - kRound;
  const Vec8 r = (t - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec8 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  const Int8 scale = ((Int8)shifted - 0x4b400000 + 127) << 23;
  return 1.0f / (p * (Vec8)scale + 1.0f);
}

CPL_INLINE void SigmoidRow(const float* from, int count, float* to) {
  int i = 0;
  for (; i + 8 <= count; i += 8) Store(to + i, Sigmoid(Load8(from + i)));
  if (i == count) return;
  float rest[8] = {};
  std::memcpy(rest, from + i, sizeof(float) * static_cast<std::size_t>(count - i));
  Store(rest, Sigmoid(Load8(rest)));
  std::memcpy(to + i, rest, sizeof(float) * static_cast<std::size_t>(count - i));
}

// {sum of a, sum of b, sum of c, sum of d}
CPL_INLINE Vec4 SumsOf(Vec4 a, Vec4 b, Vec4 c, Vec4 d) {
  const Vec4 ab =
      __builtin_shuffle(a, b, Int4{0, 4, 1, 5}) + __builtin_shuffle(a, b, Int4{2, 6, 3, 7});
  const Vec4 cd =
      __builtin_shuffle(c, d, Int4{0, 4, 1, 5}) + __builtin_shuffle(c, d, Int4{2, 6, 3, 7});
  return __builtin_shuffle(ab, cd, Int4{0, 1, 4, 5}) + __builtin_shuffle(ab, cd, Int4{2, 3, 6, 7});
}

CPL_INLINE void Motion(const float* __restrict x, const float* __restrict memory,
                       const float* __restrict count, int blocks, float* __restrict features) {
  constexpr float kMean = 1.0f / (kPixels * kMotionScale * kMotionScale);
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(blocks) * kMotionScale * kCellChannels;
  for (int b = 0; b < blocks; ++b) {
    Vec8 sum[3] = {}, size[3] = {};  // R G | B R | G B
    for (int dy = 0; dy < kMotionScale; ++dy) {
      std::ptrdiff_t at = dy * row + static_cast<std::ptrdiff_t>(b) * kMotionScale * kCellChannels;
      for (int pair = 0; pair < kMotionScale / 2; ++pair, at += kPair) {
        for (int v = 0; v < 3; ++v) {
          const Vec8 d = Load8(x + at + 8 * v) - Load8(memory + at + 8 * v);
          sum[v] += d;
          size[v] += Absolute(d);
        }
      }
    }
    const Vec4 red = Low(sum[0]) + High(sum[1]);
    const Vec4 green = High(sum[0]) + Low(sum[2]);
    const Vec4 blue = Low(sum[1]) + High(sum[2]);
    const Vec4 red_size = Low(size[0]) + High(size[1]);
    const Vec4 green_size = High(size[0]) + Low(size[2]);
    const Vec4 blue_size = Low(size[1]) + High(size[2]);
    float* out = features + b * kMotionInputs;
    Store(out, SumsOf(red, green, blue, red_size) * kMean);
    Vec4 rest = SumsOf(red_size, green_size, blue_size, Vec4{}) * kMean;
    rest[3] = 1 / (count[b] + 1);
    Store(out + 3, rest);
  }
}

CPL_INLINE void Keep(const float* __restrict head, int blocks, float* __restrict count,
                     float* __restrict maps) {
  for (int first = 0; first < blocks; first += 8) {
    const int some = std::min(8, blocks - first);
    const float* in = head + std::ptrdiff_t{kMotionOutputs} * first;
    float logit[8] = {}, frames[8] = {};
    for (int i = 0; i < some; ++i) logit[i] = in[i * kMotionOutputs];
    std::memcpy(frames, count + first, sizeof(float) * static_cast<std::size_t>(some));
    const Vec8 n = Load8(frames);
    const Vec8 zero{}, one = zero + 1.0f;
    Vec8 keep = Sigmoid(Load8(logit)) * n / (n + 1.0f);
    keep = keep >= 0.0f ? keep : zero;  // NaN too
    const Vec8 fresh = (one - keep) * (one - keep) + keep * keep / (n > one ? n : one);
    Vec8 next = one / fresh;
    next = next < kMostFrames ? next : zero + kMostFrames;
    const Vec8 part = one / next;
    float kept[8], parts[8];
    Store(kept, keep);
    Store(parts, part);
    Store(frames, next);
    std::memcpy(count + first, frames, sizeof(float) * static_cast<std::size_t>(some));
    for (int i = 0; i < some; ++i) {
      float* out = maps + std::ptrdiff_t{kMapChannels} * (first + i);
      out[0] = kept[i];
      out[1] = parts[i];
      for (int j = 2; j < kMapChannels; ++j) {
        const float free = in[i * kMotionOutputs + j - 1];
        out[j] = std::isfinite(free) ? free : 0;
      }
    }
  }
}

template <int kChannels>
CPL_INLINE Vec4 LoadBlock(const float* from) {
  if constexpr (kChannels == 3) return Vec4{from[0], from[1], from[2], 0};
  return Load4(from);
}

// What lies between the blocks of a row, cell by cell: bilinear without aligned corners, so that
// the cells 4 b + 2 .. 4 b + 5 are between block b and the next.
template <int kChannels>
class BetweenBlocks {
 public:
  CPL_INLINE BetweenBlocks(const RowPair& rows, int blocks)
      : rows_(rows), blocks_(blocks), left_(At(0)), right_(left_) {}

  // The next two cells.
  CPL_INLINE void Next(Vec4* first, Vec4* second) {
    const Vec4 step = right_ - left_;
    const float weight = far_ ? 0.625f : 0.125f;
    *first = left_ + step * weight;
    *second = left_ + step * (weight + 0.25f);
    if (far_) {
      left_ = right_;
      if (++next_ < blocks_) right_ = At(next_);
    }
    far_ = !far_;
  }

 private:
  CPL_INLINE Vec4 At(int block) const {
    const Vec4 above = LoadBlock<kChannels>(rows_.above + std::ptrdiff_t{kChannels} * block);
    const Vec4 below = LoadBlock<kChannels>(rows_.below + std::ptrdiff_t{kChannels} * block);
    return above + (below - above) * rows_.weight;
  }

  const RowPair& rows_;
  int blocks_;
  int next_ = 0;
  bool far_ = true;  // The row starts in the middle of block 0.
  Vec4 left_, right_;
};

template <int kLane>
CPL_INLINE Vec4 Spread(Vec4 v) {
  return __builtin_shuffle(v, Int4{kLane, kLane, kLane, kLane});
}

// What each of the 24 values of two cells keeps of the past.
CPL_INLINE void SpreadKeep(const Vec4 (&map)[2], Vec8 (&keep)[3]) {
  const Vec4 keep0 = Spread<0>(map[0]), keep1 = Spread<0>(map[1]);
  keep[0] = Join(keep0, keep0);
  keep[1] = Join(keep0, keep1);
  keep[2] = Join(keep1, keep1);
}

CPL_INLINE void StoreAs(float* to, Vec8 value) { Store(to, value); }
// To bfloat16, to nearest even; not for NaN.
CPL_INLINE void StoreAs(std::uint16_t* to, Vec8 value) {
  const UInt8 bits = (UInt8)value;
  const UInt8 rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const auto narrow = __builtin_convertvector(rounded, UShort8);
  std::memcpy(to, &narrow, sizeof narrow);
}

template <typename T>
CPL_INLINE void Blend(const float* __restrict x, const float* __restrict memory,
                      const RowPair& rows, int cells, T* __restrict blend, T* __restrict side) {
  BetweenBlocks<kMapChannels> maps(rows, cells / kMotionScale);
  for (int i = 0; i < cells; i += 2) {
    Vec4 map[2];
    maps.Next(&map[0], &map[1]);
    Vec8 keep[3];
    SpreadKeep(map, keep);
    const std::ptrdiff_t at = std::ptrdiff_t{kCellChannels} * i;
    Vec8 past[3];
    for (int v = 0; v < 3; ++v) {
      const Vec8 now = Load8(x + at + 8 * v);
      past[v] = Load8(memory + at + 8 * v);
      StoreAs(blend + at + 8 * v, now - keep[v] * (now - past[v]));
    }
    T* to = side + std::ptrdiff_t{kSideChannels} * i;
    StoreAs(to, past[0]);
    StoreAs(to + 8, Join(Low(past[1]), map[0]));
    StoreAs(to + 16, Join(High(past[1]), Low(past[2])));
    StoreAs(to + 24, Join(High(past[2]), map[1]));
  }
}

CPL_INLINE void Combine(const float* __restrict output, const float* __restrict x,
                        const RowPair& map_rows, const RowPair& rows, int cells,
                        float* __restrict memory, float* __restrict residual) {
  BetweenBlocks<kMapChannels> maps(map_rows, cells / kMotionScale);
  BetweenBlocks<kColours> gains(rows, cells / kMotionScale);
  for (int i = 0; i < cells; i += 2) {
    Vec4 map[2];
    maps.Next(&map[0], &map[1]);
    Vec8 keep[3];
    SpreadKeep(map, keep);
    Vec4 g0, g1;
    gains.Next(&g0, &g1);
    const Vec8 gain[3] = {Join(Spread<0>(g0), Spread<1>(g0)), Join(Spread<2>(g0), Spread<0>(g1)),
                          Join(Spread<1>(g1), Spread<2>(g1))};
    const float* net = output + std::ptrdiff_t{kOutputChannels} * i;
    const Vec8 net1 = Load8(net + 8), net2 = Load8(net + 16), net3 = Load8(net + 24);
    const Vec8 residue[3] = {Load8(net), Join(Low(net1), Low(net2)), Join(High(net2), Low(net3))};
    const Vec8 both = Sigmoid(Join(High(net1), High(net3)));
    const Vec8 share[3] = {Join(Low(both), Low(both)), both, Join(High(both), High(both))};
    const std::ptrdiff_t at = std::ptrdiff_t{kCellChannels} * i;
    for (int v = 0; v < 3; ++v) {
      const Vec8 now = Load8(x + at + 8 * v);
      // As Blend has it.
      const Vec8 seen = now - keep[v] * (now - Load8(memory + at + 8 * v));
      const Vec8 change = residue[v] + gain[v] * seen;
      const Vec8 picture = seen + change;
      const Vec8 kept = seen + share[v] * change;
      // Both comparisons are false for NaN.
      const Int8 sane = (Absolute(picture) < kAbsurd) & (Absolute(kept) < kAbsurd);
      Store(memory + at + 8 * v, sane ? kept : now);
      Store(residual + at + 8 * v, (Vec8)((Int8)(picture - now) & sane));
    }
  }
}

// To nearest even. NaN becomes a quiet NaN: adding to its bits could make it an infinity.
CPL_INLINE void Round(const float* __restrict from, int count, std::uint16_t* __restrict to) {
  for (int i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, from + i, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const std::uint32_t quiet = bits >> 16 | 0x40u;
    to[i] = static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
}

CPL_INLINE void Widen(const std::uint16_t* __restrict from, int count, float* __restrict to) {
  for (int i = 0; i < count; ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(from[i]) << 16;
    std::memcpy(to + i, &bits, sizeof bits);
  }
}

#define CPL_COMBINE_VARIANT(NAME, LABEL, TARGET)                                                   \
  TARGET void Motion##NAME(const float* x, const float* memory, const float* count, int blocks,    \
                           float* features) {                                                      \
    Motion(x, memory, count, blocks, features);                                                    \
  }                                                                                                \
  TARGET void Keep##NAME(const float* head, int blocks, float* count, float* maps) {               \
    Keep(head, blocks, count, maps);                                                               \
  }                                                                                                \
  TARGET void Blend##NAME(const float* x, const float* memory, const RowPair& maps, int cells,     \
                          float* blend, float* side) {                                             \
    Blend(x, memory, maps, cells, blend, side);                                                    \
  }                                                                                                \
  TARGET void BlendBf16##NAME(const float* x, const float* memory, const RowPair& maps, int cells, \
                              std::uint16_t* blend, std::uint16_t* side) {                         \
    Blend(x, memory, maps, cells, blend, side);                                                    \
  }                                                                                                \
  TARGET void Combine##NAME(const float* output, const float* x, const RowPair& maps,              \
                            const RowPair& gains, int cells, float* memory, float* residual) {     \
    Combine(output, x, maps, gains, cells, memory, residual);                                      \
  }                                                                                                \
  TARGET void Round##NAME(const float* from, int count, std::uint16_t* to) {                       \
    Round(from, count, to);                                                                        \
  }                                                                                                \
  TARGET void Widen##NAME(const std::uint16_t* from, int count, float* to) {                       \
    Widen(from, count, to);                                                                        \
  }                                                                                                \
  TARGET void Sigmoid##NAME(const float* from, int count, float* to) {                             \
    SigmoidRow(from, count, to);                                                                   \
  }                                                                                                \
  constexpr CombineKernels k##NAME = {LABEL,       SimdLevel::k##NAME, Motion##NAME,  Keep##NAME,  \
                                      Blend##NAME, BlendBf16##NAME,    Combine##NAME, Round##NAME, \
                                      Widen##NAME, Sigmoid##NAME};

CPL_COMBINE_VARIANT(Baseline, "baseline", )
#ifdef __x86_64__
CPL_COMBINE_VARIANT(Avx2, "avx2", CPL_TARGET_AVX2)
CPL_COMBINE_VARIANT(Avx512, "avx512", CPL_TARGET_AVX512)
constexpr CombineKernels kVariants[] = {kBaseline, kAvx2, kAvx512};
#else
constexpr CombineKernels kVariants[] = {kBaseline};
#endif

#undef CPL_COMBINE_VARIANT

}  // namespace

const CombineKernels* CombineKernelsVariant(int index) { return Variant(kVariants, index); }

const CombineKernels& BestCombineKernels() {
  static const CombineKernels& best = BestVariant(kVariants);
  return best;
}

}  // namespace cpl
