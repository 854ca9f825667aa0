// SPDX-License-Identifier: Apache-2.0
#include "train/recipe.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cpl/error.h"
#include "train/recipe_table.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

void ReadModel(Recipe& recipe, const toml::table* model_table) {
  Table model(recipe, model_table, "model");
  model.ReadOneOf("architecture", recipe.architecture, {"live", "sparse_prompt_ir"});
  std::string framework = "cpl";
  model.ReadOneOf("framework", framework, {"end_to_end", "prompt", "cpl"});
  recipe.model.framework = recipe.paper.framework = framework;
  model.Read("prompts", recipe.prompts);
  const bool live = recipe.architecture == "live";
  // The paper's network has no other supervision of its routers than what they do for the picture.
  if (!live) recipe.routing = "free";
  model.ReadOneOf("routing", recipe.routing, {"label", "free"});
  if (live) {
    model.Read("channels", recipe.model.channels);
    model.Read("encoder", recipe.model.encoder);
    model.Read("decoder", recipe.model.decoder);
    model.Read("conditioning", recipe.model.conditioning, 1, 256);
    model.Read("router_channels", recipe.model.router_channels);
    model.Read("tone", recipe.model.tone);
    model.Read("router_patches", recipe.model.router_patches, 1, 64);
    std::string pooling = "features";
    model.ReadOneOf("router_pooling", pooling, {"features", "logits"});
    if (pooling == "logits") recipe.model.router_pooling = RouterPooling::kLogits;
    std::string weights = "gains";
    model.ReadOneOf("prompt_weights", weights, {"gains", "full"});
    if (weights == "full") recipe.model.prompt_weights = PromptWeights::kFull;
    model.Read("top_k", recipe.model.top_k, 1, 64);
  } else {
    model.Read("dim", recipe.paper.dim, 1, 4096);
    model.Read("num_blocks", recipe.paper.num_blocks);
    model.Read("num_refinement_blocks", recipe.paper.num_refinement_blocks, 0, 64);
    model.Read("heads", recipe.paper.heads);
    model.Read("ffn_expansion_factor", recipe.paper.ffn_expansion_factor, 0.1, 16);
    model.Read("prompt_dim", recipe.paper.prompt_dim);
    model.Read("prompt_size", recipe.paper.prompt_size);
    recipe.paper.num_expert = 1;
    if (framework == "prompt") recipe.paper.num_expert = static_cast<int>(recipe.prompts.size());
    model.Read("top_k", recipe.paper.num_expert, 1, 64);
  }
  model.Done();
  try {
    if (live) {
      recipe.model = LiveConfig::FromJson(recipe.model.ToJson());
    } else {
      recipe.paper = SparsePromptIrConfig::FromJson(recipe.paper.ToJson());
    }
  } catch (const Error& error) {
    model.Fail(std::string("[model]: ") + error.what());
  }
}

std::string FromRecipe(const Recipe& recipe, const std::string& path) {
  return (fs::absolute(recipe.path).parent_path() / path).lexically_normal().string();
}

void ReadCpr(Recipe& recipe, const toml::table* cpr_table) {
  Table cpr(recipe, cpr_table, "cpr");
  CprOptions& options = recipe.cpr;
  cpr.Read("weight", options.weight, 0, 100);
  cpr.Read("negatives", options.negatives, 1, 63);
  cpr.Read("negative_gradient", options.negative_gradient);
  cpr.Read("cap", options.cap);
  cpr.Read("epsilon", options.epsilon, 1e-6, 1);
  cpr.ReadOneOf("extractor", options.extractor, {"filters", "vgg19"});
  cpr.Read("weights", options.weights);
  cpr.Done();
  if (options.extractor == "vgg19" && options.weights.empty()) {
    cpr.Fail("'cpr.extractor' is vgg19, so 'cpr.weights' must name the file with its weights");
  }
  if (!options.weights.empty()) options.weights = FromRecipe(recipe, options.weights);
}

void ReadValidation(Recipe& recipe, const toml::table* validation_table) {
  Table validation(recipe, validation_table, "validation");
  ValidationOptions& options = recipe.validation;
  validation.Read("data", options.data);
  validation.Read("clips", options.clips);
  validation.Read("kinds", options.kinds);
  validation.Read("every", options.every, 1, 1e9);
  validation.Read("limit", options.limit, 0, 1e9);
  validation.Read("matrix", options.matrix);
  validation.Done();
  if (!options.data.empty() && !options.clips.empty()) {
    validation.Fail("'validation.data' and 'validation.clips' exclude each other");
  }
  if (!options.data.empty()) options.data = FromRecipe(recipe, options.data);
  if (!options.clips.empty()) options.clips = FromRecipe(recipe, options.clips);
}

// Combinations that each key alone does not show.
void CheckTogether(const Recipe& recipe, const Table& top) {
  const bool live = recipe.architecture == "live";
  const int prompts = static_cast<int>(recipe.prompts.size());
  if (recipe.routing == "label" && !live && recipe.framework() == "prompt") {
    top.Fail("'model.routing' cannot be label with framework prompt, which mixes all prompts");
  }
  for (const Stage& stage : recipe.stages) {
    const std::string where = "stage '" + stage.name + "': ";
    if (stage.cpr_weight > 0 && recipe.framework() != "cpl") {
      top.Fail(where +
               "the contrastive regularisation compares prompts that are used one at a "
               "time, which framework " +
               recipe.framework() +
               " does not; use framework cpl, or "
               "leave out [cpr]");
    }
    if (stage.cpr_weight > 0 && recipe.cpr.negatives >= prompts) {
      top.Fail("'cpr.negatives' is " + std::to_string(recipe.cpr.negatives) + ", but there are " +
               std::to_string(prompts - 1) + " other prompts to force");
    }
    if (stage.trains == Trains::kPrompts && recipe.framework() == "end_to_end") {
      top.Fail(where + "there are no prompts to train in framework end_to_end");
    }
    if (!live && (stage.frames > 1 || stage.trains != Trains::kAll)) {
      top.Fail(where +
               "sparse_prompt_ir trains on single frames, and as a whole: leave out "
               "'frames' and 'train'");
    }
  }
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
    table.Read("restart_every", stage.restart_every, 0, 1e9);
    table.Read("restart_scale", stage.restart_scale, 0, 1);
    table.Read("accumulate", stage.accumulate, 1, 65536);
    table.Read("mixed", stage.mixed, 0, 1);
    table.Read("router_weight", stage.router_weight, 0, 100);
    table.Read("motion_weight", stage.motion_weight, 0, 100);
    stage.cpr_weight = recipe.cpr.weight;
    table.Read("cpr_weight", stage.cpr_weight, 0, 100);
    std::string train = "all";
    table.Read("train", train);
    if (train == "router") {
      stage.trains = Trains::kRouter;
    } else if (train == "prompts") {
      stage.trains = Trains::kPrompts;
    } else if (train != "all") {
      table.Fail("'stage.train' must be all, router or prompts");
    }
    std::string learn = "all";
    table.ReadOneOf("learn", learn, {"all", "ends"});
    if (learn == "ends") {
      stage.learns_from = LearnsFrom::kEnds;
      if (stage.frames < 3) table.Fail("'stage.learn' = \"ends\" needs 'frames' of at least 3");
    }
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
  toml::table root = ParseToml(recipe.text, path);
  for (const std::string& assignment : overrides) {
    OverrideKey(root, assignment);
    // Where the data lies and how a machine ran is nobody's business who gets the model.
    if (assignment.starts_with("run.") || assignment.starts_with("data.root")) continue;
    recipe.text += "# --set " + assignment + "\n";
  }

  Table top(recipe, &root, "");
  top.Read("name", recipe.name);
  if (recipe.name.empty()) top.Fail("'name' is missing: the name of the model");
  top.Read("seed", recipe.seed, 0, 1e15);
  recipe.output = "runs/" + recipe.name;

  ReadModel(recipe, root["model"].as_table());
  top.Node("model");
  top.Node("data");
  ReadData(recipe, root["data"].as_table());
  top.Node("init");
  Table init(recipe, root["init"].as_table(), "init");
  init.Read("from", recipe.init_from);
  init.Read("grow", recipe.init_grow);
  init.Done();
  top.Node("cpr");
  ReadCpr(recipe, root["cpr"].as_table());
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
  loss.ReadOneOf("kind", recipe.loss.kind, {"balanced", "l1", "charbonnier"});
  loss.Read("floor", recipe.loss.floor, 1e-9, 1);
  loss.Read("epsilon", recipe.loss.epsilon, 1e-9, 1);
  loss.Read("frequency", recipe.loss.frequency, 0, 100);
  loss.Read("edge", recipe.loss.edge, 0, 100);
  loss.Done();

  top.Node("validation");
  ReadValidation(recipe, root["validation"].as_table());

  top.Node("run");
  Table run(recipe, root["run"].as_table(), "run");
  run.ReadOneOf("device", recipe.device, {"cpu", "cuda"});
  run.ReadOneOf("precision", recipe.precision, {"auto", "fp32", "bf16"});
  run.Read("threads", recipe.threads, 0, 1024);
  run.Read("output", recipe.output);
  run.Read("checkpoint_seconds", recipe.checkpoint_seconds, 1, 1e6);
  run.Read("log_every", recipe.log_every, 1, 1e9);
  run.Read("samples_every", recipe.samples_every, 1, 1e9);
  run.Read("tensorboard", recipe.tensorboard);
  run.Read("rank_timeout", recipe.rank_timeout, 1, 1e6);
  run.Done();
  top.Done();
  CheckTogether(recipe, top);
  return recipe;
}

}  // namespace cpl::train
