// SPDX-License-Identifier: Apache-2.0
#include "train/dataset.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <system_error>

#include "cpl/error.h"
#include "train/image_io.h"

namespace cpl::train {
namespace fs = std::filesystem;
namespace {

std::string Stem(const std::string& path) { return fs::path(path).stem().string(); }

std::vector<std::string> SubFolders(const std::string& folder) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) {
    throw Error(ErrorCode::kNotFound, folder + ": no such folder");
  }
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name[0] != '.' && it->is_directory(ignored)) names.push_back(name);
  }
  if (ec) throw Error(ErrorCode::kCannotRead, folder + ": cannot be read: " + ec.message());
  std::sort(names.begin(), names.end(), NaturalLess);
  return names;
}

bool HoldsPairs(const fs::path& folder) {
  std::error_code ec;
  return fs::is_directory(folder / "input", ec) && fs::is_directory(folder / "target", ec);
}

EvalSequence FindSequence(const std::string& name, const fs::path& folder) {
  EvalSequence sequence;
  sequence.name = name;
  const TargetIndex targets(ListImages((folder / "target").string()));
  for (const std::string& input : ListImages((folder / "input").string())) {
    const std::string target = targets.Find(input);
    if (target.empty()) {
      sequence.orphans.push_back(input);
    } else {
      sequence.pairs.push_back({input, target});
    }
  }
  return sequence;
}

EvalKind StillsOf(const std::string& name, const fs::path& folder) {
  EvalKind kind;
  kind.name = name;
  if (HoldsPairs(folder)) kind.sequences.push_back(FindSequence("", folder));
  return kind;
}

EvalKind ClipsOf(const std::string& name, const fs::path& folder) {
  EvalKind kind;
  kind.name = name;
  for (const std::string& clip : SubFolders(folder.string())) {
    if (HoldsPairs(folder / clip)) kind.sequences.push_back(FindSequence(clip, folder / clip));
  }
  return kind;
}

bool HasPairs(const EvalKind& kind) {
  return std::any_of(kind.sequences.begin(), kind.sequences.end(),
                     [](const EvalSequence& s) { return !s.pairs.empty(); });
}

template <typename ReadKind>
std::vector<EvalKind> FindKinds(const std::string& folder, const std::vector<std::string>& only,
                                const std::string& layout, ReadKind read_kind) {
  const std::vector<std::string> present = SubFolders(folder);
  std::vector<EvalKind> kinds;
  for (const std::string& name : only.empty() ? present : only) {
    if (std::find(present.begin(), present.end(), name) == present.end()) {
      std::string known;
      for (const std::string& other : present) known += (known.empty() ? "" : ", ") + other;
      throw Error(ErrorCode::kNotFound, folder + ": holds no kind called '" + name + "'; it has " +
                                            (known.empty() ? "none" : known));
    }
    EvalKind kind = read_kind(name, fs::path(folder) / name);
    if (HasPairs(kind)) {
      kinds.push_back(std::move(kind));
    } else if (!only.empty()) {
      throw Error(ErrorCode::kNotFound,
                  folder + ": kind '" + name + "' holds no pair of pictures; expected " + layout);
    }
  }
  if (kinds.empty()) {
    throw Error(ErrorCode::kNotFound, folder + ": holds no pair of pictures; expected " + layout);
  }
  return kinds;
}

}  // namespace

TargetIndex::TargetIndex(const std::vector<std::string>& targets) {
  for (const std::string& target : targets) by_stem_.emplace(Stem(target), target);
}

std::string TargetIndex::Find(const std::string& input) const {
  const auto with_stem = [this](const std::string& stem) {
    const auto found = by_stem_.find(stem);
    return found == by_stem_.end() ? std::string() : found->second;
  };
  const std::string stem = Stem(input);
  std::string target = with_stem(stem);
  for (std::size_t cut = stem.find('_'); target.empty() && cut != std::string::npos;
       cut = stem.find('_', cut + 1)) {
    target = with_stem(stem.substr(0, cut));
  }
  if (target.empty() && stem.starts_with("rain-")) target = with_stem("no" + stem);
  if (target.empty() && stem.ends_with("_rain")) {
    target = with_stem(stem.substr(0, stem.size() - 4) + "clean");
  }
  return target;
}

std::string FindTarget(const std::string& input, const std::vector<std::string>& targets) {
  return TargetIndex(targets).Find(input);
}

bool IsNumberedClip(const std::vector<std::string>& files) {
  if (files.size() < 2) return false;
  long long previous = -1;
  std::size_t length = 0;
  for (const std::string& file : files) {
    const std::string stem = Stem(file);
    if (stem.empty() || stem.size() > 18 ||
        !std::all_of(stem.begin(), stem.end(), [](unsigned char c) { return std::isdigit(c); })) {
      return false;
    }
    const long long number = std::stoll(stem);
    if (previous >= 0 && (number != previous + 1 || stem.size() != length)) return false;
    previous = number;
    length = stem.size();
  }
  return true;
}

std::vector<EvalKind> FindStills(const std::string& folder, const std::vector<std::string>& only) {
  return FindKinds(folder, only, folder + "/KIND/input/NAME.png and KIND/target/NAME.png",
                   StillsOf);
}

std::vector<EvalKind> FindClips(const std::string& folder, const std::vector<std::string>& only) {
  return FindKinds(folder, only, folder + "/KIND/CLIP/input/0000.png and KIND/CLIP/target/0000.png",
                   ClipsOf);
}

void UseRestored(const std::string& folder, std::vector<EvalKind>* kinds) {
  for (EvalKind& kind : *kinds) {
    for (EvalSequence& sequence : kind.sequences) {
      std::vector<EvalPair> found;
      std::error_code ec;
      const fs::path place = fs::path(folder) / kind.name / sequence.name;
      if (fs::is_directory(place, ec)) {
        std::map<std::string, std::string> by_stem;
        for (const std::string& path : ListImages(place.string())) by_stem[Stem(path)] = path;
        for (EvalPair& pair : sequence.pairs) {
          const auto it = by_stem.find(Stem(pair.input));
          if (it == by_stem.end()) continue;
          pair.restored = it->second;
          found.push_back(std::move(pair));
        }
      }
      sequence.pairs = std::move(found);
    }
    std::erase_if(kind.sequences, [](const EvalSequence& s) { return s.pairs.empty(); });
  }
  std::erase_if(*kinds, [](const EvalKind& kind) { return kind.sequences.empty(); });
  if (kinds->empty()) {
    throw Error(ErrorCode::kNotFound,
                folder + ": holds no restored picture of the set; expected " + folder +
                    "/KIND/NAME.png for pictures, KIND/CLIP/0000.png for clips");
  }
}

}  // namespace cpl::train
