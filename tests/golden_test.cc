// SPDX-License-Identifier: Apache-2.0
//
// The network of the paper against what its reference implementation computed, stage by stage.
//
// The files in tests/golden/ (and, if CPL_GOLDEN_DIR names a folder, all *.safetensors in it) hold
// an input, an output and figures of the stages between; their weights follow from a rule
// (tests/golden_weights.h), by the configuration in the file's metadata.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "model/cpu.h"
#include "model/safetensors.h"
#include "model/sparse_prompt_ir.h"
#include "model/sparse_prompt_ir_strips.h"
#include "tests/golden_weights.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;

using Stages = std::map<std::string, at::Tensor>;

struct Golden {
  SparsePromptIrConfig config;
  std::map<std::string, at::Tensor> tensors;
};

Golden ReadGolden(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::Open(path);
  const auto value = [&](const char* key) {
    const auto it = file.metadata().find(key);
    if (it == file.metadata().end()) throw std::runtime_error(std::string("no metadata ") + key);
    return it->second;
  };
  Golden golden;
  golden.config.num_blocks = nlohmann::json::parse(value("num_blocks")).get<std::vector<int>>();
  golden.config.num_refinement_blocks = std::stoi(value("num_refinement_blocks"));
  golden.config.num_expert = std::stoi(value("num_expert"));
  for (const TensorView& view : file.tensors()) {
    if (view.dtype != DType::kF32) throw std::runtime_error(view.name + " is not F32");
    at::Tensor tensor = at::empty(view.shape, at::kFloat);
    std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
    golden.tensors.emplace(view.name, tensor);
  }
  return golden;
}

// The file's figures of what was computed: a stage's output for "STAGE.mean" and so on, or the
// tensor of that name.
at::Tensor Figure(const std::string& name, const Stages& stages) {
  const auto stage = stages.find(name.substr(0, name.rfind('.')));
  const std::string figure = name.substr(name.rfind('.') + 1);
  if (stage != stages.end() && figure == "mean") return stage->second.mean().view({1});
  if (stage != stages.end() && figure == "std") return stage->second.std().view({1});
  if (stage != stages.end() && figure == "corner") {
    return stage->second.slice(1, 0, 4).slice(2, 0, 4).slice(3, 0, 4);
  }
  const auto it = stages.find(name);
  return it == stages.end() ? at::Tensor() : it->second;
}

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  // Compares all that the file holds; prints the largest deviation.
  static void Compare(const Golden& golden, const Stages& stages, const char* form) {
    double worst = 0;
    std::string at;
    for (const auto& [name, expected] : golden.tensors) {
      if (name == "input") continue;
      const at::Tensor actual = Figure(name, stages);
      ASSERT_TRUE(actual.defined()) << "nothing was computed that is called " << name;
      ASSERT_EQ(actual.sizes(), expected.sizes()) << name;
      const double deviation =
          ((actual - expected).abs() / expected.abs().clamp_min(1)).max().item<double>();
      EXPECT_LE(deviation, 1e-4) << form << ": " << name;
      if (deviation > worst) {
        worst = deviation;
        at = name;
      }
    }
    std::printf("%s: largest deviation %.2e, in %s\n", form, worst, at.c_str());
  }

  static StageObserver Collect(Stages& stages) {
    return [&stages](const std::string& name, const at::Tensor& x) { stages[name] = x.clone(); };
  }
};

TEST_P(GoldenTest, EveryStageIsThatOfTheReference) {
  const Golden golden = ReadGolden(GetParam());
  const at::Tensor& input = golden.tensors.at("input");
  const Parameters parameters = test::GoldenParameters(golden.config, 5);
  at::set_num_threads(AvailableCpus());

  Stages whole;
  const at::Tensor residual =
      RunSparsePromptIr(golden.config, parameters, input, {.observe = Collect(whole)});
  whole["output"] = input + residual;
  Compare(golden, whole, "whole");

  const auto weights = std::make_shared<StripWeights>(golden.config, parameters, at::kFloat);
  // As it comes, and in strips of a row each.
  for (const std::int64_t scratch : {StripOptions().scratch_bytes, std::int64_t{1}}) {
    Stages strips;
    SparsePromptIrStrips runner(weights, {.threads = AvailableCpus(), .scratch_bytes = scratch});
    strips["output"] = input + runner.Run(input, {.observe = Collect(strips)});
    Compare(golden, strips, scratch == 1 ? "strips of one row" : "strips");
  }
}

std::vector<std::string> GoldenFiles() {
  std::vector<std::string> files;
  const auto add = [&](const std::string& folder) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
    }
  };
  add(CPL_TEST_DATA "/golden");
  if (const char* folder = std::getenv("CPL_GOLDEN_DIR"); folder && *folder) add(folder);
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTest, testing::ValuesIn(GoldenFiles()), [](const auto& file) {
  std::string name = fs::path(file.param).stem().string() + "_" + std::to_string(file.index);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});

TEST(SparsePromptIr, HasThePapersSize) {
  std::int64_t numbers = 0;
  const auto shapes = SparsePromptIrShapes({}, 5);
  for (const auto& [name, shape] : shapes) {
    std::int64_t product = 1;
    for (const std::int64_t size : shape) product *= size;
    numbers += product;
  }
  EXPECT_EQ(shapes.size(), 542u);
  EXPECT_EQ(numbers, 35376967);
}

}  // namespace
}  // namespace cpl
