// SPDX-License-Identifier: Apache-2.0
//
// The state of a training on disk: docs/model-files.md. Files are replaced atomically: whatever
// ends the process, there is a whole one, the new or the old.
#pragma once

#include <map>
#include <string>

#include "train/optimizer.h"
#include "train/trainee.h"

namespace cpl::train {

using Metadata = std::map<std::string, std::string>;

// The averaged weights, ready for use. Throws Error(kCannotWrite).
void WriteModel(const std::string& path, const Trainee& trainee, const Optimizer& optimizer,
                const Metadata& extra);

// All that a training goes on from.
void WriteCheckpoint(const std::string& path, const Trainee& trainee, const Parameters& parameters,
                     const Optimizer& optimizer, const Metadata& extra);

// Fills parameters and optimizer, and returns the metadata. Throws Error: kNotFound, kCannotRead,
// kBadFormat (no checkpoint), kInvalidArgument (of another network than the trainee's; says what
// differs).
Metadata ReadCheckpoint(const std::string& path, const Trainee& trainee,
                        const Parameters& parameters, Optimizer& optimizer);

}  // namespace cpl::train
