// SPDX-License-Identifier: Apache-2.0
#include "train/recipe.h"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cpl/error.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

int EditDistance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

// Reads the keys of one table, and refuses those that nobody asked for.
class Table {
 public:
  Table(const Recipe& recipe, const toml::table* table, std::string name)
      : recipe_(recipe), table_(table), name_(std::move(name)) {}

  [[noreturn]] void Fail(const std::string& what) const {
    throw Error(ErrorCode::kInvalidArgument, recipe_.path + ": " + what);
  }

  const toml::node* Node(const char* key) {
    known_.push_back(key);
    return table_ ? table_->get(key) : nullptr;
  }

  std::string Path(const char* key) const { return name_.empty() ? key : name_ + "." + key; }

  template <typename Number>
  void Read(const char* key, Number& value, double low, double high) {
    const toml::node* node = Node(key);
    if (!node) return;
    const auto number = node->value<double>();
    if (!number || (std::is_integral_v<Number> && !node->is_integer())) {
      Fail("'" + Path(key) + "' must be " +
           (std::is_integral_v<Number> ? "an integer" : "a number"));
    }
    if (!(*number >= low && *number <= high)) {
      std::ostringstream range;
      range << low << ".." << high;
      Fail("'" + Path(key) + "' must lie in " + range.str());
    }
    value = static_cast<Number>(*number);
  }

  void Read(const char* key, std::string& value) {
    const toml::node* node = Node(key);
    if (!node) return;
    if (!node->is_string()) Fail("'" + Path(key) + "' must be a string");
    value = *node->value<std::string>();
  }

  template <typename Value>
  void Read(const char* key, std::vector<Value>& values) {
    const toml::node* node = Node(key);
    if (!node) return;
    const toml::array* array = node->as_array();
    if (!array) Fail("'" + Path(key) + "' must be a list");
    values.clear();
    for (const toml::node& entry : *array) {
      const auto value =
          entry.value_exact<std::conditional_t<std::is_integral_v<Value>, std::int64_t, Value>>();
      if (!value) Fail("'" + Path(key) + "' holds an entry of the wrong type");
      values.push_back(static_cast<Value>(*value));
    }
  }

  // Call after the last Read.
  void Done() const {
    if (!table_) return;
    for (const auto& [key, node] : *table_) {
      const std::string name(key.str());
      if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
      const auto nearest = std::min_element(known_.begin(), known_.end(),
                                            [&](const std::string& a, const std::string& b) {
                                              return EditDistance(a, name) < EditDistance(b, name);
                                            });
      Fail("unknown key '" + Path(name.c_str()) + "'; the nearest known one is '" +
           Path(nearest->c_str()) + "'");
    }
  }

 private:
  const Recipe& recipe_;
  const toml::table* table_;
  std::string name_;
  std::vector<std::string> known_;
};

toml::table Parse(const std::string& text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    std::ostringstream message;
    message << path << ": line " << error.source().begin.line << ": " << error.description();
    throw Error(ErrorCode::kBadFormat, message.str());
  }
}

// Puts "a.b=value" into the table, making tables on the way. [[stage]] is addressed as stage.NAME.
void Override(Recipe& recipe, toml::table& root, const std::string& assignment) {
  const auto equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorCode::kInvalidArgument, "--set " + assignment + ": expected key=value");
  }
  const std::string key = assignment.substr(0, equals);
  const std::string text = assignment.substr(equals + 1);
  toml::table value;
  try {
    value = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    value = toml::table{{"value", text}};
  }
  toml::table* table = &root;
  std::size_t begin = 0;
  for (auto dot = key.find('.'); dot != std::string::npos; dot = key.find('.', begin)) {
    const std::string part = key.substr(begin, dot - begin);
    begin = dot + 1;
    toml::node* node = table->get(part);
    if (!node) node = &table->insert(part, toml::table{}).first->second;
    if (toml::array* array = node->as_array()) {
      dot = key.find('.', begin);
      const std::string wanted = key.substr(begin, dot == std::string::npos ? dot : dot - begin);
      toml::table* found = nullptr;
      for (toml::node& entry : *array) {
        toml::table* candidate = entry.as_table();
        if (candidate && (*candidate)["name"].value_or(std::string()) == wanted) found = candidate;
      }
      if (!found || dot == std::string::npos) {
        throw Error(ErrorCode::kInvalidArgument,
                    "--set " + assignment + ": no " + part + " is named '" + wanted + "'");
      }
      begin = dot + 1;
      table = found;
      continue;
    }
    table = node->as_table();
    if (!table) {
      throw Error(ErrorCode::kInvalidArgument,
                  "--set " + assignment + ": '" + part + "' is no table");
    }
  }
  table->insert_or_assign(key.substr(begin), *value.get("value"));
  recipe.text += "# --set " + assignment + "\n";
}

void ReadSources(Recipe& recipe, const toml::table* data_table) {
  Table data(recipe, data_table, "data");
  std::string root = ".";
  data.Read("root", root);
  data.Read("workers", recipe.workers, 0, 256);
  const fs::path base = fs::absolute(recipe.path).parent_path() / root;
  const toml::node* clean = data.Node("clean");
  if (!clean || !clean->is_array() || clean->as_array()->empty()) {
    data.Fail("'data.clean' must list at least one folder or video of clean pictures");
  }
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
      one.Done();
    }
    if (source.path.empty()) data.Fail("an entry of 'data.clean' has no path");
    source.path = (base / source.path).lexically_normal().string();
    recipe.sources.push_back(source);
  }
  data.Done();
}

void ReadStages(Recipe& recipe, const toml::node* stages) {
  Table root(recipe, nullptr, "");
  if (!stages || !stages->is_array() || stages->as_array()->empty()) {
    root.Fail("there must be at least one [[stage]]");
  }
  for (const toml::node& entry : *stages->as_array()) {
    Stage stage;
    Table table(recipe, entry.as_table(), "stage");
    if (!entry.is_table()) table.Fail("'stage' must be a list of tables: [[stage]]");
    table.Read("name", stage.name);
    table.Read("steps", stage.steps, 1, 1e9);
    table.Read("frames", stage.frames, 1, 64);
    table.Read("patch", stage.patch, 64, 1024);
    table.Read("learning_rate", stage.learning_rate, 0, 1);
    table.Read("final_rate", stage.final_rate, 0, 1);
    table.Read("warmup", stage.warmup, 0, 1e9);
    table.Read("mixed", stage.mixed, 0, 1);
    table.Read("router_weight", stage.router_weight, 0, 100);
    table.Read("motion_weight", stage.motion_weight, 0, 100);
    std::string train = "all";
    table.Read("train", train);
    if (train != "all" && train != "router") table.Fail("'stage.train' must be all or router");
    stage.router_only = train == "router";
    if (stage.patch % 64 != 0) table.Fail("'stage.patch' must be a multiple of 64");
    const toml::node* batch = table.Node("batch");
    if (!batch || !batch->is_table()) {
      table.Fail("'stage.batch' must say how many samples of each prompt a step has");
    }
    Table counts(recipe, batch->as_table(), "stage.batch");
    for (const std::string& prompt : recipe.prompts) {
      int count = 0;
      counts.Read(prompt.c_str(), count, 0, 4096);
      if (count > 0) stage.batch[prompt] = count;
    }
    counts.Done();
    if (stage.batch.empty()) table.Fail("a stage's batch is empty");
    if (stage.steps == 0) table.Fail("a stage has no 'steps'");
    table.Done();
    recipe.stages.push_back(stage);
  }
}

}  // namespace

std::int64_t Recipe::TotalSteps() const {
  std::int64_t steps = 0;
  for (const Stage& stage : stages) steps += stage.steps;
  return steps;
}

Recipe LoadRecipe(const std::string& path, const std::vector<std::string>& overrides) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorCode::kNotFound, path + ": cannot open the recipe");
  std::stringstream text;
  text << file.rdbuf();
  Recipe recipe;
  recipe.path = path;
  recipe.text = text.str();
  toml::table root = Parse(recipe.text, path);
  for (const std::string& assignment : overrides) Override(recipe, root, assignment);

  Table top(recipe, &root, "");
  top.Read("name", recipe.name);
  if (recipe.name.empty()) top.Fail("'name' is missing: the name of the model");
  top.Read("seed", recipe.seed, 0, 1e15);
  recipe.output = "runs/" + recipe.name;

  Table model(recipe, root["model"].as_table(), "model");
  std::string architecture = "live";
  model.Read("architecture", architecture);
  if (architecture != "live") model.Fail("'model.architecture' must be 'live'");
  model.Read("framework", recipe.model.framework);
  model.Read("prompts", recipe.prompts);
  model.Read("channels", recipe.model.channels);
  model.Read("encoder", recipe.model.encoder);
  model.Read("decoder", recipe.model.decoder);
  model.Read("conditioning", recipe.model.conditioning, 1, 256);
  model.Read("router_channels", recipe.model.router_channels);
  model.Read("router_patches", recipe.model.router_patches, 1, 64);
  model.Done();
  static const std::vector<std::string> kTrainable = {"clean", "noise", "rain", "snow", "haze"};
  for (const std::string& prompt : recipe.prompts) {
    if (std::find(kTrainable.begin(), kTrainable.end(), prompt) == kTrainable.end()) {
      model.Fail("'model.prompts' holds '" + prompt +
                 "'; degradations can be made for clean, noise, rain, snow, haze");
    }
  }
  try {
    recipe.model = LiveConfig::FromJson(recipe.model.ToJson());
  } catch (const Error& error) {
    model.Fail(std::string("[model]: ") + error.what());
  }

  top.Node("model");
  top.Node("data");
  ReadSources(recipe, root["data"].as_table());
  ReadStages(recipe, top.Node("stage"));

  top.Node("optimizer");
  Table optimizer(recipe, root["optimizer"].as_table(), "optimizer");
  optimizer.Read("beta1", recipe.beta1, 0, 0.9999);
  optimizer.Read("beta2", recipe.beta2, 0, 0.999999);
  optimizer.Read("weight_decay", recipe.weight_decay, 0, 1);
  optimizer.Read("clip_norm", recipe.clip_norm, 1e-6, 1e6);
  optimizer.Read("ema", recipe.ema, 0, 0.999999);
  optimizer.Done();

  top.Node("loss");
  Table loss(recipe, root["loss"].as_table(), "loss");
  loss.Read("floor", recipe.floor, 1e-9, 1);
  loss.Done();

  top.Node("run");
  Table run(recipe, root["run"].as_table(), "run");
  run.Read("precision", recipe.precision);
  run.Read("threads", recipe.threads, 0, 1024);
  run.Read("output", recipe.output);
  run.Read("checkpoint_seconds", recipe.checkpoint_seconds, 1, 1e6);
  run.Read("log_every", recipe.log_every, 1, 1e9);
  run.Read("samples_every", recipe.samples_every, 1, 1e9);
  run.Done();
  if (recipe.precision != "auto" && recipe.precision != "fp32" && recipe.precision != "bf16") {
    run.Fail("'run.precision' must be auto, fp32 or bf16");
  }
  top.Done();
  return recipe;
}

}  // namespace cpl::train
