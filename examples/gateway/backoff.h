// SPDX-License-Identifier: Apache-2.0
//
// Pauses between attempts: they double up to a limit, and vary, so that cameras that were lost
// together do not come back together.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>

namespace cpl::gateway {

class Backoff {
 public:
  // Seconds; 0 < first <= longest.
  Backoff(double first, double longest) : first_(first), longest_(longest) {}

  // The next pause in seconds: at most first * 2^n for the n-th call since Reset(), at least half.
  double Next() {
    const double limit = std::min(longest_, first_ * std::exp2(std::min(calls_, 60)));
    ++calls_;
    return limit * std::uniform_real_distribution<double>(0.5, 1)(random_);
  }

  void Reset() { calls_ = 0; }

 private:
  double first_;
  double longest_;
  int calls_ = 0;
  std::minstd_rand random_{std::random_device()()};
};

}  // namespace cpl::gateway
