// SPDX-License-Identifier: Apache-2.0
#include <c10/core/GradMode.h>

#include <nlohmann/json.hpp>

#include "model/sparse_prompt_ir.h"
#include "train/cpr.h"
#include "train/losses.h"
#include "train/trainee.h"

namespace cpl::train {
namespace {

class PaperTrainee final : public Trainee {
 public:
  PaperTrainee(const Recipe& recipe, at::Device device) : recipe_(recipe), device_(device) {
    if (HasCpr(recipe)) extractor_ = MakeExtractor(recipe.cpr, device);
  }

  TensorShapes Shapes() const override { return SparsePromptIrShapes(recipe_.paper, prompts()); }
  Parameters Initial() const override {
    return InitialSparsePromptIr(recipe_.paper, prompts(), recipe_.seed);
  }
  std::map<std::string, std::string> Metadata(
      const std::map<std::string, std::string>& extra) const override {
    std::map<std::string, std::string> metadata = extra;
    metadata["format"] = "cpl";
    metadata["format_version"] = kFormatVersion;
    metadata["architecture"] = "sparse_prompt_ir";
    metadata["framework"] = recipe_.paper.framework;
    metadata["config"] = recipe_.paper.ToJson();
    metadata["prompts"] = nlohmann::json(recipe_.prompts).dump();
    return metadata;
  }
  double MacsPerPixel() const override { return recipe_.paper.MacsPerPixel(256, 256); }

  GroupResult Forward(const Parameters& leaves, Group& group,
                      const GroupTask& task) const override {
    const Stage& stage = *task.stage;
    const int cells = stage.patch / 2;
    const auto picture = [&](std::vector<float>& values) {
      return PicturesOfCells(CellsTensor(values, group.samples, cells, device_)).contiguous();
    };
    const at::Tensor input = picture(group.input[0]), target = picture(group.target[0]);
    const at::Tensor labels =
        at::full({group.samples}, group.prompt, at::TensorOptions(at::kLong).device(device_));

    std::vector<at::Tensor> routes;  // [B, prompts] of each prompt module, the deepest first
    SparsePromptIrOptions options;
    options.observe = [&](const std::string& name, const at::Tensor& value) {
      if (name.ends_with(".weights")) routes.push_back(value);
    };
    if (recipe_.paper.prompted() && recipe_.routing == "label") options.forced = labels;
    const at::Tensor restored = input + RunSparsePromptIr(recipe_.paper, leaves, input, options);

    GroupResult result;
    const at::Tensor error = SquaredError(restored.to(at::kFloat), target, 1);
    result.loss = PictureLoss(recipe_.loss, restored.to(at::kFloat), target, error, 1);
    for (const at::Tensor& route : routes) {
      const at::Tensor logarithms = route.to(at::kFloat).clamp_min(1e-8).log();
      result.router_hits += route.argmax(1).eq(labels).to(at::kFloat).mean().item<double>() /
                            static_cast<double>(routes.size());
      if (stage.router_weight > 0) {
        result.loss = result.loss + at::nll_loss(logarithms, labels) *
                                        (stage.router_weight / static_cast<double>(routes.size()));
      }
    }
    if (stage.cpr_weight > 0 && recipe_.prompts[group.prompt] != "clean") {
      const at::Tensor own = options.forced.defined() ? labels : routes[0].detach().argmax(1);
      const at::Tensor cpr = Contrast(leaves, task, input, own, restored, target);
      result.loss = result.loss + cpr * stage.cpr_weight;
      result.cpr = cpr.item<double>();
    }
    result.psnr = result.psnr_first = PsnrOf(error);
    result.psnr_input = PsnrOf(SquaredError(input, target, 1));
    if (task.show) result.sheet = SheetOf(group, CellsOfPictures(restored));
    return result;
  }

 private:
  int prompts() const { return static_cast<int>(recipe_.prompts.size()); }

  at::Tensor Contrast(const Parameters& leaves, const GroupTask& task, const at::Tensor& input,
                      const at::Tensor& own, const at::Tensor& restored,
                      const at::Tensor& target) const {
    std::vector<at::Tensor> negatives;
    {
      const c10::AutoGradMode mode(recipe_.cpr.negative_gradient);
      for (const int offset :
           DrawNegatives(recipe_.seed, task.step, task.number, prompts(), recipe_.cpr.negatives)) {
        SparsePromptIrOptions options;
        options.forced = (own + offset).remainder(prompts());
        negatives.push_back(input + RunSparsePromptIr(recipe_.paper, leaves, input, options));
      }
    }
    return ContrastiveLoss(recipe_.cpr, *extractor_, restored, target, negatives, input);
  }

  const Recipe& recipe_;
  at::Device device_;
  std::unique_ptr<FeatureExtractor> extractor_;
};

}  // namespace

std::unique_ptr<Trainee> MakePaperTrainee(const Recipe& recipe, at::Device device) {
  return std::make_unique<PaperTrainee>(recipe, device);
}

}  // namespace cpl::train
