// SPDX-License-Identifier: Apache-2.0
#include "train/training_set.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "cpl/error.h"
#include "degrade/spec.h"
#include "model/cpu.h"
#include "train/dataset.h"
#include "train/image_io.h"
#include "train/pairs.h"
#include "train/picture.h"
#include "train/video_io.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

// Of a video that is too long: stretches of so many frames are kept.
constexpr int kRun = 48;

std::size_t BytesOf(const cv::Mat& picture) { return picture.total() * picture.elemSize(); }

bool Makes(const std::string& prompt) {
  try {
    degrade::ParseKinds(prompt);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// A file of a source: its picture, and its size if it was decoded.
struct Entry {
  std::optional<Picture> picture;  // nothing if it cannot be read
  cv::Size size;
};

class Loader {
 public:
  Loader(const Recipe& recipe, bool check_all)
      : recipe_(recipe),
        check_all_(check_all),
        budget_(static_cast<std::size_t>(recipe.memory) << 20),
        cache_(std::make_shared<PictureCache>(budget_)),
        pool_(AvailableCpus(), nullptr) {}

  TrainingSet Run() {
    set_.for_stills.resize(recipe_.prompts.size());
    set_.for_clips.resize(recipe_.prompts.size());
    for (const Source& source : recipe_.sources) AddClean(source);
    for (const PairSource& source : recipe_.pairs) AddPairs(source);
    SupplyCleanFromPairs();
    CheckStages();
    Sum();
    return std::move(set_);
  }

 private:
  std::vector<Entry> ReadFiles(const std::vector<std::string>& files, SourceReport& report);
  std::vector<ClipSource> ReadVideo(const Source& source, SourceReport& report);
  void AddClean(const Source& source);
  void AddPairs(const PairSource& source);
  void Supplies(const std::vector<std::size_t>& indices, bool pair, std::size_t prompt,
                double weight);
  void SupplyCleanFromPairs();
  void CheckStages() const;
  void Sum();
  static void Seen(SourceReport& report, cv::Size size);

  const Recipe& recipe_;
  const bool check_all_;
  const std::size_t budget_;
  std::size_t video_bytes_ = 0;
  std::size_t file_bytes_ = 0;  // decoded so far
  std::int64_t file_count_ = 0;
  std::shared_ptr<PictureCache> cache_;
  WorkerPool pool_;
  TrainingSet set_;
  std::vector<std::pair<std::vector<std::size_t>, double>> pair_groups_;  // with their weights
};

void Loader::Seen(SourceReport& report, cv::Size size) {
  if (report.decoded++ == 0) report.smallest = report.largest = size;
  report.smallest.width = std::min(report.smallest.width, size.width);
  report.smallest.height = std::min(report.smallest.height, size.height);
  report.largest.width = std::max(report.largest.width, size.width);
  report.largest.height = std::max(report.largest.height, size.height);
}

std::vector<Entry> Loader::ReadFiles(const std::vector<std::string>& files, SourceReport& report) {
  std::vector<Entry> entries(files.size());
  std::vector<std::string> reasons(files.size());
  // Whether there is room is asked between chunks, so that it does not depend on the threads what
  // was looked at.
  constexpr std::size_t kChunk = 64;
  for (std::size_t begin = 0; begin < files.size(); begin += kChunk) {
    const int count = static_cast<int>(std::min(kChunk, files.size() - begin));
    const bool decode = check_all_ || cache_->Used() + video_bytes_ < budget_;
    pool_.Run(count, [&](int i) {
      const std::size_t at = begin + i;
      const int number = cache_->Add(files[at]);
      if (decode) {
        try {
          entries[at].size = cache_->Get(number).size();
        } catch (const Error& error) {
          if (error.code() == ErrorCode::kCannotRead) throw;
          reasons[at] = error.what();
          return;
        }
      }
      entries[at].picture.emplace(cache_, number);
    });
    for (std::size_t at = begin; at < begin + count; ++at) {
      if (!entries[at].picture) {
        report.unreadable.push_back(reasons[at]);
      } else if (entries[at].size.empty()) {
        ++report.unchecked;
      } else {
        Seen(report, entries[at].size);
        file_bytes_ += 3 * static_cast<std::size_t>(entries[at].size.area());
        ++file_count_;
      }
    }
  }
  return entries;
}

std::vector<ClipSource> Loader::ReadVideo(const Source& source, SourceReport& report) {
  VideoReader reader(source.path);
  // What is left, but never too little to see the whole of it.
  const std::size_t left = budget_ - std::min(budget_, cache_->Used() + video_bytes_);
  const std::size_t room = std::max(left, budget_ / 8);
  std::vector<std::pair<int, cv::Mat>> kept;  // the run's number
  std::size_t bytes = 0;
  int stride = 1, seen = 0;
  VideoFrame frame;
  for (int i = 0; (source.last == 0 || i < source.last) && reader.Next(&frame); ++i) {
    if (i < source.first) continue;
    const int run = seen++ / kRun;
    if (run % stride != 0) continue;
    kept.emplace_back(run, frame.ToRgb());
    bytes += BytesOf(kept.back().second);
    while (bytes > room && kept.front().first != kept.back().first) {
      stride *= 2;
      std::erase_if(kept, [stride](const auto& one) { return one.first % stride != 0; });
      bytes = kept.size() * BytesOf(kept.front().second);
    }
  }
  if (!reader.damage().empty()) report.notes.push_back(reader.damage());
  video_bytes_ += bytes;
  std::vector<ClipSource> found;
  int current = -1;
  for (auto& [run, pixels] : kept) {
    Seen(report, pixels.size());
    if (found.empty() || (stride > 1 && run != current)) found.emplace_back();
    current = run;
    found.back().frames.emplace_back(std::move(pixels));
  }
  if (stride > 1) {
    report.notes.push_back(source.path + ": " + std::to_string(kept.size()) + " of " +
                           std::to_string(seen) +
                           " frames are kept, in stretches all over it; 'data.memory' says how "
                           "much fits");
  }
  return found;
}

void Loader::AddClean(const Source& source) {
  SourceReport report;
  report.path = source.path;
  std::vector<ClipSource> found;
  if (fs::is_directory(source.path)) {
    std::vector<std::string> files = ListImages(source.path);
    const bool clip = IsNumberedClip(files);
    const auto from = std::min<std::size_t>(source.first, files.size());
    const auto to =
        source.last == 0 ? files.size() : std::clamp<std::size_t>(source.last, from, files.size());
    files = {files.begin() + static_cast<std::ptrdiff_t>(from),
             files.begin() + static_cast<std::ptrdiff_t>(to)};
    std::vector<Entry> entries = ReadFiles(files, report);
    ClipSource frames;
    cv::Size size;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (!entries[i].picture) continue;
      if (!clip) {
        found.push_back({{*entries[i].picture}});
      } else if (size.empty() || entries[i].size.empty() || entries[i].size == size) {
        if (size.empty()) size = entries[i].size;
        frames.frames.push_back(*entries[i].picture);
      } else {
        report.unreadable.push_back(files[i] + ": its size differs from the clip's");
      }
    }
    if (!frames.frames.empty()) found.push_back(frames);
  } else {
    found = ReadVideo(source, report);
  }
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound,
                source.path + ": holds no readable picture" +
                    (report.unreadable.empty()
                         ? std::string()
                         : " (first that failed: " + report.unreadable.front() + ")"));
  }
  std::vector<std::size_t> indices;
  for (ClipSource& one : found) {
    if (one.frames.size() == 1) {
      ++report.photos;
    } else {
      ++report.clips;
      report.frames += static_cast<std::int64_t>(one.frames.size());
    }
    indices.push_back(set_.clean.size());
    set_.clean.push_back(std::move(one));
  }
  for (std::size_t p = 0; p < recipe_.prompts.size(); ++p) {
    const std::string& prompt = recipe_.prompts[p];
    const auto& only = source.prompts;
    if (!Makes(prompt)) continue;
    if (!only.empty() && std::find(only.begin(), only.end(), prompt) == only.end()) continue;
    Supplies(indices, false, p, source.weight);
    report.prompts += (report.prompts.empty() ? "" : ", ") + prompt;
  }
  set_.report.sources.push_back(std::move(report));
}

void Loader::Supplies(const std::vector<std::size_t>& indices, bool pair, std::size_t prompt,
                      double weight) {
  std::vector<std::size_t> clips;
  for (std::size_t index : indices) {
    if (!pair || set_.pairs[index].input.frames.size() > 1) clips.push_back(index);
  }
  const auto add = [&](Supply& supply, const std::vector<std::size_t>& some) {
    const double before = supply.cumulative.empty() ? 0 : supply.cumulative.back();
    for (std::size_t i = 0; i < some.size(); ++i) {
      supply.items.push_back({pair, some[i]});
      supply.cumulative.push_back(before + weight * static_cast<double>(i + 1) /
                                               static_cast<double>(some.size()));
    }
  };
  add(set_.for_stills[prompt], indices);
  add(set_.for_clips[prompt], clips);
}

void Loader::AddPairs(const PairSource& source) {
  SourceReport report;
  report.path = source.path.empty() ? source.input : source.path;
  PairSearch search = FindPairSets(source, recipe_.prompts);
  report.notes = search.notes;
  std::vector<std::vector<std::size_t>> by_prompt(recipe_.prompts.size());
  std::vector<std::size_t> all;
  for (PairSet& pairs : search.sets) {
    report.orphans.insert(report.orphans.end(), pairs.orphans.begin(), pairs.orphans.end());
    std::vector<std::string> inputs, targets;
    for (const EvalPair& pair : pairs.pairs) {
      inputs.push_back(pair.input);
      targets.push_back(pair.target);
    }
    const std::vector<Entry> degraded = ReadFiles(inputs, report);
    const std::vector<Entry> clean = ReadFiles(targets, report);
    const std::size_t prompt =
        std::find(recipe_.prompts.begin(), recipe_.prompts.end(), pairs.prompt) -
        recipe_.prompts.begin();
    const auto keep = [&](PairClip pair) {
      by_prompt[prompt].push_back(set_.pairs.size());
      all.push_back(set_.pairs.size());
      set_.pairs.push_back(std::move(pair));
    };
    PairClip clip;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!degraded[i].picture || !clean[i].picture) continue;
      if (!degraded[i].size.empty() && !clean[i].size.empty() &&
          !PairFits(degraded[i].size, clean[i].size)) {
        report.unreadable.push_back(inputs[i] + ": its size differs from " + targets[i] + "'s");
        continue;
      }
      ++report.pairs;
      if (pairs.clip) {
        clip.input.frames.push_back(*degraded[i].picture);
        clip.target.frames.push_back(*clean[i].picture);
      } else {
        keep({{{*degraded[i].picture}}, {{*clean[i].picture}}});
      }
    }
    if (!clip.input.frames.empty()) {
      ++report.clips;
      report.frames += static_cast<std::int64_t>(clip.input.frames.size());
      keep(std::move(clip));
    }
  }
  if (all.empty()) {
    std::string reason;
    for (const auto* list : {&report.unreadable, &report.orphans, &report.notes}) {
      if (reason.empty() && !list->empty()) reason = list->front();
    }
    throw Error(ErrorCode::kNotFound,
                report.path + ": holds no pair of pictures for the recipe's prompts" +
                    (reason.empty() ? "" : " (first that was left out: " + reason + ")") +
                    "; docs/training.md has the layouts");
  }
  for (std::size_t p = 0; p < by_prompt.size(); ++p) {
    if (by_prompt[p].empty()) continue;
    Supplies(by_prompt[p], true, p, source.weight);
    report.prompts += (report.prompts.empty() ? "" : ", ") + recipe_.prompts[p];
  }
  pair_groups_.emplace_back(std::move(all), source.weight);
  set_.report.sources.push_back(std::move(report));
}

// Where nothing else gives clean pictures, the targets of the pairs do.
void Loader::SupplyCleanFromPairs() {
  const auto clean = std::find(recipe_.prompts.begin(), recipe_.prompts.end(), "clean");
  if (clean == recipe_.prompts.end()) return;
  const std::size_t prompt = clean - recipe_.prompts.begin();
  if (!set_.for_stills[prompt].items.empty()) return;
  for (const auto& [pairs, weight] : pair_groups_) {
    std::vector<std::size_t> indices;
    for (std::size_t pair : pairs) {
      indices.push_back(set_.clean.size());
      set_.clean.push_back(set_.pairs[pair].target);
    }
    Supplies(indices, false, prompt, weight);
  }
}

void Loader::CheckStages() const {
  for (const Stage& stage : recipe_.stages) {
    for (const auto& [name, count] : stage.batch) {
      const std::size_t prompt =
          std::find(recipe_.prompts.begin(), recipe_.prompts.end(), name) - recipe_.prompts.begin();
      if (count == 0 || prompt >= recipe_.prompts.size()) continue;
      if (!set_.for_stills[prompt].items.empty()) continue;
      throw Error(ErrorCode::kNotFound, "stage '" + stage.name + "' asks for samples of '" + name +
                                            "', but the folders in [data] hold none");
    }
  }
}

void Loader::Sum() {
  DataReport& sum = set_.report;
  for (const SourceReport& source : sum.sources) {
    sum.photos += source.photos;
    sum.clips += source.clips;
    sum.frames += source.frames;
    sum.pairs += source.pairs;
    sum.unchecked += source.unchecked;
    sum.unreadable.insert(sum.unreadable.end(), source.unreadable.begin(), source.unreadable.end());
    sum.orphans.insert(sum.orphans.end(), source.orphans.begin(), source.orphans.end());
  }
  sum.held_bytes = cache_->Used() + video_bytes_;
  const std::size_t mean =
      file_count_ > 0 ? file_bytes_ / static_cast<std::size_t>(file_count_) : 0;
  sum.total_bytes = video_bytes_ + file_bytes_ + mean * static_cast<std::size_t>(sum.unchecked);
  for (std::size_t p = 0; p < recipe_.prompts.size(); ++p) {
    if (set_.for_clips[p].items.empty()) set_.for_clips[p] = set_.for_stills[p];
  }
}

}  // namespace

const Supply::Item& Supply::Draw(double number) const {
  const double draw = number * cumulative.back();
  const std::size_t at =
      std::upper_bound(cumulative.begin(), cumulative.end(), draw) - cumulative.begin();
  return items[std::min(at, items.size() - 1)];
}

std::string DataReport::Summary() const {
  std::string text = std::to_string(photos) + " photos, " + std::to_string(clips) + " clips of " +
                     std::to_string(frames) + " frames";
  if (pairs > 0) text += ", " + std::to_string(pairs) + " pairs";
  if (!orphans.empty()) {
    text += " (" + std::to_string(orphans.size()) + " more inputs lack a partner)";
  }
  return text;
}

TrainingSet LoadTrainingSet(const Recipe& recipe, bool check_all) {
  return Loader(recipe, check_all).Run();
}

}  // namespace cpl::train
