// SPDX-License-Identifier: Apache-2.0
//
// Finds the pairs of pictures (degraded, clean) of a training set in the layouts that public sets
// come in. Only names are looked at here, no pixels.
#pragma once

#include <string>
#include <vector>

#include "train/dataset.h"
#include "train/recipe.h"

namespace cpl::train {

// Pairs of one prompt out of one folder: a clip's frames in order, or any number of stills.
struct PairSet {
  std::string prompt;
  std::string folder;  // what people call it
  bool clip = false;
  std::vector<EvalPair> pairs;
  std::vector<std::string> orphans;  // inputs without a target
};

struct PairSearch {
  std::vector<PairSet> sets;
  // Folders that hold pairs of no prompt of the recipe, and what else was left out.
  std::vector<std::string> notes;
};

// The prompt that a folder of this name is about, or nothing: the prompt's own name, with or
// without "de" before and digits behind (noise25, derain), or a usual word for it (foggy, low).
std::string PromptOfName(const std::string& name, const std::vector<std::string>& prompts);

// Looks through `source` down to four levels for folders that hold two folders of a pair: input and
// target, lq and gt, rainy and gt, synthetic and original, blur and sharp, low and gt, and more of
// that kind (in any case of letters). Their prompt is what the source says, else that of the
// nearest name on the way up which is about a prompt. Folders between that name and the pair (other
// than train, test and the like) hold a clip each, if its names are numbers without gaps.
// `source.clean` names the folder whose pictures are the targets of all folders beside it.
// Throws Error: kNotFound where a folder is missing.
PairSearch FindPairSets(const PairSource& source, const std::vector<std::string>& prompts);

}  // namespace cpl::train
