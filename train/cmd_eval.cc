// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "model/atomic_file.h"
#include "train/commands.h"
#include "train/dataset.h"
#include "train/evaluator.h"
#include "train/model_options.h"
#include "train/progress.h"

namespace cpl::train {
namespace {

using Json = nlohmann::ordered_json;

struct EvalOptions {
  ModelArguments model = {.bypass = "off"};
  std::string data;
  std::string clips;
  std::vector<std::string> kinds;
  bool matrix = false;
  std::string temporal = "on";
  std::string restored;
  std::string save;
  bool no_ssim = false;
  std::string json;
};

Json Number(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json KindJson(const KindScores& k) {
  Json json = {{"n", k.frames},
               {"psnr_rgb", Number(k.psnr_rgb.Value())},
               {"ssim_rgb", Number(k.ssim_rgb.Value())},
               {"psnr_y", Number(k.psnr_y.Value())},
               {"ssim_y", Number(k.ssim_y.Value())},
               {"psnr_input_rgb", Number(k.psnr_input_rgb.Value())},
               {"psnr_input_y", Number(k.psnr_input_y.Value())},
               {"bit_exact", k.bit_exact},
               {"prompt_counts", Json::object()}};
  for (const auto& [name, count] : k.prompt_counts) json["prompt_counts"][name] = count;
  if (k.clips == 0) return json;
  json["psnr_rgb_first"] = Number(k.psnr_rgb_first.Value());
  json["psnr_rgb_last"] = Number(k.psnr_rgb_last.Value());
  json["psnr_y_first"] = Number(k.psnr_y_first.Value());
  json["psnr_y_last"] = Number(k.psnr_y_last.Value());
  json["flicker"] = Number(k.flicker.Value());
  json["prompt_changes"] = k.prompt_changes;
  return json;
}

// The mean of each number over kinds that have it, whatever their sizes.
Json MeanOf(const Json& kinds) {
  Json mean = Json::object();
  const Json& model_kind = *kinds.begin();
  for (const auto& [key, value] : model_kind.items()) {
    Json parts = Json::object();
    FiniteMean numbers;
    for (const auto& [name, kind] : kinds.items()) {
      const Json& field = kind.at(key);
      if (field.is_object()) parts[name] = field;
      if (field.is_number()) numbers.Add(field.get<double>());
    }
    if (!parts.empty()) {
      mean[key] = parts.begin()->empty() ? Json::object() : MeanOf(parts);
    } else {
      mean[key] = Number(numbers.Value());
    }
  }
  return mean;
}

std::string Cell(const Json& number, int width, int digits) {
  char text[32];
  if (number.is_number()) {
    std::snprintf(text, sizeof(text), "%*.*f", width, digits, number.get<double>());
  } else {
    std::snprintf(text, sizeof(text), "%*s", width, "-");
  }
  return text;
}

std::string Gain(const Json& from, const Json& to, int width) {
  if (!from.is_number() || !to.is_number()) return Cell(nullptr, width, 2);
  char text[32];
  std::snprintf(text, sizeof(text), "%+*.2f", width, to.get<double>() - from.get<double>());
  return text;
}

void PrintRow(const std::string& name, const Json& k, bool clips) {
  std::string row = name.substr(0, 16);
  row.resize(17, ' ');
  row += Cell(k["n"], 5, 0) + "  ";
  for (const char* space : {"rgb", "y"}) {
    const std::string s = space;
    row += Cell(k["psnr_input_" + s], 6, 2) + Cell(k["psnr_" + s], 7, 2) +
           Gain(k["psnr_input_" + s], k["psnr_" + s], 7) + Cell(k["ssim_" + s], 8, 4) + "  ";
  }
  row += Cell(k["bit_exact"], 5, 0);
  if (clips) {
    row += "  " + Cell(k["psnr_y_first"], 7, 2) + Cell(k["psnr_y_last"], 7, 2) +
           Cell(k["flicker"], 8, 2);
  }
  std::printf("%s\n", row.c_str());
}

void PrintTable(const Json& report, bool clips) {
  std::printf("%-17s%5s  %-28s  %-28s  %5s%s\n", "", "", "RGB: input output   gain    SSIM",
              "Y: input output   gain    SSIM", "", clips ? "  Y:" : "");
  std::printf("%-17s%5s  %6s%7s%7s%8s  %6s%7s%7s%8s  %5s%s\n", "kind", "n", "dB", "dB", "dB", "",
              "dB", "dB", "dB", "", "exact", clips ? "    first   last flicker" : "");
  for (const auto& [name, kind] : report["kinds"].items()) PrintRow(name, kind, clips);
  PrintRow("mean", report["mean"], clips);
}

void PrintMatrix(const Json& matrix) {
  std::printf("\nPSNR of Y in dB, kind by forced prompt\n%-17s", "");
  for (const auto& [prompt, value] : matrix.begin()->items()) std::printf("%10s", prompt.c_str());
  std::printf("\n");
  for (const auto& [kind, row] : matrix.items()) {
    std::printf("%-17s", kind.substr(0, 16).c_str());
    for (const auto& [prompt, value] : row.items()) {
      std::printf("%s", Cell(value, 10, 2).c_str());
    }
    std::printf("\n");
  }
}

void RunEval(const EvalOptions& options) {
  if (options.data.empty() == options.clips.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "eval needs one of --data DIR and --clips DIR");
  }
  EvalPlan plan;
  plan.clips = !options.clips.empty();
  plan.kinds = plan.clips ? FindClips(options.clips, options.kinds)
                          : FindStills(options.data, options.kinds);
  plan.matrix = options.matrix;
  plan.threads = EffectiveThreads(options.model.threads);
  plan.save = options.save;
  plan.ssim = !options.no_ssim;
  std::shared_ptr<Model> model;
  if (!options.restored.empty()) {
    if (plan.matrix || !plan.save.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "--restored measures pictures that are there; it goes with neither "
                  "--prompt-matrix nor --save");
    }
    UseRestored(options.restored, &plan.kinds);
  } else if (options.model.model != "none") {
    model = LoadModel(options.model);
    plan.params = ParamsFor(options.model, model->info());
    plan.params.temporal = options.temporal == "on";
    if (plan.matrix && model->info().prompts.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  model->info().path + ": has no prompts, so there is no --prompt-matrix");
    }
  } else if (plan.matrix) {
    throw Error(ErrorCode::kInvalidArgument, "--prompt-matrix needs a model");
  }

  std::int64_t skipped = 0, frames = 0;
  std::vector<KindScores> scores;
  {
    Progress progress("evaluating " + (plan.clips ? options.clips : options.data), "frames", 0);
    EvalEvents events;
    events.progress = [&](std::int64_t done, std::int64_t total) {
      progress.SetTotal(total);
      progress.Update(done);
    };
    events.skipped = [&](const std::string& message) {
      ++skipped;
      progress.Clear();
      std::fflush(stdout);
      std::fprintf(stderr, "cpl: %s; skipped\n", message.c_str());
    };
    scores = Evaluate(model.get(), plan, events);
  }

  const std::string name = !options.restored.empty() ? options.restored
                           : model                   ? model->info().path
                                                     : "none";
  Json report = {{"model", name},
                 {"precision", model ? Json(PrecisionName(model->precision())) : Json(nullptr)},
                 {"threads", plan.threads},
                 {"bypass", options.model.bypass},
                 {"kinds", Json::object()}};
  for (const KindScores& kind : scores) {
    report["kinds"][kind.name] = KindJson(kind);
    frames += kind.frames;
  }
  report["mean"] = MeanOf(report["kinds"]);
  if (plan.matrix) {
    for (const KindScores& kind : scores) {
      for (const auto& [prompt, mean] : kind.matrix) {
        report["matrix"][kind.name][prompt] = Number(mean.Value());
      }
    }
  }
  PrintTable(report, plan.clips);
  if (plan.matrix) PrintMatrix(report["matrix"]);
  if (skipped > 0) {
    std::printf("%lld evaluated, %lld skipped\n", static_cast<long long>(frames),
                static_cast<long long>(skipped));
  }
  if (!options.json.empty()) {
    WriteFileAtomically(options.json, report.dump(2) + "\n");
  }
}

}  // namespace

void AddEvalCommand(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      app.add_subcommand("eval", "Measure a model on pictures or clips whose clean targets exist");
  command->footer(
      "Restores an evaluation set and prints PSNR and SSIM against the clean targets, as BasicSR\n"
      "computes them, of R, G, B and of luma (BT.601). A picture that cannot be read, or that has "
      "no\n"
      "target of its size, is named on stderr, counted and left out; the exit status stays 0 as "
      "long\n"
      "as something of every kind was measured.");
  command
      ->add_option("--data", options->data,
                   "Pictures: DIR/KIND/input/* and DIR/KIND/target/*; every one has fresh state. A "
                   "target has its input's stem, else the stem before the first '_', else norain-N "
                   "for rain-N")
      ->type_name("DIR");
  command
      ->add_option("--clips", options->clips,
                   "Clips: DIR/KIND/CLIP/input/0000.png ... and DIR/KIND/CLIP/target/0000.png ...; "
                   "state is carried within a clip")
      ->type_name("DIR");
  command->add_option("--kinds", options->kinds, "Only these kinds (folders of DIR); default: all")
      ->delimiter(',')
      ->type_name("KIND[,KIND]");
  command->add_flag("--prompt-matrix", options->matrix,
                    "Also run every kind with each prompt forced");
  command
      ->add_option("--temporal", options->temporal,
                   "off restores each frame of a clip as if it were the first")
      ->check(CLI::IsMember({"on", "off"}))
      ->type_name("MODE")
      ->capture_default_str();
  command
      ->add_option("--restored", options->restored,
                   "Measure what something else made of the inputs, without a model: "
                   "DIR/KIND/NAME.png, or DIR/KIND/CLIP/0000.png; what is not there is left out")
      ->type_name("DIR");
  command
      ->add_option("--save", options->save,
                   "Write the restored pictures to DIR/KIND/NAME.png, or DIR/KIND/CLIP/0000.png")
      ->type_name("DIR");
  command->add_flag("--no-ssim", options->no_ssim,
                    "Leave SSIM out, which takes most of the time; it is null then");
  command
      ->add_option("--json", options->json,
                   "Write all figures to this file; an infinite PSNR is null and left out of means")
      ->type_name("FILE");
  AddModelArguments(command, &options->model);
  command->get_option("--model")->description(command->get_option("--model")->get_description() +
                                              "; none measures the inputs");
  command->callback([options] { RunEval(*options); });
}

}  // namespace cpl::train
