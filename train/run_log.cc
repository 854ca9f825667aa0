// SPDX-License-Identifier: Apache-2.0
#include "train/run_log.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cpl/error.h"
#include "train/sheet.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

}  // namespace

RunLog::RunLog(const Recipe& recipe, const StartFacts& facts) : folder_(recipe.output) {
  Line(json{{"event", "start"},
            {"step", facts.step},
            {"total_steps", recipe.TotalSteps()},
            {"threads", facts.threads},
            {"ranks", facts.ranks},
            {"device", facts.device},
            {"precision", facts.precision},
            {"architecture", recipe.architecture},
            {"framework", recipe.framework()},
            {"parameters", facts.parameters},
            {"macs_per_pixel", facts.macs_per_pixel},
            {"data", facts.data}}
           .dump());
  if (!recipe.tensorboard) return;
  events_ = std::make_unique<EventWriter>(folder_, facts.step);
  events_->Text("recipe", facts.step, "```\n" + recipe.text + "\n```");
  events_->Flush();
}

void RunLog::Line(const std::string& text) {
  const std::string path = (fs::path(folder_) / "log.jsonl").string();
  std::ofstream file(path, std::ios::app);
  file << text << "\n";
  if (!file.flush()) throw Error(ErrorCode::kCannotWrite, path + ": cannot write (disk full?)");
}

void RunLog::Status(const TrainStatus& status) {
  json line = {{"step", status.step},
               {"stage", status.stage},
               {"loss", status.loss},
               {"learning_rate", status.learning_rate},
               {"gradient_norm", status.gradient_norm},
               {"router_accuracy", status.router_accuracy},
               {"samples_per_second", status.samples_per_second},
               {"data_share", status.data_share}};
  if (status.cpr != 0) line["cpr"] = status.cpr;
  for (const auto& row : status.prompts) {
    line["psnr"][row.name] = {row.psnr_input, row.psnr_first, row.psnr};
  }
  Line(line.dump());
  if (!events_) return;
  events_->Scalar("train/loss", status.step, status.loss);
  if (status.cpr != 0) events_->Scalar("train/cpr", status.step, status.cpr);
  events_->Scalar("train/learning_rate", status.step, status.learning_rate);
  events_->Scalar("train/gradient_norm", status.step, status.gradient_norm);
  events_->Scalar("train/router_accuracy", status.step, status.router_accuracy);
  events_->Scalar("speed/samples_per_second", status.step, status.samples_per_second);
  events_->Scalar("speed/data_share", status.step, status.data_share);
  for (const auto& row : status.prompts) {
    events_->Scalar("psnr/" + row.name, status.step, row.psnr);
    events_->Scalar("psnr_gain/" + row.name, status.step, row.psnr - row.psnr_input);
  }
  events_->Flush();
}

void RunLog::Validated(std::int64_t step, const ValidationScores& scores, bool best,
                       double seconds) {
  json line = json::parse(scores.ToJson());
  line["event"] = "validation";
  line["step"] = step;
  line["best"] = best;
  line["seconds"] = seconds;
  Line(line.dump());
  if (!events_) return;
  if (scores.psnr) events_->Scalar("validation/psnr_rgb", step, *scores.psnr);
  for (const KindScores& kind : scores.kinds) {
    if (kind.psnr_rgb.Value()) {
      events_->Scalar("validation_psnr/" + kind.name, step, *kind.psnr_rgb.Value());
    }
    if (kind.ssim_rgb.Value()) {
      events_->Scalar("validation_ssim/" + kind.name, step, *kind.ssim_rgb.Value());
    }
    for (const auto& [prompt, mean] : kind.matrix) {
      if (!mean.Value()) continue;
      events_->Scalar("matrix_" + kind.name + "/" + prompt, step, *mean.Value());
    }
  }
  events_->Flush();
}

void RunLog::Samples(std::int64_t step, const std::vector<std::vector<float>>& pictures,
                     int patch) {
  char name[64];
  std::snprintf(name, sizeof(name), "samples/%08lld.png", static_cast<long long>(step));
  const std::string path = (fs::path(folder_) / name).string();
  constexpr int kColumns = 3;
  WriteSheet(path, pictures, patch, kColumns);
  if (!events_) return;
  std::ifstream file(path, std::ios::binary);
  const std::string png{std::istreambuf_iterator<char>(file), {}};
  const int rows = static_cast<int>(pictures.size() + kColumns - 1) / kColumns;
  events_->Image("input | restored | target", step, kColumns * patch, rows * patch, png);
  events_->Flush();
}

}  // namespace cpl::train
