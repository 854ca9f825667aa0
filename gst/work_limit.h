// SPDX-License-Identifier: Apache-2.0
//
// Keeps the time that frames spend in the element below what the user allows: first by less work a
// frame, then by passing frames on untouched.
#pragma once

#include <algorithm>
#include <cstdint>

#include "gst/latency.h"

namespace cpl {

enum class Load : int {
  kFull = 0,     // as the settings ask
  kReduced = 1,  // the model looks for the kind of weather less often
  kPassing = 2,  // frames pass untouched
};

// For the streaming thread. Times are nanoseconds.
class WorkLimit {
 public:
  // The interval of the router under kReduced.
  static constexpr int kReducedInterval = 8;

  // As new: call when the size of frames changes.
  void Restart() noexcept { *this = WorkLimit(); }

  // What to do with the next frame; 0 is no limit.
  Load Next(std::uint64_t limit) noexcept {
    if (limit == 0) Restart();
    limit_ = limit;
    attempt_ = load_ == Load::kPassing && --until_attempt_ <= 0;
    return attempt_ ? Load::kReduced : load_;
  }

  // True when the frame of the last Next is a try whether the time suffices again: a result that
  // came too late is not to be shown, or the picture would blink.
  bool attempt() const noexcept { return attempt_; }
  bool TooLate(std::uint64_t spent) const noexcept { return limit_ > 0 && spent > limit_; }

  // How long a frame was held that was restored, or waited for the CPUs in vain.
  void Add(std::uint64_t spent) noexcept {
    if (limit_ == 0) return;
    if (attempt_) {
      if (TooLate(spent)) {
        backoff_ = std::min(2 * backoff_, kLongestBackoff);
        until_attempt_ = backoff_;
      } else {
        Enter(Load::kReduced);
      }
      return;
    }
    if (warm_up_ > 0) {
      --warm_up_;
      return;
    }
    mean_.Add(static_cast<double>(spent));
    if (mean_.count() < kMinSamples) return;
    if (TooLate(static_cast<std::uint64_t>(mean_.Mean()))) {
      if (load_ == Load::kReduced) until_attempt_ = backoff_;
      Enter(load_ == Load::kFull ? Load::kReduced : Load::kPassing);
    } else if (load_ == Load::kReduced && mean_.count() == RunningMean::kWindow &&
               mean_.Mean() < kComfort * static_cast<double>(limit_)) {
      backoff_ = kFirstBackoff;
      Enter(Load::kFull);
    }
  }

  Load load() const noexcept { return load_; }
  std::uint64_t limit() const noexcept { return limit_; }

 private:
  static constexpr int kWarmUp = 1;  // the first frame sets the network up
  static constexpr std::size_t kMinSamples = 3;
  static constexpr double kComfort = 0.7;  // of the limit: below it there is room for all the work
  // Frames until the next try, doubled with every one that fails.
  static constexpr int kFirstBackoff = 16;
  static constexpr int kLongestBackoff = 512;

  void Enter(Load load) noexcept {
    load_ = load;
    mean_.Clear();
  }

  std::uint64_t limit_ = 0;
  Load load_ = Load::kFull;
  bool attempt_ = false;
  int warm_up_ = kWarmUp;
  int backoff_ = kFirstBackoff;
  int until_attempt_ = 0;
  RunningMean mean_;
};

}  // namespace cpl
