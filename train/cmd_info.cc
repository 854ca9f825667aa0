// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cpl/restorer.h"
#include "train/commands.h"

namespace cpl::train {
namespace {

using Json = nlohmann::ordered_json;

struct InfoOptions {
  std::string model;
  bool json = false;
};

// Metadata that is JSON as JSON, anything else as text.
Json Parsed(const std::string& text) {
  if (text.empty()) return nullptr;
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? Json(text) : value;
}

void PrintJson(const ModelInfo& info) {
  const Json json = {{"path", info.path},
                     {"architecture", info.architecture},
                     {"framework", info.framework},
                     {"parameters", info.parameters},
                     {"tensors", info.tensors},
                     {"macs_per_pixel", info.macs_per_pixel},
                     {"prompts", info.prompts},
                     {"config", Parsed(info.config)},
                     {"recipe", info.recipe},
                     {"steps", info.steps},
                     {"metrics", Parsed(info.metrics)}};
  std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

void PrintText(const ModelInfo& info) {
  std::string prompts;
  for (const std::string& prompt : info.prompts) prompts += (prompts.empty() ? "" : ", ") + prompt;
  std::printf("%s\n", info.path.c_str());
  std::printf("  architecture    %s\n", info.architecture.c_str());
  std::printf("  framework       %s\n", info.framework.c_str());
  std::printf("  parameters      %lld\n", static_cast<long long>(info.parameters));
  std::printf("  tensors         %lld\n", static_cast<long long>(info.tensors));
  std::printf("  macs_per_pixel  %.0f (a frame of 256x256)\n", info.macs_per_pixel);
  std::printf("  prompts         %s\n", prompts.empty() ? "none" : prompts.c_str());
  if (!info.steps.empty()) std::printf("  steps           %s\n", info.steps.c_str());
  if (!info.config.empty()) std::printf("  config          %s\n", info.config.c_str());
  std::printf("  metrics         %s\n", info.metrics.empty() ? "none" : info.metrics.c_str());
  if (!info.recipe.empty()) std::printf("\nrecipe:\n%s\n", info.recipe.c_str());
}

}  // namespace

void AddInfoCommand(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand(
      "info", "Say what a model file holds: architecture, size, cost, prompts, metrics");
  command->add_option("model", options->model, "A .safetensors file, or the name of a model")
      ->required()
      ->type_name("FILE|NAME");
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options] {
    const std::shared_ptr<Model> model = cpl::LoadModel(options->model, {});
    options->json ? PrintJson(model->info()) : PrintText(model->info());
  });
}

}  // namespace cpl::train
