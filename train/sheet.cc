// SPDX-License-Identifier: Apache-2.0
#include "train/sheet.h"

#include <opencv2/core.hpp>

#include "model/pixels.h"
#include "train/image_io.h"

namespace cpl::train {

void WriteSheet(const std::string& path, const std::vector<std::vector<float>>& pictures, int patch,
                int columns) {
  const int rows = (static_cast<int>(pictures.size()) + columns - 1) / columns;
  cv::Mat sheet(rows * patch, columns * patch, CV_8UC3, cv::Scalar::all(0));
  const int cells = patch / 2;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const int left = static_cast<int>(i) % columns * patch;
    const int top = static_cast<int>(i) / columns * patch;
    for (int y = 0; y < patch; ++y) {
      auto* row = sheet.ptr<cv::Vec3b>(top + y) + left;
      for (int x = 0; x < patch; ++x) {
        const float* cell =
            pictures[i].data() + ((y / 2) * cells + x / 2) * kCellChannels + y % 2 * 2 + x % 2;
        for (int c = 0; c < 3; ++c) {
          row[x][c] = cv::saturate_cast<unsigned char>((cell[c * 4] / 4 + 0.5f) * 255);
        }
      }
    }
  }
  WriteImage(path, sheet);
}

}  // namespace cpl::train
