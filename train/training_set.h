// SPDX-License-Identifier: Apache-2.0
//
// All that a recipe's samples are cut from, read once: clean pictures, clips and videos, and pairs.
// Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "train/recipe.h"
#include "train/scene.h"

namespace cpl::train {

// What one entry of the recipe's lists gave.
struct SourceReport {
  std::string path;
  std::string prompts;  // what it is for: "rain", "clean, noise", "all"
  std::int64_t photos = 0;
  std::int64_t clips = 0;
  std::int64_t frames = 0;  // of clips
  std::int64_t pairs = 0;   // stills and frames of clips
  // Least and largest sides of what was decoded.
  cv::Size smallest, largest;
  std::int64_t decoded = 0;
  std::int64_t unchecked = 0;           // left to be decoded when they are needed
  std::vector<std::string> unreadable;  // with the reason
  std::vector<std::string> orphans;     // inputs of pairs without a target
  std::vector<std::string> notes;       // what else a person should know
};

struct DataReport {
  std::vector<SourceReport> sources;
  // Sums over the sources.
  std::int64_t photos = 0, clips = 0, frames = 0, pairs = 0, unchecked = 0;
  std::vector<std::string> unreadable;
  std::vector<std::string> orphans;
  std::size_t held_bytes = 0;   // pixels in memory
  std::size_t total_bytes = 0;  // of all of them, were they decoded (estimated where unchecked)

  // "354 photos, 2 clips of 409 frames, 1200 pairs" for people.
  std::string Summary() const;
};

// What the samples of one prompt are drawn from.
struct Supply {
  struct Item {
    bool pair;  // else clean
    std::size_t index;
  };
  std::vector<Item> items;
  std::vector<double> cumulative;  // weights of items[0..i]

  // The item for a number in 0..1.
  const Item& Draw(double number) const;
};

struct TrainingSet {
  std::vector<ClipSource> clean;
  std::vector<PairClip> pairs;
  // By prompt. Paired stills stand still: clips are made of them only where there is nothing else.
  std::vector<Supply> for_stills;
  std::vector<Supply> for_clips;
  DataReport report;
};

// Reads what `recipe` lists, decoding until the recipe's memory is full; pictures beyond that are
// decoded when they are needed. Long videos that would not fit are thinned out to stretches of
// frames all over them. `check_all` decodes everything once, to find what cannot be read.
//
// Pictures that cannot be read, pairs whose sizes differ and inputs without a target are left out
// and reported. Throws Error: kNotFound where an entry gives nothing at all, or nothing supplies a
// prompt that a stage asks for; kCannotRead where files change meanwhile.
TrainingSet LoadTrainingSet(const Recipe& recipe, bool check_all = false);

}  // namespace cpl::train
