// SPDX-License-Identifier: Apache-2.0
#include "train/dry_run.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <opencv2/imgproc.hpp>
#include <sstream>

#include "model/cpu.h"
#include "train/image_io.h"
#include "train/output_file.h"
#include "train/sampler.h"
#include "train/sheet.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

constexpr int kSamples = 3;
constexpr int kLabelHeight = 16;
constexpr int kGap = 4;

std::string Megabytes(double bytes) {
  std::ostringstream text;
  text.precision(bytes < 10 * (1 << 20) ? 1 : 0);
  text << std::fixed << bytes / (1 << 20) << " MiB";
  return text.str();
}

std::string SizeText(cv::Size size) {
  return std::to_string(size.width) + "x" + std::to_string(size.height);
}

void List(std::ostringstream& text, const std::vector<std::string>& names, const std::string& what,
          int most) {
  if (names.empty()) return;
  text << "    " << names.size() << " " << what << ":\n";
  const std::size_t shown = std::min(names.size(), static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < shown; ++i) text << "      " << names[i] << "\n";
  if (shown < names.size()) text << "      and " << names.size() - shown << " more\n";
}

// Pixels of samples in the largest step, input and target, as floats.
double BatchBytes(const Recipe& recipe) {
  double most = 0;
  for (const Stage& stage : recipe.stages) {
    double samples = 0;
    for (const auto& [prompt, count] : stage.batch) samples += count;
    most = std::max(most, samples * stage.frames * stage.patch * stage.patch * 3 * 4 * 2);
  }
  return most;
}

// Rows of equal pictures under labels.
class Sheet {
 public:
  void Row(const std::string& label, const std::vector<cv::Mat>& pictures) {
    rows_.emplace_back(label, pictures);
  }
  cv::Mat Draw() const {
    int width = 0, height = 0;
    for (const auto& [label, pictures] : rows_) {
      int across = 0;
      for (const cv::Mat& picture : pictures) across += picture.cols + kGap;
      width = std::max(width, across);
      height += pictures[0].rows + kGap + (label.empty() ? 0 : kLabelHeight);
    }
    cv::Mat sheet(height, width, CV_8UC3, cv::Scalar::all(24));
    int top = 0;
    for (const auto& [label, pictures] : rows_) {
      if (!label.empty()) {
        cv::putText(sheet, label, {2, top + 12}, cv::FONT_HERSHEY_SIMPLEX, 0.4,
                    cv::Scalar::all(230), 1, cv::LINE_AA);
        top += kLabelHeight;
      }
      int left = 0;
      for (const cv::Mat& picture : pictures) {
        picture.copyTo(sheet(cv::Rect(cv::Point(left, top), picture.size())));
        left += picture.cols + kGap;
      }
      top += pictures[0].rows + kGap;
    }
    return sheet;
  }

 private:
  std::vector<std::pair<std::string, std::vector<cv::Mat>>> rows_;
};

}  // namespace

std::string DescribeData(const Recipe& recipe, const TrainingSet& set, int most) {
  const DataReport& report = set.report;
  std::ostringstream text;
  text << "data: " << report.Summary() << "\n";
  for (const SourceReport& source : report.sources) {
    text << "  " << source.path << "\n    for " << source.prompts << ": ";
    if (source.pairs > 0) {
      text << source.pairs << " pairs";
      if (source.clips > 0) text << ", " << source.clips << " clips among them";
    } else {
      text << source.photos << " photos, " << source.clips << " clips of " << source.frames
           << " frames";
    }
    if (source.decoded > 0) {
      text << ", " << SizeText(source.smallest);
      if (source.largest != source.smallest) text << " to " << SizeText(source.largest);
    }
    text << "\n";
    List(text, source.unreadable, "left out", most);
    List(text, source.orphans, "without a partner", most);
    List(text, source.notes, "notes", most);
  }
  text << "samples are drawn from, by prompt:\n";
  for (std::size_t p = 0; p < recipe.prompts.size(); ++p) {
    std::size_t pairs = 0;
    for (const Supply::Item& item : set.for_stills[p].items) pairs += item.pair;
    text << "  " << recipe.prompts[p] << ": " << set.for_stills[p].items.size() - pairs
         << " clean pictures and clips, " << pairs << " pairs\n";
  }
  text << "memory: " << Megabytes(static_cast<double>(report.held_bytes)) << " of pictures held of "
       << Megabytes(static_cast<double>(report.total_bytes)) << " (data.memory is " << recipe.memory
       << " MiB), " << Megabytes(BatchBytes(recipe)) << " for a batch\n";
  return text.str();
}

std::vector<std::string> WriteDataSheets(const Recipe& recipe, TrainingSet set) {
  const Sampler sampler(recipe, std::move(set));
  WorkerPool pool(AvailableCpus(), nullptr);
  const std::filesystem::path folder = std::filesystem::path(recipe.output) / "samples";
  MakeFolder(folder.string());
  std::vector<std::string> paths;
  for (std::size_t s = 0; s < recipe.stages.size(); ++s) {
    Stage stage = recipe.stages[s];
    for (auto& [prompt, count] : stage.batch) {
      count = std::min(count, stage.frames > 1 ? 1 : kSamples);
    }
    const Batch batch = sampler.Make(stage, 0, pool);
    Sheet sheet;
    for (const Group& group : batch) {
      const std::string& prompt = recipe.prompts[group.prompt];
      const std::size_t values = static_cast<std::size_t>(stage.patch) * stage.patch * 3;
      const auto picture = [&](const std::vector<float>& all, int i) {
        return FromCells(all.data() + i * values, stage.patch);
      };
      std::vector<cv::Mat> row, below;
      if (stage.frames == 1) {
        for (int i = 0; i < group.samples; ++i) {
          row.push_back(picture(group.input[0], i));
          row.push_back(picture(group.target[0], i));
        }
        sheet.Row(prompt + ": input | target", row);
        continue;
      }
      for (int t = 0; t < group.frames; ++t) {
        row.push_back(picture(group.input[t], 0));
        below.push_back(picture(group.target[t], 0));
      }
      sheet.Row(prompt + ": frames of a clip, input over target", row);
      sheet.Row("", below);
    }
    const std::string name = stage.name.empty() ? std::to_string(s + 1) : stage.name;
    paths.push_back((folder / ("data-" + name + ".png")).string());
    WriteImage(paths.back(), sheet.Draw());
  }
  return paths;
}

}  // namespace cpl::train
