// SPDX-License-Identifier: Apache-2.0
#include "train/sheet.h"

#include <opencv2/core.hpp>

#include "model/pixels.h"
#include "train/image_io.h"

namespace cpl::train {

cv::Mat FromCells(const float* cells, int patch) {
  cv::Mat picture(patch, patch, CV_8UC3);
  const int across = patch / 2;
  for (int y = 0; y < patch; ++y) {
    auto* row = picture.ptr<cv::Vec3b>(y);
    for (int x = 0; x < patch; ++x) {
      const float* cell = cells + ((y / 2) * across + x / 2) * kCellChannels + y % 2 * 2 + x % 2;
      for (int c = 0; c < 3; ++c) {
        row[x][c] = cv::saturate_cast<unsigned char>((cell[c * 4] / 4 + 0.5f) * 255);
      }
    }
  }
  return picture;
}

void WriteSheet(const std::string& path, const std::vector<std::vector<float>>& pictures, int patch,
                int columns) {
  const int rows = (static_cast<int>(pictures.size()) + columns - 1) / columns;
  cv::Mat sheet(rows * patch, columns * patch, CV_8UC3, cv::Scalar::all(0));
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const cv::Rect place(static_cast<int>(i) % columns * patch,
                         static_cast<int>(i) / columns * patch, patch, patch);
    FromCells(pictures[i].data(), patch).copyTo(sheet(place));
  }
  WriteImage(path, sheet);
}

}  // namespace cpl::train
