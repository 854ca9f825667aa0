// SPDX-License-Identifier: Apache-2.0
//
// The IN and OUT of commands that turn pictures, folders and videos into others.
#pragma once

#include "train/media_job.h"

namespace CLI {
class App;
}

namespace cpl::train {

// Both are required. `job` must outlive the parsing.
void AddMediaArguments(CLI::App* command, MediaJob* job);

}  // namespace cpl::train
