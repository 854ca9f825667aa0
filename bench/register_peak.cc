// SPDX-License-Identifier: Apache-2.0
#include "bench/register_peak.h"

#include <algorithm>
#include <chrono>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace cpl {
namespace {

constexpr int kTurns = 100'000, kRounds = 50;

// `macs`: of one turn.
template <typename Loop>
double Gmacs(double macs, const Loop& loop) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  for (int i = 0; i < kRounds; ++i) {
    const auto begin = Clock::now();
    loop();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return 1e-9 * macs * kTurns / best;
}

#ifdef __x86_64__

// Independent sums hide an instruction's latency. The empty assembly keeps the factors in registers
// and the compiler from seeing that all sums are the same.
#define CPL_REGISTER_LOOP(NAME, TARGET, VECTOR, FACTOR, SUMS, STEP)                              \
  __attribute__((target(TARGET), noinline)) void NAME() {                                        \
    VECTOR sum[SUMS] = {};                                                                       \
    FACTOR a = {}, b = {};                                                                       \
    _Pragma("GCC unroll 32") for (int i = 0; i < SUMS; ++i) { asm volatile("" : "+v"(sum[i])); } \
    for (int turn = 0; turn < kTurns; ++turn) {                                                  \
      _Pragma("GCC unroll 32") for (int i = 0; i < SUMS; ++i) { sum[i] = STEP; }                 \
      asm volatile("" : "+v"(a), "+v"(b));                                                       \
    }                                                                                            \
    _Pragma("GCC unroll 32") for (int i = 0; i < SUMS; ++i) { asm volatile("" ::"v"(sum[i])); }  \
  }

CPL_REGISTER_LOOP(Avx2Loop, "avx2,fma", __m256, __m256, 12, _mm256_fmadd_ps(a, b, sum[i]))
CPL_REGISTER_LOOP(Avx512Loop, "avx512f", __m512, __m512, 24, _mm512_fmadd_ps(a, b, sum[i]))
CPL_REGISTER_LOOP(Bf16Loop, "avx512f,avx512bf16", __m512, __m512i, 24,
                  _mm512_dpbf16_ps(sum[i], (__m512bh)a, (__m512bh)b))
CPL_REGISTER_LOOP(Int8Loop, "avx512f,avx512vnni", __m512i, __m512i, 24,
                  _mm512_dpbusd_epi32(sum[i], a, b))

#undef CPL_REGISTER_LOOP

#endif

}  // namespace

RegisterPeak MeasureRegisterPeak() {
  RegisterPeak peak;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    peak.avx2 = Gmacs(12 * 8, Avx2Loop);
  }
  if (__builtin_cpu_supports("avx512f")) {
    peak.avx512 = Gmacs(24 * 16, Avx512Loop);
    if (__builtin_cpu_supports("avx512bf16")) peak.bf16 = Gmacs(24 * 32, Bf16Loop);
    if (__builtin_cpu_supports("avx512vnni")) peak.int8 = Gmacs(24 * 64, Int8Loop);
  }
#endif
  return peak;
}

}  // namespace cpl
