// SPDX-License-Identifier: Apache-2.0
//
// Contact sheets of training samples. Torch-free.
#pragma once

#include <string>
#include <vector>

namespace cpl::train {

// Writes a PNG of `columns` pictures a row. Each picture holds patch x patch pixels as cells
// (model/pixels.h): [patch / 2][patch / 2][12] normalised values. Throws Error(kCannotWrite).
void WriteSheet(const std::string& path, const std::vector<std::vector<float>>& pictures, int patch,
                int columns);

}  // namespace cpl::train
