// SPDX-License-Identifier: Apache-2.0
//
// Model files made on the fly, for tests. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cpl/frame.h"
#include "model/live_config.h"
#include "model/sparse_prompt_ir_config.h"

namespace cpl::test {

// A folder of its own that vanishes with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  std::string File(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// A small configuration that runs in a moment.
LiveConfig SmallConfig();

enum class Weights {
  kRandom,        // as at the start of training, with prompts that differ
  kZeroResidual,  // output and field are all zero: the picture stays what it is
  kNan,           // one weight is not a number
};

// Writes a model of the prompts clean, noise, rain, snow, haze. `metadata` replaces entries of what
// a sound file says; an empty value removes one.
void WriteModel(const std::string& path, const LiveConfig& config, Weights weights,
                std::uint64_t seed = 1, const std::map<std::string, std::string>& metadata = {});

// The paper's network, small: with golden weights (golden_weights.h), the output's scaled down so
// that the residual is a fraction of the picture, as a trained network's is.
SparsePromptIrConfig SmallPaperConfig(const std::string& framework = "cpl");
void WritePaperModel(const std::string& path, const std::string& framework);

// A picture with structure in memory of its own.
class TestFrame {
 public:
  TestFrame(PixelFormat format, int width, int height, std::uint64_t seed,
            ColorMatrix matrix = ColorMatrix::kBT709, ColorRange range = ColorRange::kLimited);
  FrameView view() { return view_; }
  ConstFrameView in() const { return AsConst(view_); }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }
  std::vector<std::uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
  FrameView view_;
};

// Mean squared difference of two buffers of one size, as PSNR in dB; 99 where they are equal.
double BytePsnr(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b);

}  // namespace cpl::test
