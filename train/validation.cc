// SPDX-License-Identifier: Apache-2.0
#include "train/validation.h"

#include <nlohmann/json.hpp>

namespace cpl::train {
namespace {

using Json = nlohmann::ordered_json;

Json Number(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

// Every so manieth, so that a set that is sorted by scene is still seen from end to end.
template <typename Item>
void Thin(std::vector<Item>& items, int limit) {
  const std::size_t most = static_cast<std::size_t>(limit);
  if (limit == 0 || items.size() <= most) return;
  for (std::size_t i = 0; i < most; ++i) items[i] = items[i * items.size() / most];
  items.resize(most);
}

}  // namespace

std::string ValidationScores::ToJson() const {
  Json json = {{"psnr_rgb", Number(psnr)}, {"kinds", Json::object()}};
  for (const KindScores& kind : kinds) {
    json["kinds"][kind.name] = {{"psnr_rgb", Number(kind.psnr_rgb.Value())},
                                {"ssim_rgb", Number(kind.ssim_rgb.Value())},
                                {"psnr_y", Number(kind.psnr_y.Value())},
                                {"ssim_y", Number(kind.ssim_y.Value())},
                                {"psnr_input_rgb", Number(kind.psnr_input_rgb.Value())}};
    for (const auto& [prompt, mean] : kind.matrix) {
      json["matrix"][kind.name][prompt] = Number(mean.Value());
    }
  }
  return json.dump();
}

Validation::Validation(const ValidationOptions& options)
    : options_(options),
      kinds_(options.clips.empty() ? FindStills(options.data, options.kinds)
                                   : FindClips(options.clips, options.kinds)) {
  for (EvalKind& kind : kinds_) {
    if (!options.clips.empty()) {
      Thin(kind.sequences, options.limit);
    } else {
      for (EvalSequence& stills : kind.sequences) Thin(stills.pairs, options.limit);
    }
  }
}

ValidationScores Validation::Measure(const std::string& model, int threads,
                                     const std::function<void(const std::string&)>& skipped) const {
  EvalPlan plan;
  plan.kinds = kinds_;
  plan.clips = !options_.clips.empty();
  plan.matrix = options_.matrix;
  plan.threads = threads;
  plan.params.bypass_clean = false;
  EvalEvents events;
  events.progress = [](std::int64_t, std::int64_t) {};
  events.skipped = skipped;
  const std::shared_ptr<Model> loaded = LoadModel(model, {Precision::kFp32, threads});
  ValidationScores scores;
  scores.kinds = Evaluate(loaded.get(), plan, events);
  FiniteMean mean;
  for (const KindScores& kind : scores.kinds) {
    if (kind.psnr_rgb.Value()) mean.Add(*kind.psnr_rgb.Value());
  }
  scores.psnr = mean.Value();
  return scores;
}

}  // namespace cpl::train
