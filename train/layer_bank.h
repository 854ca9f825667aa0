// SPDX-License-Identifier: Apache-2.0
//
// Rain and snow for training, drawn once and used again and again: each sample cuts its own part
// out of one of many layers and composes it with colours, a veil and a light of its own.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "degrade/cover_clip.h"
#include "degrade/degrade.h"
#include "train/worker_pool.h"

namespace cpl::train {

// Immutable once made; any number of threads may use it.
class LayerBank {
 public:
  // `size` layers of each of rain and snow, for patches of this side in clips of so many frames.
  // They depend on these numbers and the seed alone, not on the threads of `pool`.
  LayerBank(std::uint64_t seed, int size, int patch, int frames, WorkerPool& pool);

  // Takes the streaks and flakes of `spec` away, and has `degrader`, which is made of it afterwards
  // (see Attach), cut them out of the bank instead.
  struct Cuts {
    degrade::CoverCut rain, snow;
  };
  Cuts Draw(degrade::Spec& spec, degrade::Rng& rng) const;
  static void Attach(const Cuts& cuts, degrade::Degrader& degrader);

 private:
  degrade::CoverCut Cut(degrade::Kind kind, degrade::Rng& rng) const;

  int patch_;
  std::map<degrade::Kind, std::vector<degrade::CoverClip>> clips_;
};

}  // namespace cpl::train
