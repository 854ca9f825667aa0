// SPDX-License-Identifier: Apache-2.0
//
// A device that is the host, but small, or lost; and what a model has to do on one that is too
// small.
#pragma once

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "cpl/error.h"
#include "cuda/host_device.h"

namespace cpl::test {

// Refuses to run on more than so many pixels (or cells) at once, and counts.
class SmallDevice final : public cuda::HostDevice {
 public:
  void Admit(std::int64_t pixels) override {
    ++runs;
    if (lost) throw std::runtime_error("CUDA error: an illegal memory access was encountered");
    if (pixels > most) throw c10::OutOfMemoryError({__func__, __FILE__, 0}, "out of memory");
  }
  cuda::DeviceMemory Memory() override { return {3 << 20, std::int64_t{64} << 20}; }
  std::unique_ptr<cuda::Graph> Capture(const std::function<void(cuda::Stream)>& work) override {
    ++captures;
    return HostDevice::Capture(work);
  }
  std::int64_t most = std::int64_t{1} << 40;
  bool lost = false;
  int runs = 0;
  int captures = 0;
};

// `run` fails with an error that says how much memory there is.
template <typename Run>
void ExpectTooSmall(Run run) {
  SmallDevice tiny;
  tiny.most = 10;
  try {
    run(tiny);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_NE(std::string(error.what()).find("3 MiB of 64 MiB"), std::string::npos) << error.what();
  }
}

}  // namespace cpl::test
