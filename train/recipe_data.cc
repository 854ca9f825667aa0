// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "cpl/error.h"
#include "degrade/spec.h"
#include "train/recipe_table.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

void CheckPrompt(const Recipe& recipe, const Table& data, const std::string& prompt,
                 const std::string& where) {
  const auto& known = recipe.prompts;
  if (std::find(known.begin(), known.end(), prompt) == known.end()) {
    data.Fail("'" + where + "' names the prompt '" + prompt +
              "', which is not among 'model.prompts'");
  }
}

void ReadClean(Recipe& recipe, Table& data, const fs::path& base) {
  const toml::node* clean = data.Node("clean");
  if (!clean) return;
  if (!clean->is_array()) data.Fail("'data.clean' must be a list of folders and videos");
  for (const toml::node& entry : *clean->as_array()) {
    Source source;
    if (entry.is_string()) {
      source.path = *entry.value<std::string>();
    } else {
      Table one(recipe, entry.as_table(), "data.clean");
      one.Read("path", source.path);
      one.Read("weight", source.weight, 0, 1e6);
      one.Read("first", source.first, 0, 1e9);
      one.Read("last", source.last, 0, 1e9);
      one.Read("prompts", source.prompts);
      one.Done();
    }
    if (source.path.empty()) data.Fail("an entry of 'data.clean' has no path");
    source.path = (base / source.path).lexically_normal().string();
    for (const std::string& prompt : source.prompts) {
      CheckPrompt(recipe, data, prompt, "data.clean.prompts");
    }
    recipe.sources.push_back(source);
  }
}

void ReadPairs(Recipe& recipe, Table& data, const fs::path& base) {
  const toml::node* pairs = data.Node("pairs");
  if (!pairs) return;
  if (!pairs->is_array()) data.Fail("'data.pairs' must be a list of folders");
  for (const toml::node& entry : *pairs->as_array()) {
    PairSource source;
    if (entry.is_string()) {
      source.path = *entry.value<std::string>();
    } else {
      Table one(recipe, entry.as_table(), "data.pairs");
      one.Read("path", source.path);
      one.Read("input", source.input);
      one.Read("target", source.target);
      one.Read("clean", source.clean);
      one.Read("prompt", source.prompt);
      one.Read("match", source.match);
      one.Read("weight", source.weight, 0, 1e6);
      one.Read("clips", source.clips);
      one.Done();
    }
    const bool both = !source.input.empty() && !source.target.empty();
    if (both == !source.path.empty() || source.input.empty() != source.target.empty()) {
      data.Fail("an entry of 'data.pairs' needs either a path, or input and target");
    }
    if (both && source.prompt.empty()) {
      data.Fail("'data.pairs' with input and target needs the prompt, too");
    }
    if (both && !source.clean.empty()) data.Fail("'data.pairs.clean' goes with a path only");
    if (!source.prompt.empty()) CheckPrompt(recipe, data, source.prompt, "data.pairs.prompt");
    for (std::string* path : {&source.path, &source.input, &source.target}) {
      if (!path->empty()) *path = (base / *path).lexically_normal().string();
    }
    recipe.pairs.push_back(source);
  }
}

bool CanBeMade(const std::string& prompt) {
  try {
    degrade::ParseKinds(prompt);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Whether some source may supply the prompt; which folders there are is not known yet.
void CheckSupply(const Recipe& recipe, const Table& data, const std::string& prompt) {
  for (const PairSource& source : recipe.pairs) {
    if (source.prompt.empty() || source.prompt == prompt || prompt == "clean") return;
  }
  if (!CanBeMade(prompt)) {
    data.Fail("'model.prompts' holds '" + prompt +
              "', for which 'data.pairs' has nothing; degradations can be made of clean pictures "
              "for clean, noise, rain, snow, haze, blur, lowlight");
  }
  for (const Source& source : recipe.sources) {
    const auto& only = source.prompts;
    if (only.empty() || std::find(only.begin(), only.end(), prompt) != only.end()) return;
  }
  data.Fail("nothing in [data] can supply samples for the prompt '" + prompt + "'");
}

}  // namespace

void ReadData(Recipe& recipe, const toml::table* data_table) {
  Table data(recipe, data_table, "data");
  std::string root = ".";
  data.Read("root", root);
  data.Read("workers", recipe.workers, 0, 256);
  data.Read("memory", recipe.memory, 16, 1e9);
  data.ReadOneOf("augment", recipe.augment, {"camera", "flips"});
  data.Read("noise_sigmas", recipe.noise_sigmas);
  for (int sigma : recipe.noise_sigmas) {
    if (sigma < 0 || sigma > 255) data.Fail("'data.noise_sigmas' must lie in 0..255");
  }
  data.Read("bank", recipe.bank, 0, 100000);
  data.Read("h264_share", recipe.h264_share, 0, 1);
  data.Read("soft_share", recipe.soft_share, 0, 1);
  data.Read("turned_share", recipe.turned_share, 0, 1);
  data.Read("foreground_share", recipe.foreground_share, 0, 1);
  const fs::path base = fs::absolute(recipe.path).parent_path() / root;
  ReadClean(recipe, data, base);
  ReadPairs(recipe, data, base);
  data.Done();
  if (recipe.sources.empty() && recipe.pairs.empty()) {
    data.Fail(
        "'data.clean' must list at least one folder or video of clean pictures, or 'data.pairs' "
        "one folder of pairs");
  }
  for (const std::string& prompt : recipe.prompts) CheckSupply(recipe, data, prompt);
}

}  // namespace cpl::train
