// SPDX-License-Identifier: Apache-2.0
//
// Means over the last frames, and the latency that the element tells the pipeline.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cpl {

// Mean of the last ten values.
class RunningMean {
 public:
  static constexpr std::size_t kWindow = 10;

  void Add(double value) noexcept {
    values_[next_] = value;
    next_ = (next_ + 1) % kWindow;
    if (count_ < kWindow) ++count_;
  }

  void Clear() noexcept { *this = RunningMean(); }

  std::size_t count() const noexcept { return count_; }

  double Mean() const noexcept {  // 0 when there is no value
    if (count_ == 0) return 0;
    double sum = 0;
    for (std::size_t i = 0; i < count_; ++i) sum += values_[i];
    return sum / static_cast<double>(count_);
  }

 private:
  std::array<double, kWindow> values_{};
  std::size_t next_ = 0;
  std::size_t count_ = 0;
};

// Turns measured frame times into a latency that is worth telling: it has 5 % headroom over the
// mean and stands until the mean rises above it or falls 25 % below it, because every change makes
// the whole pipeline work out its latency anew. Add and Restart belong to one thread; reported()
// may be called from any.
class LatencyEstimate {
 public:
  // `ns`: how long the element held a frame that it restored. Returns true when reported() changed.
  bool Add(std::uint64_t ns) noexcept {
    if (warm_up_ > 0) {
      --warm_up_;
      return false;
    }
    mean_.Add(static_cast<double>(ns));
    if (mean_.count() < kMinSamples) return false;
    const double mean = mean_.Mean();
    const double fitted = mean * kHeadroom;
    const auto told = static_cast<double>(reported());
    if (mean <= told && fitted >= told * (1 - kDeviation)) return false;
    reported_.store(static_cast<std::uint64_t>(fitted), std::memory_order_relaxed);
    return true;
  }

  // The frames have changed their size: what was measured says nothing about them. The reported
  // value stands until there are new measurements.
  void Restart() noexcept {
    mean_.Clear();
    warm_up_ = kWarmUp;
  }

  // As new.
  void Clear() noexcept {
    Restart();
    reported_.store(0, std::memory_order_relaxed);
  }

  std::uint64_t reported() const noexcept { return reported_.load(std::memory_order_relaxed); }

 private:
  static constexpr int kWarmUp = 1;  // the first frame sets the network up
  static constexpr std::size_t kMinSamples = 3;
  static constexpr double kHeadroom = 1.05;
  static constexpr double kDeviation = 0.25;

  RunningMean mean_;
  int warm_up_ = kWarmUp;
  std::atomic<std::uint64_t> reported_{0};
};

}  // namespace cpl
