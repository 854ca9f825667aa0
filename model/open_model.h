// SPDX-License-Identifier: Apache-2.0
//
// The networks behind LoadModel. Both throw what LoadModel throws, and whatever LibTorch does.
#pragma once

#include <memory>
#include <string>

#include "cpl/restorer.h"
#include "model/tensor_file.h"

namespace cpl {

std::shared_ptr<Model> OpenLiveModel(const std::string& path, const ModelOptions& options);

// `file` is the opened `path`, a model file or a checkpoint of the reference implementation.
std::shared_ptr<Model> OpenPaperModel(const std::string& path, const TensorFile& file,
                                      const ModelOptions& options);

}  // namespace cpl
