// SPDX-License-Identifier: Apache-2.0
//
// Weights for tests that follow from each tensor's name, so that other implementations can repeat
// them without a file (tests/golden/README.md has the rule).
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "model/live_net.h"
#include "model/sparse_prompt_ir_config.h"

namespace cpl::test {

// Number i of the sequence that belongs to `name`, in 0..1.
inline float GoldenNumber(const std::string& name, std::uint64_t i) {
  std::uint64_t seed = 0xcbf29ce484222325u;
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<float>(z >> 40) / 16777216.0f;
}

inline at::Tensor GoldenNumbers(const std::string& name, const std::vector<std::int64_t>& shape) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* data = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    data[i] = GoldenNumber(name, static_cast<std::uint64_t>(i));
  }
  return tensor;
}

inline at::Tensor GoldenTensor(const std::string& name, const std::vector<std::int64_t>& shape) {
  const at::Tensor u = GoldenNumbers(name, shape);
  if (name.ends_with("prompt_param")) return u;
  const at::Tensor v = 2 * u - 1;
  if (name.ends_with("temperature")) return 1 + 0.5 * v;
  if (name.ends_with("bias")) return 0.1 * v;
  if (name.find(".norm") != std::string::npos) return 1 + 0.1 * v;
  double fan_in = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
  return v * std::sqrt(3 / fan_in);
}

inline Parameters GoldenParameters(const SparsePromptIrConfig& config, int prompts) {
  Parameters parameters;
  for (const auto& [name, shape] : SparsePromptIrShapes(config, prompts)) {
    parameters.Add(name, GoldenTensor(name, shape));
  }
  return parameters;
}

}  // namespace cpl::test
