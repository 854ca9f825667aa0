// SPDX-License-Identifier: Apache-2.0
#include "train/layer_bank.h"

#include <optional>

namespace cpl::train {
namespace {

using degrade::CoverClip;
using degrade::CoverCut;
using degrade::Kind;
using degrade::Rng;

constexpr std::uint64_t kBankStream = 4;

}  // namespace

LayerBank::LayerBank(std::uint64_t seed, int size, int patch, int frames, WorkerPool& pool)
    : patch_(patch) {
  const int side = patch + patch / 2;
  for (const Kind kind : {Kind::kRain, Kind::kSnow}) {
    std::vector<std::optional<CoverClip>> made(static_cast<std::size_t>(size));
    pool.Run(size, [&](int i) {
      Rng rng(seed, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(kind), kBankStream);
      made[i].emplace(degrade::RandomSpec(kind, rng), side, side, frames);
    });
    std::vector<CoverClip>& clips = clips_[kind];
    clips.reserve(made.size());
    for (auto& clip : made) clips.push_back(std::move(*clip));
  }
}

CoverCut LayerBank::Cut(Kind kind, Rng& rng) const {
  const std::vector<CoverClip>& clips = clips_.at(kind);
  CoverCut cut;
  cut.clip = &clips[rng.Below(static_cast<std::uint32_t>(clips.size()))];
  cut.x = rng.Integer(0, cut.clip->width() - patch_);
  cut.y = rng.Integer(0, cut.clip->height() - patch_);
  cut.mirror = rng.Chance(0.5f);
  return cut;
}

LayerBank::Cuts LayerBank::Draw(degrade::Spec& spec, Rng& rng) const {
  Cuts cuts;
  if (spec.rain) {
    spec.rain->layers.clear();
    cuts.rain = Cut(Kind::kRain, rng);
  }
  if (spec.snow) {
    spec.snow->layers.clear();
    cuts.snow = Cut(Kind::kSnow, rng);
  }
  return cuts;
}

void LayerBank::Attach(const Cuts& cuts, degrade::Degrader& degrader) {
  if (cuts.rain.clip != nullptr) degrader.CutFrom(Kind::kRain, cuts.rain);
  if (cuts.snow.clip != nullptr) degrader.CutFrom(Kind::kSnow, cuts.snow);
}

}  // namespace cpl::train
