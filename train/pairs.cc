// SPDX-License-Identifier: Apache-2.0
#include "train/pairs.h"

#include <fnmatch.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "cpl/error.h"
#include "train/image_io.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 4;

// Degraded and clean, as public sets call them.
constexpr const char* kFolderPairs[][2] = {
    {"input", "target"},        // WeatherBench, MPRNet, GoPro of Restormer
    {"lq", "gt"},               // BasicSR
    {"rainy", "gt"},            // PromptIR: Derain
    {"synthetic", "original"},  // PromptIR: Dehaze
    {"blur", "sharp"},          // PromptIR: Deblur; GoPro
    {"low", "gt"},              // PromptIR: Enhance
    {"low", "high"},            // LOL
    {"hazy", "clear"},          // RESIDE
    {"hazy", "gt"},             // O-HAZE and its kin
    {"synthetic", "gt"},        // Snow100K
    {"snow", "gt"},             // CSD
    {"data", "gt"},             // RainDrop
    {"in", "gt"},               // Outdoor-Rain
    {"input", "gt"},            // AllWeather
};

// Words that stand for a prompt without holding its name.
constexpr const char* kWords[][2] = {
    {"foggy", "haze"},      {"fog", "haze"},        {"hazy", "haze"},     {"dehazing", "haze"},
    {"rainy", "rain"},      {"deraining", "rain"},  {"snowy", "snow"},    {"desnowing", "snow"},
    {"noisy", "noise"},     {"denoising", "noise"}, {"blurry", "blur"},   {"deblurring", "blur"},
    {"gopro", "blur"},      {"low", "lowlight"},    {"dark", "lowlight"}, {"lol", "lowlight"},
    {"enhance", "lowlight"}};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool IsSplit(const std::string& name) {
  static const char* const kSplits[] = {"train", "training", "test",      "testing",
                                        "val",   "valid",    "validation"};
  return std::find(std::begin(kSplits), std::end(kSplits), Lower(name)) != std::end(kSplits);
}

std::vector<fs::path> SubFolders(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string()[0] != '.' && it->is_directory(ignored)) {
      found.push_back(it->path());
    }
  }
  if (error) {
    throw Error(ErrorCode::kCannotRead, folder.string() + ": cannot be read: " + error.message());
  }
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    return NaturalLess(a.filename().string(), b.filename().string());
  });
  return found;
}

// The pictures of a folder, or of the parts that it is divided into.
std::vector<std::string> ImagesBelow(const fs::path& folder) {
  std::vector<std::string> images = ListImages(folder.string());
  if (!images.empty()) return images;
  for (const fs::path& part : SubFolders(folder)) {
    const std::vector<std::string> more = ListImages(part.string());
    images.insert(images.end(), more.begin(), more.end());
  }
  return images;
}

class Search {
 public:
  Search(const PairSource& source, const std::vector<std::string>& prompts)
      : source_(source), prompts_(prompts) {}

  PairSearch Run() {
    if (!source_.input.empty()) {
      AddSet(source_.input, source_.target, source_.prompt, source_.clips, source_.input);
      return std::move(result_);
    }
    if (!fs::is_directory(source_.path)) {
      throw Error(ErrorCode::kNotFound, source_.path + ": no such folder");
    }
    if (!source_.clean.empty()) {
      Siblings();
    } else {
      Visit(source_.path, {});
    }
    return std::move(result_);
  }

 private:
  void AddSet(const std::string& inputs, const std::string& targets, const std::string& prompt,
              bool maybe_clip, const std::string& folder) {
    PairSet set;
    set.prompt = prompt;
    set.folder = folder;
    const std::vector<std::string> files = ImagesBelow(inputs);
    const TargetIndex index(ImagesBelow(targets));
    for (const std::string& input : files) {
      const std::string name = fs::path(input).filename().string();
      if (!source_.match.empty() && fnmatch(source_.match.c_str(), name.c_str(), 0) != 0) continue;
      const std::string target = index.Find(input);
      if (target.empty()) {
        set.orphans.push_back(input);
      } else {
        set.pairs.push_back({input, target});
      }
    }
    set.clip = maybe_clip && set.orphans.empty() && IsNumberedClip(files);
    if (set.pairs.empty() && set.orphans.empty()) {
      result_.notes.push_back(folder + ": holds no pictures");
    }
    result_.sets.push_back(std::move(set));
  }

  // `above` are the names from the source's own folder down to `folder`'s parent.
  void Visit(const fs::path& folder, std::vector<std::string> above) {
    const std::vector<fs::path> inside = SubFolders(folder);
    const auto named = [&](const char* name) {
      const auto found = std::find_if(inside.begin(), inside.end(), [&](const fs::path& path) {
        return Lower(path.filename().string()) == name;
      });
      return found == inside.end() ? std::string() : found->string();
    };
    above.push_back(fs::absolute(folder).lexically_normal().filename().string());
    for (const auto& pair : kFolderPairs) {
      const std::string input = named(pair[0]), target = named(pair[1]);
      if (input.empty() || target.empty()) continue;
      Found(folder, above, input, target);
      return;
    }
    if (static_cast<int>(above.size()) > kMaxDepth) return;
    for (const fs::path& path : inside) Visit(path, above);
  }

  void Found(const fs::path& folder, const std::vector<std::string>& names,
             const std::string& input, const std::string& target) {
    std::string prompt = source_.prompt;
    bool between = false;
    for (auto name = names.rbegin(); name != names.rend() && prompt.empty(); ++name) {
      prompt = PromptOfName(*name, prompts_);
      if (prompt.empty() && !IsSplit(*name)) between = true;
    }
    if (prompt.empty()) {
      result_.notes.push_back(folder.string() +
                              ": holds pairs, but none of its names is about a prompt of the "
                              "recipe; left out (prompt = \"...\" says what they are)");
      return;
    }
    AddSet(input, target, prompt, source_.clips || (between && source_.prompt.empty()),
           folder.string());
  }

  void Siblings() {
    const fs::path clean = fs::path(source_.path) / source_.clean;
    if (!fs::is_directory(clean)) {
      throw Error(ErrorCode::kNotFound,
                  clean.string() + ": no such folder (of the clean pictures)");
    }
    for (const fs::path& folder : SubFolders(source_.path)) {
      const std::string name = folder.filename().string();
      if (name == source_.clean) continue;
      const std::string prompt =
          source_.prompt.empty() ? PromptOfName(name, prompts_) : source_.prompt;
      if (prompt.empty()) {
        result_.notes.push_back(folder.string() +
                                ": its name is about no prompt of the recipe; left out");
      } else {
        AddSet(folder.string(), clean.string(), prompt, source_.clips, folder.string());
      }
    }
  }

  const PairSource& source_;
  const std::vector<std::string>& prompts_;
  PairSearch result_;
};

}  // namespace

std::string PromptOfName(const std::string& name, const std::vector<std::string>& prompts) {
  const std::string lower = Lower(name);
  const auto known = [&](const std::string& prompt) {
    return std::find(prompts.begin(), prompts.end(), prompt) != prompts.end();
  };
  std::string plain = lower;
  while (!plain.empty() && std::isdigit(static_cast<unsigned char>(plain.back()))) plain.pop_back();
  while (!plain.empty() && (plain.back() == '-' || plain.back() == '_')) plain.pop_back();
  for (const std::string& word : {lower, plain}) {
    if (known(word)) return word;
    if (word.starts_with("de") && known(word.substr(2))) return word.substr(2);
    for (const auto& [from, to] : kWords) {
      if (word == from && known(to)) return to;
    }
  }
  return "";
}

PairSearch FindPairSets(const PairSource& source, const std::vector<std::string>& prompts) {
  return Search(source, prompts).Run();
}

}  // namespace cpl::train
