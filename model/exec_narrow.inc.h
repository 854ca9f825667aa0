// SPDX-License-Identifier: Apache-2.0
//
// The rows of exec_narrow.h, to be included by the file of one instruction set after it has
// defined, with internal linkage, kLanes (8 or 16) and
//
//   Floats                 a vector of kLanes
//   Load, Store, Spread    of float32; LoadFixed of Fixed
//   Min, Max               the second operand is what a comparison with NaN gives
//   MultiplyAdd, NegativeMultiplyAdd    c + a * b and c - a * b, rounded once
//   Nearest, TimesPower(p, n)           whole numbers to even; p * 2^n, NaN for NaN
//   WhereBelow(a, b, yes, no), AllBelow(a, b)    NaN is not below
//   ToWords(from)          16 values, rounded to even and saturated
//   ToBytes(from)          16 values the same way
//   BetweenMaps, BetweenGains, InCells, SpreadMap, SpreadGain, Residues, Logits, SpreadShares
//                          see there
//
// A block is four cells, 48 values: kVectors vectors. Cells go kLanes / 4 at a time, in three
// vectors. What is done in 16 bits is done in 256-bit vectors by all.
#pragma once

#define CPL_UNROLL _Pragma("GCC unroll 32")

namespace cpl::exec {
namespace {

constexpr int kVectors = kValues / kLanes;

// Restored pictures live within about +-2; what is beyond this is not a picture.
constexpr float kAbsurd = 64 * kFixedScale;

CPL_INLINE __m256i LoadWords(const Fixed* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
CPL_INLINE void StoreWords(Fixed* to, __m256i words) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
}

void Fix(const float* from, int count, Fixed* to) {
  constexpr int kOnce = 16;
  const auto convert = [](const float* values) __attribute__((always_inline)) {
    Floats scaled[kOnce / kLanes];
    CPL_UNROLL for (int i = 0; i < kOnce / kLanes; ++i) {
      scaled[i] = Load(values + kLanes * i) * Spread(kFixedScale);
    }
    return ToWords(scaled);
  };
  int i = 0;
  for (; i + kOnce <= count; i += kOnce) StoreWords(to + i, convert(from + i));
  if (i == count) return;
  float rest[kOnce] = {};
  Fixed fixed[kOnce];
  __builtin_memcpy(rest, from + i, sizeof(float) * static_cast<std::size_t>(count - i));
  StoreWords(fixed, convert(rest));
  __builtin_memcpy(to + i, fixed, sizeof(Fixed) * static_cast<std::size_t>(count - i));
}

// z and d of recurrence.h for a block, in steps of Fixed. d may be null.
CPL_INLINE void BlendBlock(const Fixed* x, const Fixed* memory, const Floats (&maps)[kParts],
                           Floats (&z)[kVectors], Floats* d) {
  CPL_UNROLL for (int part = 0; part < kParts; ++part) {
    Floats keep[3], darkest[3], outlier[3];
    SpreadMap<0>(maps[part], keep);
    SpreadMap<2>(maps[part] * Spread(-kFixedScale), darkest);
    SpreadMap<3>(maps[part], outlier);
    CPL_UNROLL for (int i = 0; i < 3; ++i) {
      const int v = 3 * part + i;
      const Floats now = LoadFixed(x + kLanes * v);
      const Floats change = now - LoadFixed(memory + kLanes * v);
      // d - min(d + t, 0), and max(d - t, 0).
      const Floats believed = Max(darkest[i], change);
      const Floats beyond = Max(Spread(0), change + darkest[i]);
      z[v] = NegativeMultiplyAdd(outlier[i], beyond, NegativeMultiplyAdd(keep[i], believed, now));
      if (d != nullptr) d[v] = change;
    }
  }
}

// Of 32 words, in their order.
CPL_INLINE __m256i Pack(__m256i a, __m256i b) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0b11'01'10'00);
}
CPL_INLINE __m128i Pack(__m256i a) {
  return _mm_packus_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}
CPL_INLINE void StoreBytes(std::uint8_t* to, __m128i bytes) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}

// A step of XScale() and of SideScale() is this many of Fixed's; the product below is the upper
// half of twice this one, rounded.
constexpr float kFixedSteps = 4 * kFixedScale / 255;
constexpr short kBytesOfFixed = 510;
static_assert(kBytesOfFixed * kFixedSteps == 1 << 15);

// Black is 0 and white 255.
CPL_INLINE __m256i XBytes(__m256i x) {
  const __m256i from_black =
      _mm256_adds_epi16(x, _mm256_set1_epi16(static_cast<short>(2 * kFixedScale)));
  return _mm256_mulhrs_epi16(from_black, _mm256_set1_epi16(kBytesOfFixed));
}

// No change is 128.
CPL_INLINE __m256i ChangeBytes(__m256i d) {
  return _mm256_add_epi16(_mm256_mulhrs_epi16(d, _mm256_set1_epi16(kBytesOfFixed)),
                          _mm256_set1_epi16(128));
}

// What a map of 1 is, for the maps of each cell in turn.
CPL_INLINE Floats MapBytes() {
  constexpr float kClip = 255 / kMostClip;
  alignas(64) static constexpr float kBytes[16] = {255, 255, kClip, 255, 255, 255, kClip, 255,
                                                   255, 255, kClip, 255, 255, 255, kClip, 255};
  return Load(kBytes);
}

// Twelve bytes of each cell, then its four maps.
CPL_INLINE void StoreSide(std::uint8_t* side, const __m256i (&change)[3], __m128i maps) {
  const __m256i packed = Pack(change[0], change[1]);
  const __m128i a = _mm256_castsi256_si128(packed), b = _mm256_extracti128_si256(packed, 1),
                c = Pack(change[2]);
  constexpr int kLast = 0b1000;
  StoreBytes(side, _mm_blend_epi32(a, _mm_shuffle_epi32(maps, 0b00'00'00'00), kLast));
  StoreBytes(side + 16, _mm_blend_epi32(_mm_alignr_epi8(b, a, 12),
                                        _mm_shuffle_epi32(maps, 0b01'01'01'01), kLast));
  StoreBytes(side + 32, _mm_blend_epi32(_mm_alignr_epi8(c, b, 8),
                                        _mm_shuffle_epi32(maps, 0b10'10'10'10), kLast));
  StoreBytes(side + 48, _mm_blend_epi32(_mm_srli_si128(c, 4), maps, kLast));
}

void BlendBytes(const Fixed* x, const RowPair& rows, int cells, float* scratch, Fixed* memory,
                std::uint8_t* blend, std::uint8_t* side) {
  BetweenMaps(rows, cells / kStep, scratch);
  for (int block = 0; block < cells / kStep; ++block) {
    Floats maps[kParts], z[kVectors];
    InCells(scratch, block, maps);
    BlendBlock(x, memory, maps, z, nullptr);
    __m256i change[3], bytes[3];
    CPL_UNROLL for (int v = 0; v < 3; ++v) {
      const __m256i d = _mm256_subs_epi16(LoadWords(x + 16 * v), LoadWords(memory + 16 * v));
      change[v] = ChangeBytes(d);
      const __m256i blended = ToWords(z + v * kVectors / 3);
      bytes[v] = XBytes(blended);
      StoreWords(memory + 16 * v, blended);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(blend), Pack(bytes[0], bytes[1]));
    StoreBytes(blend + 32, Pack(bytes[2]));
    for (Floats& part : maps) part = part * MapBytes();
    StoreSide(side, change, ToBytes(maps));
    x += kValues;
    memory += kValues;
    blend += kValues;
    side += kStep * kSideChannels;
  }
}

// exp is 2^n * exp(r) with |r| <= ln(2) / 2 and Cephes' polynomial. NaN stays NaN.
CPL_INLINE Floats Sigmoid(Floats x) {
  const Floats t = Spread(0) - Max(Spread(-87), Min(Spread(87), x));
  const Floats n = Nearest(t * Spread(1.44269504088896341f));
  const Floats r = NegativeMultiplyAdd(n, Spread(0.693147180559945f), t);
  constexpr float kFactors[] = {1.3981999507e-3f,
                                8.3334519073e-3f,
                                4.1665795894e-2f,
                                1.6666665459e-1f,
                                5.0000001201e-1f,
                                1.0f,
                                1.0f};
  Floats p = Spread(1.9875691500e-4f);
  CPL_UNROLL for (int i = 0; i < 7; ++i) p = MultiplyAdd(p, r, Spread(kFactors[i]));
  return Spread(1) / (Spread(1) + TimesPower(p, n));
}

// Of a block. False where something may be no picture; that takes kCareful.
template <bool kCareful>
CPL_INLINE bool CombineBlock(const float* output, const Fixed* x, const Floats (&gains)[kParts],
                             Fixed* memory, float* residual) {
  Floats next[kVectors], sizes[3] = {Spread(0), Spread(0), Spread(0)};
  CPL_UNROLL for (int part = 0; part < kParts; ++part) {
    Floats residue[3], shares[3], gain[3];
    Residues(output + kLanes * kOutputChannels / 4 * part, residue);
    const Floats share = Sigmoid(Logits(output + kLanes * kOutputChannels / 4 * part));
    SpreadShares(share, shares);
    SpreadGain(gains[part], gain);
    sizes[0] = MultiplyAdd(share, share, sizes[0]);  // NaN, if anything
    CPL_UNROLL for (int i = 0; i < 3; ++i) {
      const int v = 3 * part + i;
      const Floats now = LoadFixed(x + kLanes * v), seen = LoadFixed(memory + kLanes * v);
      const Floats ahead = seen - now;
      Floats answer =
          MultiplyAdd(MultiplyAdd(gain[i], seen, ahead), Spread(1 / kFixedScale), residue[i]);
      const Floats back = NegativeMultiplyAdd(answer, Spread(kFixedScale), ahead);
      next[v] = NegativeMultiplyAdd(shares[i], back, seen);
      if constexpr (kCareful) {
        const Floats picture = seen - back, absurd = Spread(kAbsurd * kAbsurd);
        const Floats size = MultiplyAdd(picture, picture, next[v] * next[v]);
        next[v] = WhereBelow(size, absurd, next[v], now);
        answer = WhereBelow(size, absurd, answer, Spread(0));
      } else {
        sizes[i] = MultiplyAdd(answer, answer, sizes[i]);
      }
      Store(residual + kLanes * v, answer);
    }
  }
  if constexpr (!kCareful) {
    // The picture is at most 8 further from black than the residual, and so is what is kept of it.
    constexpr float kSurely = 32;
    static_assert(2 * (kSurely + 8) * (kSurely + 8) <
                  kAbsurd / kFixedScale * kAbsurd / kFixedScale);
    if (!AllBelow(sizes[0] + (sizes[1] + sizes[2]), Spread(kSurely * kSurely))) return false;
  }
  CPL_UNROLL for (int v = 0; v < 3; ++v) {
    StoreWords(memory + 16 * v, ToWords(next + v * kVectors / 3));
  }
  return true;
}

void Combine(const float* output, const Fixed* x, const RowPair& rows, int cells, float* scratch,
             Fixed* memory, float* residual) {
  BetweenGains(rows, cells / kStep, scratch);
  for (int block = 0; block < cells / kStep; ++block) {
    Floats gains[kParts];
    InCells(scratch, block, gains);
    if (!CombineBlock<false>(output, x, gains, memory, residual)) {
      CombineBlock<true>(output, x, gains, memory, residual);
    }
    output += kStep * kOutputChannels;
    x += kValues;
    memory += kValues;
    residual += kValues;
  }
}

}  // namespace
}  // namespace cpl::exec
