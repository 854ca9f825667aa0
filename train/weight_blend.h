// SPDX-License-Identifier: Apache-2.0
//
// A model between two others: a tuned model and the one that it came from lie in one valley, and
// somewhere between them is often better than either (after M. Wortsman et al., Robust Fine-Tuning
// of Zero-Shot Models, CVPR 2022). Torch-free.
#pragma once

#include <map>
#include <string>

namespace cpl::train {

// Writes (1 - part) * from + part * to, tensor by tensor, to `path`, which may be that of `to`. The
// metadata are those of `to`, with `extra` added. 0 gives the weights of `from` bit for bit, 1
// those of `to`. Throws Error: what reading and writing throw, kInvalidArgument where the two have
// other tensors, kUnsupported where they are not float32.
void BlendModels(const std::string& from, const std::string& to, double part,
                 const std::string& path, const std::map<std::string, std::string>& extra);

}  // namespace cpl::train
