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
static_assert(kPixels == 4 && kMapChannels == 4 && kMotionScale == 4, "the vectors' lengths");

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
    Vec8 sum[3] = {}, size[3] = {}, small[3] = {};  // R G | B R | G B
    for (int dy = 0; dy < kMotionScale; ++dy) {
      std::ptrdiff_t at = dy * row + static_cast<std::ptrdiff_t>(b) * kMotionScale * kCellChannels;
      for (int pair = 0; pair < kMotionScale / 2; ++pair, at += kPair) {
        for (int v = 0; v < 3; ++v) {
          const Vec8 d = Load8(x + at + 8 * v) - Load8(memory + at + 8 * v);
          sum[v] += d;
          const Vec8 change = Absolute(d);
          size[v] += change;
          small[v] += change < kSmallChange ? change : Vec8{} + kSmallChange;
        }
      }
    }
    Vec4 parts[9];
    const Vec8* const sums[3] = {sum, size, small};
    for (int i = 0; i < 3; ++i) {
      parts[3 * i] = Low(sums[i][0]) + High(sums[i][1]);
      parts[3 * i + 1] = High(sums[i][0]) + Low(sums[i][2]);
      parts[3 * i + 2] = Low(sums[i][1]) + High(sums[i][2]);
    }
    float* out = features + b * kMotionInputs;
    Store(out, SumsOf(parts[0], parts[1], parts[2], parts[3]) * kMean);
    Store(out + 4, SumsOf(parts[4], parts[5], parts[6], parts[7]) * kMean);
    out[8] = SumsOf(parts[8], Vec4{}, Vec4{}, Vec4{})[0] * kMean;
    out[9] = 1 / (count[b] + 1);
  }
}

CPL_INLINE void Keep(const float* __restrict head, int blocks, float* __restrict count,
                     float* __restrict maps) {
  for (int first = 0; first < blocks; first += 8) {
    const int some = std::min(8, blocks - first);
    const float* in = head + std::ptrdiff_t{kMotionOutputs} * first;
    float still[8] = {}, clip[8] = {}, frames[8] = {};
    for (int i = 0; i < some; ++i) {
      still[i] = in[i * kMotionOutputs];
      clip[i] = in[i * kMotionOutputs + 1];
    }
    std::memcpy(frames, count + first, sizeof(float) * static_cast<std::size_t>(some));
    const Vec8 n = Load8(frames);
    const Vec8 zero{}, one = zero + 1.0f;
    // NaN is 0 too. Inlined always, since it has not the target of the variant that it ends up in.
    const auto past = [&](Vec8 v) __attribute__((always_inline)) {
      return n > 0.0f && v >= 0.0f ? v : zero;
    };
    const Vec8 s = past(Sigmoid(Load8(still)));
    const Vec8 keep = s * n / (n + 1.0f);
    const Vec8 fresh = (one - keep) * (one - keep) + keep * keep / (n > one ? n : one);
    Vec8 next = one / fresh;
    next = next < kMostFrames ? next : zero + kMostFrames;
    float map[kMapChannels][8];
    Store(map[0], keep);
    Store(map[1], one / next);
    Store(map[2], past(Sigmoid(Load8(clip)) * kMostClip));
    Store(map[3], (one - keep) * s);
    Store(frames, next);
    std::memcpy(count + first, frames, sizeof(float) * static_cast<std::size_t>(some));
    for (int i = 0; i < some; ++i) {
      for (int j = 0; j < kMapChannels; ++j) {
        maps[std::ptrdiff_t{kMapChannels} * (first + i) + j] = map[j][i];
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

// The blend of the 24 values of two cells, with what their maps say spread to match.
class CellBlend {
 public:
  CPL_INLINE explicit CellBlend(const Vec4 (&map)[2]) {
    SpreadMap<0>(map, keep_);
    SpreadMap<2>(map, clip_);
    SpreadMap<3>(map, outlier_);
  }

  // d = now - past, of vector v.
  CPL_INLINE Vec8 Of(int v, Vec8 now, Vec8 d) const {
    const Vec8 zero{};
    const Vec8 above = d - clip_[v], below = d + clip_[v];
    return now - keep_[v] * (d - (below < zero ? below : zero)) -
           outlier_[v] * (above > zero ? above : zero);
  }

 private:
  template <int kMap>
  static CPL_INLINE void SpreadMap(const Vec4 (&map)[2], Vec8 (&to)[3]) {
    const Vec4 first = Spread<kMap>(map[0]), second = Spread<kMap>(map[1]);
    to[0] = Join(first, first);
    to[1] = Join(first, second);
    to[2] = Join(second, second);
  }

  Vec8 keep_[3], clip_[3], outlier_[3];
};

CPL_INLINE void Blend(const float* __restrict x, const float* __restrict memory,
                      const RowPair& rows, int cells, float* __restrict blend,
                      float* __restrict side) {
  BetweenBlocks<kMapChannels> maps(rows, cells / kMotionScale);
  for (int i = 0; i < cells; i += 2) {
    Vec4 map[2];
    maps.Next(&map[0], &map[1]);
    const CellBlend blended(map);
    const std::ptrdiff_t at = std::ptrdiff_t{kCellChannels} * i;
    Vec8 change[3];
    for (int v = 0; v < 3; ++v) {
      const Vec8 now = Load8(x + at + 8 * v);
      change[v] = now - Load8(memory + at + 8 * v);
      Store(blend + at + 8 * v, blended.Of(v, now, change[v]));
    }
    float* to = side + std::ptrdiff_t{kSideChannels} * i;
    Store(to, change[0]);
    Store(to + 8, Join(Low(change[1]), map[0]));
    Store(to + 16, Join(High(change[1]), Low(change[2])));
    Store(to + 24, Join(High(change[2]), map[1]));
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
    const CellBlend blended(map);
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
      const Vec8 seen = blended.Of(v, now, now - Load8(memory + at + 8 * v));
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

#define CPL_COMBINE_VARIANT(NAME, LABEL, TARGET)                                                \
  TARGET void Motion##NAME(const float* x, const float* memory, const float* count, int blocks, \
                           float* features) {                                                   \
    Motion(x, memory, count, blocks, features);                                                 \
  }                                                                                             \
  TARGET void Keep##NAME(const float* head, int blocks, float* count, float* maps) {            \
    Keep(head, blocks, count, maps);                                                            \
  }                                                                                             \
  TARGET void Blend##NAME(const float* x, const float* memory, const RowPair& maps, int cells,  \
                          float* blend, float* side) {                                          \
    Blend(x, memory, maps, cells, blend, side);                                                 \
  }                                                                                             \
  TARGET void Combine##NAME(const float* output, const float* x, const RowPair& maps,           \
                            const RowPair& gains, int cells, float* memory, float* residual) {  \
    Combine(output, x, maps, gains, cells, memory, residual);                                   \
  }                                                                                             \
  TARGET void Round##NAME(const float* from, int count, std::uint16_t* to) {                    \
    Round(from, count, to);                                                                     \
  }                                                                                             \
  TARGET void Widen##NAME(const std::uint16_t* from, int count, float* to) {                    \
    Widen(from, count, to);                                                                     \
  }                                                                                             \
  TARGET void Sigmoid##NAME(const float* from, int count, float* to) {                          \
    SigmoidRow(from, count, to);                                                                \
  }                                                                                             \
  constexpr CombineKernels k##NAME = {LABEL,       SimdLevel::k##NAME, Motion##NAME,            \
                                      Keep##NAME,  Blend##NAME,        Combine##NAME,           \
                                      Round##NAME, Widen##NAME,        Sigmoid##NAME};

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
