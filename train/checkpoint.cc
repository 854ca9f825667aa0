// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.h"

#include <c10/core/GradMode.h>

#include <cstdlib>
#include <cstring>

#include "cpl/error.h"
#include "model/model_file.h"

namespace cpl::train {
namespace {

// How often each parameter was updated; stages may leave some alone.
constexpr char kUpdates[] = "adam.updates";
constexpr char kFirstMoment[] = "adam.m.";
constexpr char kSecondMoment[] = "adam.v.";

Parameters OnHost(const Parameters& parameters) {
  Parameters host;
  for (const auto& [name, tensor] : parameters.items()) {
    host.Add(name, tensor.detach().to(at::kCPU).contiguous());
  }
  return host;
}

}  // namespace

void WriteModel(const std::string& path, const Trainee& trainee, const Optimizer& optimizer,
                const Metadata& extra) {
  const Parameters average = OnHost(optimizer.ema());
  std::vector<TensorView> views;
  AppendViews(average, "", views);
  WriteSafetensors(path, views, trainee.Metadata(extra));
}

void WriteCheckpoint(const std::string& path, const Trainee& trainee, const Parameters& parameters,
                     const Optimizer& optimizer, const Metadata& extra) {
  const Parameters weights = OnHost(parameters), average = OnHost(optimizer.ema()),
                   first = OnHost(optimizer.first_moment()),
                   second = OnHost(optimizer.second_moment());
  Parameters updates;
  updates.Add(kUpdates, optimizer.Updates().to(at::kCPU));
  std::vector<TensorView> views;
  AppendViews(weights, "", views);
  AppendViews(average, kEmaPrefix, views);
  AppendViews(first, kFirstMoment, views);
  AppendViews(second, kSecondMoment, views);
  AppendViews(updates, "", views);
  WriteSafetensors(path, views, trainee.Metadata(extra));
}

Metadata ReadCheckpoint(const std::string& path, const Trainee& trainee,
                        const Parameters& parameters, Optimizer& optimizer) {
  const SafetensorsFile file = SafetensorsFile::Open(path);
  const auto get = [&](const std::string& key) {
    const auto it = file.metadata().find(key);
    return it == file.metadata().end() ? std::string() : it->second;
  };
  const Metadata wanted = trainee.Metadata({});
  for (const std::string key : {"architecture", "framework", "config", "prompts"}) {
    if (get(key) == wanted.at(key)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                path + ": belongs to another network than the recipe describes (its " + key +
                    " is " + get(key) + ", the recipe's is " + wanted.at(key) +
                    "); choose another run.output, or go back to the recipe that made it");
  }
  const c10::NoGradGuard no_grad;
  const TensorShapes shapes = trainee.Shapes();
  const auto fill = [&](const Parameters& to, const std::string& prefix) {
    const Parameters from = ReadParameters(file, shapes, prefix);
    for (std::size_t i = 0; i < to.items().size(); ++i) {
      at::Tensor tensor = to.items()[i].second;
      tensor.copy_(from.items()[i].second);
    }
  };
  const TensorView* updates = file.Find(kUpdates);
  const auto count = static_cast<std::int64_t>(parameters.items().size());
  if (!updates || updates->dtype != DType::kF32 || updates->shape != std::vector{count} ||
      get("steps").empty()) {
    throw Error(ErrorCode::kBadFormat, path + ": a model without a trainer's state; no checkpoint");
  }
  fill(parameters, "");
  fill(optimizer.ema(), kEmaPrefix);
  fill(optimizer.first_moment(), kFirstMoment);
  fill(optimizer.second_moment(), kSecondMoment);
  at::Tensor copy = at::empty({count}, at::kFloat);
  std::memcpy(copy.data_ptr(), updates->data.data(), updates->data.size());
  optimizer.Resume(copy);
  return file.metadata();
}

}  // namespace cpl::train
