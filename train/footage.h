// SPDX-License-Identifier: Apache-2.0
//
// Clean footage of a camera that a model is tuned for, and the part of it that is kept back.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

namespace cpl::train {

// A video, a folder's clip, or a folder's photos. The last fifth of it is kept back, and of that
// the first half to choose by and the second to measure on.
struct Footage {
  std::string path;
  bool video = false;
  bool clip = false;
  std::vector<std::string> files;  // of a folder
  int count = 0;                   // frames or photos

  int trained() const;  // the first so many are trained on
  int chosen() const;   // the first so many are trained on or chosen by
};

// As few frames have all three parts.
inline constexpr int kLeastOfFootage = 3;

// What lies at `path`. What cannot be read in a folder is named on stderr and left out. Throws
// Error(kNotFound).
std::vector<Footage> FindFootage(const std::string& path);

enum class Part { kChoice, kHoldout };

// Some stretches of a kept-back part, degraded: FOLDER/PROMPT/clipN/{input,target}/0000.png, in the
// layout of `cpl eval --clips`. Large frames are cut to their middle. Returns the least width and
// height of what was written.
cv::Size WriteKeptBack(const std::string& folder, const std::vector<Footage>& all, Part part,
                       const std::vector<std::string>& prompts);

}  // namespace cpl::train
