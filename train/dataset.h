// SPDX-License-Identifier: Apache-2.0
//
// Where evaluation sets keep their pictures.
//
//   stills: DIR/<kind>/input/*          with DIR/<kind>/target/*
//   clips:  DIR/<kind>/<clip>/input/*   with DIR/<kind>/<clip>/target/*, numbered frames
//
// A kind is the name of any folder: rain, noise25, ... Only names are looked at here, no pixels.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

namespace cpl::train {

struct EvalPair {
  std::string input;  // full paths
  std::string target;
  std::string restored;  // by somebody else; empty unless UseRestored found it
};

// One clip, or all stills of a kind.
struct EvalSequence {
  std::string name;  // of the clip; empty for stills
  std::vector<EvalPair> pairs;
  std::vector<std::string> orphans;  // inputs without a target
};

struct EvalKind {
  std::string name;
  std::vector<EvalSequence> sequences;  // exactly one for stills
};

// The target of an input is the picture among `targets` with the same stem; else with the stem
// before its first '_' (RESIDE: 0001_0.8_0.2 -> 0001); else with a longer part of the stem before a
// '_' (Outdoor-Rain: im_0001_s80_a04 -> im_0001); else norain-N for rain-N, or N_clean for N_rain.
class TargetIndex {
 public:
  // Of two targets with one stem the first counts.
  explicit TargetIndex(const std::vector<std::string>& targets);
  // The full path; empty if there is none.
  std::string Find(const std::string& input) const;

 private:
  std::unordered_map<std::string, std::string> by_stem_;
};

// The same for one input.
std::string FindTarget(const std::string& input, const std::vector<std::string>& targets);

// The kinds in `folder` in the order of their names, or those in `only`, in that order, if it is
// not empty. Throws Error: kNotFound where the folder, one of `only`, or any pair at all is
// missing; the message says what the layout should be.
std::vector<EvalKind> FindStills(const std::string& folder, const std::vector<std::string>& only);
std::vector<EvalKind> FindClips(const std::string& folder, const std::vector<std::string>& only);

// Finds what somebody made of the inputs: FOLDER/<kind>/* of stills, FOLDER/<kind>/<clip>/* of
// clips, by the inputs' stems. Kinds and clips that `folder` has not are taken out, and so are
// inputs without a restored picture. Throws Error(kNotFound) where nothing is left.
void UseRestored(const std::string& folder, std::vector<EvalKind>* kinds);

// Whether these are the frames of one clip: at least two names of digits alone, equally long,
// without gaps. `files` are in the order of ListImages.
bool IsNumberedClip(const std::vector<std::string>& files);

}  // namespace cpl::train
