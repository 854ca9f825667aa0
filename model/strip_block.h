// SPDX-License-Identifier: Apache-2.0
//
// A transformer block in strips of rows, exactly.
//
// Only two things in a block reach over the whole picture: the product of queries and keys, and
// their norms. A first pass sums them up strip by strip; they make one [C, C] matrix of the
// attention's weights and its output projection. In the second pass each strip runs from the
// block's input to its output, values, attention and feed-forward, while the few rows that the 3x3
// convolutions share are kept from one strip to the next. Nothing is computed twice but the layer
// norm, and at the joints of the threads' shares.
//
// For inference: no autograd. Everything that is summed or added up stays in float32; in bfloat16
// only the operands and results of the large matrix products are rounded.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "model/live_net.h"
#include "model/sparse_prompt_ir_config.h"
#include "model/strip_lines.h"

namespace cpl {

// A block's weights as the passes read them.
struct StripBlockWeights {
  int channels = 0, heads = 1, hidden = 0;
  at::ScalarType dtype = at::kFloat;  // of the products
  at::Tensor norm1, norm2;            // [2, C]: weight, bias
  at::Tensor queries_keys;            // [2C, C]
  at::Tensor values;                  // [C, C]
  at::Tensor qkv_depthwise;           // [3C, 9]
  at::Tensor temperature;             // [heads, 1, 1]
  at::Tensor project_attention;       // [C, C]
  at::Tensor project_in;              // [2 hidden, C]
  at::Tensor depthwise;               // [2 hidden, 9]
  at::Tensor project_out;             // [C, hidden]
};

StripBlockWeights MakeStripBlock(const SparsePromptIrConfig& config, const TransformerShape& block,
                                 const Parameters& parameters, at::ScalarType dtype);

// Who works on which rows, with what memory.
class StripTeam {
 public:
  // `scratch_bytes` for all threads together: what strips are made small enough for. A strip of one
  // row is the least.
  StripTeam(int threads, std::int64_t scratch_bytes);

  // Calls work(share, begin, end) for shares of 0..rows-1, side by side. The calling thread's
  // number of threads must be that of the team.
  void ForShares(int rows, const std::function<void(int share, int begin, int end)>& work);
  int SharesOf(int rows) const;

  StripArena& arena(int share) { return arenas_[static_cast<std::size_t>(share)]; }
  // Rows of a strip that has so many values a pixel.
  int StripRows(std::int64_t values_per_pixel, int width, int rows) const;

 private:
  int threads_;
  std::int64_t scratch_bytes_;
  std::vector<StripArena> arenas_;
};

// x, out: [C, H, W], float32, contiguous; not the same memory.
void RunStripBlock(const StripBlockWeights& weights, StripTeam& team, const at::Tensor& x,
                   const at::Tensor& out);

}  // namespace cpl
