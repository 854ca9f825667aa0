// SPDX-License-Identifier: Apache-2.0
//
// Contact sheets of training samples. Torch-free.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

namespace cpl::train {

// patch x patch pixels (CV_8UC3, R, G, B) of the cells of one picture: [patch / 2][patch / 2][12]
// normalised values (model/pixels.h).
cv::Mat FromCells(const float* cells, int patch);

// Writes a PNG of `columns` pictures a row. Each picture holds patch x patch pixels as cells
// (model/pixels.h): [patch / 2][patch / 2][12] normalised values. Throws Error(kCannotWrite).
void WriteSheet(const std::string& path, const std::vector<std::vector<float>>& pictures, int patch,
                int columns);

}  // namespace cpl::train
