// SPDX-License-Identifier: Apache-2.0
//
// A model between two others: a tuned model and the one that it came from lie in one valley, and
// somewhere between them is often better than either (after M. Wortsman et al., Robust Fine-Tuning
// of Zero-Shot Models, CVPR 2022). Torch-free.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace cpl::train {

// How far from the one to the other: 0 gives the weights of the one bit for bit, 1 of the other.
struct BlendParts {
  double all = 1;
  std::vector<double> prompts;  // one each, for what belongs to a prompt (`.prompt_`, a row each);
                                // empty: as all the rest
};

// Writes (1 - part) * from + part * to, tensor by tensor, to `path`, which may be that of `to`. The
// metadata are those of `to`, with `extra` added. Throws Error: what reading and writing throw,
// kInvalidArgument where the two have other tensors or other numbers of prompts, kUnsupported where
// they are not float32.
void BlendModels(const std::string& from, const std::string& to, const BlendParts& parts,
                 const std::string& path, const std::map<std::string, std::string>& extra);

}  // namespace cpl::train
