// SPDX-License-Identifier: Apache-2.0
#include "model/strip_block.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstring>

#include "model/combine.h"
#include "model/strip_kernels.h"

namespace cpl {
namespace {

constexpr float kUnitEps = 1e-12f;
// Shares of fewer rows than this spend too much on the rows that they have in common.
constexpr int kLeastShare = 4;
// Beyond this many pixels a strip gains nothing.
constexpr int kMostStripPixels = 4096;

std::uint16_t* Bits(const at::Tensor& tensor) {
  return reinterpret_cast<std::uint16_t*>(tensor.data_ptr());
}

// One picture, one block, one thread's share of its rows.
class Share {
 public:
  Share(const StripBlockWeights& weights, StripArena& arena, const at::Tensor& x, int strip)
      : w_(weights),
        arena_(arena),
        x_(x),
        height_(static_cast<int>(x.size(1))),
        width_(static_cast<int>(x.size(2))),
        strip_(strip),
        kernels_(BestStripKernels()) {
    norm_ = arena.TakeMatrix(w_.channels, Pixels(strip_ + kHalo), at::kFloat);
    if (Rounded()) norm16_ = arena.TakeMatrix(w_.channels, Pixels(strip_ + kHalo), w_.dtype);
    widened_ = arena.Take(Pixels(strip_ + kHalo) + 2 * kPad, at::kFloat);
    plane_ = arena.Take(Pixels(strip_ + kHalo), at::kFloat);
  }

  // Adds q k^T of rows begin..end-1 to gram [heads, c, c], the squares of q and k to squares [2C].
  void SumAttention(int begin, int end, const at::Tensor& gram, float* squares) {
    const std::int64_t twice = 2 * w_.channels;
    StripLines lines(arena_, twice, width_, strip_ + kHalo, w_.dtype);
    const at::Tensor both = arena_.TakeMatrix(twice, Pixels(strip_), at::kFloat);
    lines.Start(begin - 1);
    if (begin == 0) lines.AppendZeroRow();
    for (int row = begin; row < end; row += strip_) {
      const int rows = std::min(strip_, end - row);
      lines.DropBefore(row - 1);
      Project(w_.queries_keys, w_.norm1, std::min(row + rows + 1, height_), lines);
      const std::int64_t pixels = Pixels(rows);
      for (std::int64_t c = 0; c < twice; ++c) {
        float* to = both.data_ptr<float>() + c * both.stride(0);
        Depthwise(lines, c, row, rows, w_.qkv_depthwise, c, to);
        squares[c] += kernels_.sum_of_squares(to, static_cast<int>(pixels));
      }
      const at::Tensor heads =
          both.narrow(1, 0, pixels).unflatten(0, {2, w_.heads, w_.channels / w_.heads});
      gram.baddbmm_(heads[0], heads[1].transpose(1, 2));
    }
  }

  // The whole block for rows begin..end-1. attention: [C, C], as from AttentionMatrix.
  void Run(const at::Tensor& attention, int begin, int end, const at::Tensor& out) {
    const std::int64_t channels = w_.channels;
    const int capacity = strip_ + kHalo;
    StripLines values(arena_, channels, width_, capacity, w_.dtype);
    StripLines sum(arena_, channels, width_, capacity, at::kFloat);
    StripLines hidden(arena_, 2 * w_.hidden, width_, capacity, w_.dtype);
    const at::Tensor mixed = arena_.TakeMatrix(channels, Pixels(capacity), w_.dtype);
    const at::Tensor gated = arena_.TakeMatrix(w_.hidden, Pixels(strip_), w_.dtype);
    const int first = std::max(begin - 1, 0);
    values.Start(first - 1);
    if (first == 0) values.AppendZeroRow();
    sum.Start(first);
    hidden.Start(begin - 1);
    if (begin == 0) hidden.AppendZeroRow();
    for (int row = begin; row < end; row += strip_) {
      const int rows = std::min(strip_, end - row);
      // The feed-forward needs a row more than is written, the attention another one.
      const int sum_begin = sum.end(), sum_end = std::min(row + rows + 1, height_);
      values.DropBefore(sum_begin - 1);
      Project(w_.values, w_.norm1, std::min(sum_end + 1, height_), values);
      sum.DropBefore(std::min(row, sum_begin));
      hidden.DropBefore(row - 1);
      if (sum_end > sum_begin) Attend(attention, values, sum_begin, sum_end, mixed, sum);
      Project(w_.project_in, w_.norm2, sum_end, hidden, &sum);
      FeedForward(hidden, row, rows, gated, sum);
      const at::Tensor done = sum.View(row, rows);
      for (std::int64_t c = 0; c < channels; ++c) {
        std::memcpy(out.data_ptr<float>() + (c * height_ + row) * width_,
                    done.data_ptr<float>() + c * done.stride(0), sizeof(float) * Pixels(rows));
      }
    }
  }

  // Values a pixel of a strip, at most.
  static std::int64_t ValuesPerPixel(const StripBlockWeights& w) {
    return 4 * w.channels + 3 * w.hidden + 2;
  }

 private:
  // Rows that a window holds beyond its strip: two above and below at a share's start, and the zero
  // row below the picture.
  static constexpr int kHalo = 5;
  static constexpr int kPad = 16;

  bool Rounded() const { return w_.dtype != at::kFloat; }
  std::int64_t Pixels(int rows) const { return static_cast<std::int64_t>(rows) * width_; }

  // Appends rows lines.end()..end-1 of weight x norm(source), and the zero row below the picture.
  // The source is the block's input, or `from`.
  void Project(const at::Tensor& weight, const at::Tensor& norm, int end, StripLines& lines,
               const StripLines* from = nullptr) {
    const int begin = lines.end();
    if (end <= begin) return;
    const std::int64_t pixels = Pixels(end - begin);
    const at::Tensor source = from ? from->View(begin, end - begin)
                                   : x_.view({w_.channels, -1}).narrow(1, Pixels(begin), pixels);
    const float* gains = norm.data_ptr<float>();
    kernels_.norm(source.data_ptr<float>(), source.stride(0), w_.channels, static_cast<int>(pixels),
                  gains, gains + w_.channels, norm_.data_ptr<float>(), norm_.stride(0));
    at::Tensor operand = norm_.narrow(1, 0, pixels);
    if (Rounded()) {
      for (int c = 0; c < w_.channels; ++c) {
        RoundRow(norm_.data_ptr<float>() + c * norm_.stride(0), static_cast<int>(pixels),
                 Bits(norm16_) + c * norm16_.stride(0));
      }
      operand = norm16_.narrow(1, 0, pixels);
    }
    at::Tensor to = lines.Append(end - begin);
    at::mm_out(to, weight, operand);
    if (end == height_) lines.AppendZeroRow();
  }

  // One plane of a 3x3 convolution, in float32.
  void Depthwise(const StripLines& lines, std::int64_t channel, int row, int rows,
                 const at::Tensor& weight, std::int64_t weight_row, float* to) {
    const float* taps = weight.data_ptr<float>() + weight_row * 9;
    if (!Rounded()) {
      kernels_.depthwise(lines.Row<float>(channel, row), taps, rows, width_, to);
      return;
    }
    float* wide = widened_.data_ptr<float>() + kPad;
    WidenRow(reinterpret_cast<const std::uint16_t*>(lines.Row<at::BFloat16>(channel, row - 1)),
             static_cast<int>(Pixels(rows + 2)), wide);
    kernels_.depthwise(wide + width_, taps, rows, width_, to);
  }

  // A plane of products' results into a plane of an operand.
  float* PlaneOf(const at::Tensor& matrix, std::int64_t channel) {
    return Rounded() ? plane_.data_ptr<float>()
                     : matrix.data_ptr<float>() + channel * matrix.stride(0);
  }
  void RoundPlane(const at::Tensor& matrix, std::int64_t channel, std::int64_t pixels) {
    if (!Rounded()) return;
    RoundRow(plane_.data_ptr<float>(), static_cast<int>(pixels),
             Bits(matrix) + channel * matrix.stride(0));
  }

  void AddProduct(const at::Tensor& weight, const at::Tensor& operand, at::Tensor sum) {
    if (Rounded()) {
      sum.add_(weight.mm(operand));
    } else {
      sum.addmm_(weight, operand);
    }
  }

  // Appends rows begin..end-1 of x + attention(x) to `sum`.
  void Attend(const at::Tensor& attention, const StripLines& values, int begin, int end,
              const at::Tensor& mixed, StripLines& sum) {
    const int rows = end - begin;
    for (std::int64_t c = 0; c < w_.channels; ++c) {
      Depthwise(values, c, begin, rows, w_.qkv_depthwise, 2 * w_.channels + c, PlaneOf(mixed, c));
      RoundPlane(mixed, c, Pixels(rows));
    }
    const at::Tensor to = sum.Append(rows);
    for (std::int64_t c = 0; c < w_.channels; ++c) {
      std::memcpy(to.data_ptr<float>() + c * to.stride(0),
                  x_.data_ptr<float>() + (c * height_ + begin) * width_,
                  sizeof(float) * Pixels(rows));
    }
    AddProduct(attention, mixed.narrow(1, 0, Pixels(rows)), to);
  }

  // Adds the feed-forward of rows row..row+rows-1 to `sum`.
  void FeedForward(const StripLines& hidden, int row, int rows, const at::Tensor& gated,
                   const StripLines& sum) {
    const std::int64_t pixels = Pixels(rows);
    // The second half's plane goes behind what Depthwise may use of `widened_`: norm_ is free now.
    float* second = norm_.data_ptr<float>();
    for (std::int64_t c = 0; c < w_.hidden; ++c) {
      float* first = PlaneOf(gated, c);
      Depthwise(hidden, c, row, rows, w_.depthwise, c, first);
      Depthwise(hidden, w_.hidden + c, row, rows, w_.depthwise, w_.hidden + c, second);
      kernels_.gate(first, second, static_cast<int>(pixels));
      RoundPlane(gated, c, pixels);
    }
    AddProduct(w_.project_out, gated.narrow(1, 0, pixels), sum.View(row, rows));
  }

  const StripBlockWeights& w_;
  StripArena& arena_;
  const at::Tensor& x_;
  const int height_, width_, strip_;
  const StripKernels& kernels_;
  at::Tensor norm_, norm16_, widened_, plane_;
};

// Softmax and projection of the attention in one: [C, C], to be multiplied with the values.
at::Tensor AttentionMatrix(const StripBlockWeights& w, const at::Tensor& gram,
                           const at::Tensor& squares) {
  const std::int64_t each = w.channels / w.heads;
  const at::Tensor norms = squares.sqrt().clamp_min(kUnitEps).view({2, w.heads, each});
  const at::Tensor cosine = gram / (norms[0].unsqueeze(2) * norms[1].unsqueeze(1));
  const at::Tensor weights = (cosine * w.temperature).softmax(2);
  const at::Tensor project = w.project_attention.view({w.channels, w.heads, each}).transpose(0, 1);
  return project.matmul(weights).transpose(0, 1).reshape({w.channels, w.channels}).to(w.dtype);
}

}  // namespace

StripBlockWeights MakeStripBlock(const SparsePromptIrConfig& config, const TransformerShape& block,
                                 const Parameters& parameters, at::ScalarType dtype) {
  const auto get = [&](const char* name) { return parameters.Get(block.name + name); };
  const auto matrix = [&](const char* name) { return get(name).flatten(1); };
  StripBlockWeights w;
  w.channels = block.channels;
  w.heads = block.heads;
  w.hidden = block.Hidden(config);
  w.dtype = dtype;
  w.norm1 = at::stack({get(".norm1.body.weight"), get(".norm1.body.bias")});
  w.norm2 = at::stack({get(".norm2.body.weight"), get(".norm2.body.bias")});
  const at::Tensor qkv = matrix(".attn.qkv.weight").to(dtype);
  w.queries_keys = qkv.narrow(0, 0, 2 * w.channels);
  w.values = qkv.narrow(0, 2 * w.channels, w.channels);
  w.qkv_depthwise = matrix(".attn.qkv_dwconv.weight").contiguous();
  w.temperature = get(".attn.temperature");
  w.project_attention = matrix(".attn.project_out.weight").contiguous();
  w.project_in = matrix(".ffn.project_in.weight").to(dtype);
  w.depthwise = matrix(".ffn.dwconv.weight").contiguous();
  w.project_out = matrix(".ffn.project_out.weight").to(dtype);
  return w;
}

StripTeam::StripTeam(int threads, std::int64_t scratch_bytes)
    : threads_(std::max(threads, 1)),
      scratch_bytes_(scratch_bytes),
      arenas_(static_cast<std::size_t>(threads_)) {}

int StripTeam::SharesOf(int rows) const { return std::clamp(rows / kLeastShare, 1, threads_); }

void StripTeam::ForShares(int rows,
                          const std::function<void(int share, int begin, int end)>& work) {
  const int shares = SharesOf(rows);
  at::parallel_for(0, shares, 1, [&](std::int64_t first, std::int64_t last) {
    const c10::InferenceMode inference;
    for (int share = static_cast<int>(first); share < last; ++share) {
      arena(share).Reset();
      work(share, rows * share / shares, rows * (share + 1) / shares);
    }
  });
}

int StripTeam::StripRows(std::int64_t values_per_pixel, int width, int rows) const {
  const std::int64_t row_bytes = 4 * values_per_pixel * width;
  const std::int64_t fitting = scratch_bytes_ / threads_ / row_bytes - 4;
  const std::int64_t enough = std::max(kMostStripPixels / width, 1);
  return static_cast<int>(std::clamp<std::int64_t>(std::min(fitting, enough), 1, rows));
}

void RunStripBlock(const StripBlockWeights& w, StripTeam& team, const at::Tensor& x,
                   const at::Tensor& out) {
  const int height = static_cast<int>(x.size(1)), width = static_cast<int>(x.size(2));
  const int strip = team.StripRows(Share::ValuesPerPixel(w), width, height);
  const std::int64_t shares = team.SharesOf(height), each = w.channels / w.heads;
  const at::Tensor grams = at::zeros({shares, w.heads, each, each}, at::kFloat);
  const at::Tensor squares = at::zeros({shares, 2 * w.channels}, at::kFloat);
  team.ForShares(height, [&](int share, int begin, int end) {
    Share(w, team.arena(share), x, strip)
        .SumAttention(begin, end, grams[share], squares.data_ptr<float>() + share * 2 * w.channels);
  });
  const at::Tensor attention = AttentionMatrix(w, grams.sum(0), squares.sum(0));
  team.ForShares(height, [&](int share, int begin, int end) {
    Share(w, team.arena(share), x, strip).Run(attention, begin, end, out);
  });
}

}  // namespace cpl
