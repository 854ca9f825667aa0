// SPDX-License-Identifier: Apache-2.0
//
// What a benchmark says of machine and process, and the pictures that it feeds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpl/frame.h"

namespace cpl::train {

// Processor and number of CPUs that this process may run on.
std::string MachineName();

// Seconds since the kernel started this process, in steps of 10 ms. A shell that becomes a program
// (`exec`, or the last command of `sh -c`) leaves it its own age.
double ProcessAge();

// Resident memory of this process, in MB.
double ResidentMegabytes();

// NV12 pictures of a fixed camera: structure that stays, a block that moves on from picture to
// picture, and noise that is new in each. So nothing that looks for still or equal frames has it
// easier than with a camera.
class BenchClip {
 public:
  static constexpr int kPictures = 4;

  BenchClip(int width, int height);
  // Picture `index` of an endless turn. The memory is the clip's.
  FrameView View(std::int64_t index);
  const std::vector<std::uint8_t>& Bytes(std::int64_t index) const {
    return pictures_[index % kPictures];
  }

 private:
  int width_, height_, stride_, rows_;
  std::vector<std::uint8_t> pictures_[kPictures];
};

}  // namespace cpl::train
