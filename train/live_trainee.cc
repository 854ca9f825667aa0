// SPDX-License-Identifier: Apache-2.0
#include <c10/core/GradMode.h>

#include "model/model_file.h"
#include "model/prompt_mix.h"
#include "model/recurrence.h"
#include "model/tone.h"
#include "train/cpr.h"
#include "train/losses.h"
#include "train/trainee.h"

namespace cpl::train {
namespace {

constexpr double kUnit = 4;  // of cells

// The patches of the first frame that the router sees: all of it, in squares.
at::Tensor RouterPatches(const at::Tensor& x) {
  const std::int64_t across = x.size(2) / kRouterPatch;
  return x.view({x.size(0), kCellChannels, across, kRouterPatch, across, kRouterPatch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({-1, kCellChannels, kRouterPatch, kRouterPatch});
}

// What a memory of clean frames would be, had it kept what the blend kept.
at::Tensor Keep(const Blend& blend, const at::Tensor& target, const at::Tensor& clean_memory) {
  const at::Tensor keep = blend.side.detach().slice(1, kCellChannels, kCellChannels + 1);
  return target - keep * (target - clean_memory);
}

// Cross-entropy of the motion head: a block is still as far as the clean frame is what a memory of
// clean frames holds, give or take half of what the weather did to it: averaging takes away more
// than that. Learning it from the restoration's loss alone takes very long: keeping a little of
// everything is a flat place to be stuck in.
at::Tensor MotionLoss(const Blend& blend, const at::Tensor& x, const at::Tensor& target,
                      const at::Tensor& clean_memory) {
  constexpr double kTolerance = 5 * 4 / 255.0;  // about five 8-bit levels, in the cells' unit
  const at::Tensor moved = BlockMeans((target - clean_memory).abs()).amax(1, /*keepdim=*/true);
  const at::Tensor weather = BlockMeans((x - target).abs()).amax(1, /*keepdim=*/true);
  const at::Tensor label = (moved / (weather * 0.5 + kTolerance)).square().neg().exp();
  return at::binary_cross_entropy_with_logits(blend.still, label);
}

// The same parameters, of which only the prompts' learn.
Parameters PromptsOf(const Parameters& leaves) {
  Parameters some;
  for (const auto& [name, tensor] : leaves.items()) {
    some.Add(name, name.find(".prompt_") == std::string::npos ? tensor.detach() : tensor);
  }
  return some;
}

class LiveTrainee final : public Trainee {
 public:
  LiveTrainee(const Recipe& recipe, at::Device device) : recipe_(recipe), device_(device) {
    if (HasCpr(recipe)) extractor_ = MakeExtractor(recipe.cpr, device);
  }

  TensorShapes Shapes() const override { return LiveParameterShapes(recipe_.model, prompts()); }
  Parameters Initial() const override {
    return InitialParameters(recipe_.model, prompts(), recipe_.seed);
  }
  std::map<std::string, std::string> Metadata(
      const std::map<std::string, std::string>& extra) const override {
    return ModelMetadata(recipe_.model, recipe_.prompts, extra);
  }
  double MacsPerPixel() const override { return recipe_.model.MacsPerPixel(256, 256); }

  GroupResult Forward(const Parameters& all, Group& group, const GroupTask& task) const override {
    const Stage& stage = *task.stage;
    const Parameters leaves = stage.trains == Trains::kPrompts ? PromptsOf(all) : all;
    const int cells = stage.patch / 2;
    const at::Tensor first = CellsTensor(group.input[0], group.samples, cells, device_);
    const int per_frame = (cells / kRouterPatch) * (cells / kRouterPatch);
    const Route route =
        RunRouter(recipe_.model, leaves, RouterPatches(first), per_frame, ToneOf(group, cells));
    const at::Tensor labels =
        at::full({group.samples}, group.prompt, at::TensorOptions(at::kLong).device(device_));
    const at::Tensor logits = route.logits.to(at::kFloat);

    GroupResult result;
    result.router_hits = logits.argmax(1).eq(labels).to(at::kFloat).mean().item<double>();
    result.loss = at::cross_entropy_loss(logits, labels) * stage.router_weight;
    if (stage.trains == Trains::kRouter) return result;
    at::Tensor picture;
    if (recipe_.routing == "label" && recipe_.framework() != "prompt") {
      picture =
          AddClips(leaves, OneHot(group.prompt), route.cond, group, task, 0, group.samples, result);
    } else {
      // Samples have mixes of their own, and with them weights of their own.
      const at::Tensor mixes = MixPrompts(recipe_.model, logits.softmax(1));
      for (int i = 0; i < group.samples; ++i) {
        at::Tensor one = AddClips(leaves, mixes[i], route.cond.slice(0, i, i + 1), group, task, i,
                                  i + 1, result);
        if (i == 0) picture = std::move(one);
      }
    }
    if (task.show) result.sheet = SheetOf(group, picture);
    return result;
  }

 private:
  int prompts() const { return static_cast<int>(recipe_.prompts.size()); }

  at::Tensor OneHot(int prompt) const {
    at::Tensor mix = at::zeros({prompts()}, at::TensorOptions(at::kFloat).device(device_));
    mix[prompt] = 1;
    return mix;
  }

  // The tone of the first frames; undefined where the network does not see it.
  at::Tensor ToneOf(const Group& group, int cells) const {
    if (!recipe_.model.tone) return {};
    at::Tensor values = at::empty({group.samples, kToneValues}, at::kFloat);
    const int count = cells * cells;
    for (int i = 0; i < group.samples; ++i) {
      Tone tone;
      tone.Add(group.input[0].data() + static_cast<std::ptrdiff_t>(i) * count * kCellChannels,
               count);
      tone.Values(values.data_ptr<float>() + static_cast<std::ptrdiff_t>(i) * kToneValues);
    }
    return values.to(device_);
  }

  // Restores samples begin .. end - 1 of the group with one mix of prompts, and adds what that
  // costs, as their share of the group. Returns the last frame.
  at::Tensor AddClips(const Parameters& leaves, const at::Tensor& mix, const at::Tensor& cond,
                      Group& group, const GroupTask& task, int begin, int end,
                      GroupResult& result) const {
    const Stage& stage = *task.stage;
    const int cells = stage.patch / 2;
    const bool whole = begin == 0 && end == group.samples;
    const double share = static_cast<double>(end - begin) / group.samples;
    const auto frame = [&](std::vector<float>& values) {
      const at::Tensor all = CellsTensor(values, group.samples, cells, device_);
      return whole ? all : all.slice(0, begin, end);
    };
    at::Tensor loss = whole ? result.loss : at::zeros_like(result.loss);
    const FoldedNet folded = Fold(recipe_.model, leaves, mix);
    at::Tensor x = frame(group.input[0]);
    Memory memory = NoMemory();
    at::Tensor picture, clean_memory;
    const bool ends = stage.learns_from == LearnsFrom::kEnds;
    const double weight = 1.0 / (ends ? 3 : group.frames);  // of a frame that is learnt from
    for (int t = 0; t < group.frames; ++t) {
      const bool last = t == group.frames - 1;
      const bool learns = !ends || t == 0 || t >= group.frames - 2;
      const c10::AutoGradMode grad(learns && c10::GradMode::is_enabled());
      x = frame(group.input[t]);
      const at::Tensor target = frame(group.target[t]);
      const Blend blend = BlendFrame(folded, x, memory, cond);
      Restored restored = RestoreBlend(recipe_.model, folded, blend, cond);
      if (learns && t > 0 && stage.motion_weight > 0) {
        loss = loss + MotionLoss(blend, x, target, clean_memory) * (stage.motion_weight * weight);
      }
      clean_memory = t == 0 ? target : Keep(blend, target, clean_memory);
      picture = std::move(restored.picture);
      if (last && stage.cpr_weight > 0 && recipe_.prompts[group.prompt] != "clean") {
        const at::Tensor cpr = Contrast(leaves, group, task, x, memory, cond, picture, target);
        loss = loss + cpr * stage.cpr_weight;
        result.cpr += share * cpr.item<double>();
      }
      memory = std::move(restored.memory);
      if (!learns) continue;
      const at::Tensor error = SquaredError(picture, target, kUnit);
      loss = loss + PictureLoss(recipe_.loss, picture, target, error, kUnit) * weight;
      if (t == 0) result.psnr_first += share * PsnrOf(error);
      if (last) {
        result.psnr += share * PsnrOf(error);
        result.psnr_input += share * PsnrOf(SquaredError(x, target, kUnit));
      }
    }
    result.loss = whole ? loss : result.loss + loss * share;
    return picture;
  }

  // The last frame again, with other prompts and the same past.
  at::Tensor Contrast(const Parameters& leaves, const Group& group, const GroupTask& task,
                      const at::Tensor& x, const Memory& memory, const at::Tensor& cond,
                      const at::Tensor& picture, const at::Tensor& target) const {
    const c10::AutoGradMode mode(recipe_.cpr.negative_gradient);
    Memory past;
    if (memory.picture.defined()) past = {memory.picture.detach(), memory.count.detach()};
    std::vector<at::Tensor> negatives;
    for (const int offset :
         DrawNegatives(recipe_.seed, task.step, task.number, prompts(), recipe_.cpr.negatives)) {
      const FoldedNet other =
          Fold(recipe_.model, leaves, OneHot((group.prompt + offset) % prompts()));
      negatives.push_back(
          PicturesOfCells(RestoreFrame(recipe_.model, other, x, past, cond.detach()).picture));
    }
    const c10::AutoGradMode grad(true);
    return ContrastiveLoss(recipe_.cpr, *extractor_, PicturesOfCells(picture),
                           PicturesOfCells(target), negatives, PicturesOfCells(x));
  }

  const Recipe& recipe_;
  at::Device device_;
  std::unique_ptr<FeatureExtractor> extractor_;
};

}  // namespace

std::unique_ptr<Trainee> MakeLiveTrainee(const Recipe& recipe, at::Device device) {
  return std::make_unique<LiveTrainee>(recipe, device);
}

}  // namespace cpl::train
