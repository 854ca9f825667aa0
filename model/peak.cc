// SPDX-License-Identifier: Apache-2.0
#include "model/peak.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

namespace cpl {

double MatrixPeakGmacs(Precision precision, int threads) {
  using Clock = std::chrono::steady_clock;
  constexpr int kSide = 2048;
  constexpr int kRuns = 7;
  const c10::InferenceMode inference;
  at::set_num_threads(threads);
  const auto dtype = precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor a = at::randn({kSide, kSide}).to(dtype), b = at::randn({kSide, kSide}).to(dtype);
  at::Tensor c = at::empty({kSide, kSide}, a.options());
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto begin = Clock::now();
    at::matmul_out(c, a, b);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, 1e-9 * kSide * kSide * kSide / seconds);
  }
  return best;
}

}  // namespace cpl
