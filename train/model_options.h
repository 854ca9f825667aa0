// SPDX-License-Identifier: Apache-2.0
//
// The options about model and device that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cpl/restorer.h"

namespace cpl::train {

struct ModelArguments {
  std::string model = "live";
  std::string device = "auto";
  std::string precision = "auto";
  int threads = 0;
  int tile = 0;  // see ModelOptions
  std::string degradation = "auto";
  std::string bypass = "auto";  // set another default before AddModelArguments
};

// Adds --model, --device, --precision, --threads, --tile, --degradation and --bypass to a command.
// `arguments` must outlive it.
void AddModelArguments(CLI::App* command, ModelArguments* arguments);

// Throws Error (what CheckCuda throws for a GPU that is not there, and what LoadModel throws).
std::shared_ptr<Model> LoadModel(const ModelArguments& arguments);

// What --degradation and --bypass ask for. Throws Error(kInvalidArgument) for a degradation that
// the model does not know, listing those that it does.
RestoreParams ParamsFor(const ModelArguments& arguments, const ModelInfo& info);

// `threads`, or where it is 0 the number of CPUs that this process may run on.
int EffectiveThreads(int threads);

}  // namespace cpl::train
