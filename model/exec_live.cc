// SPDX-License-Identifier: Apache-2.0
#include "model/exec_live.h"

#include <algorithm>

namespace cpl::exec {
namespace {

// Work in a strip: enough that handing it out costs nothing, little enough to share at the end of a
// frame.
constexpr double kStripMacs = 4e6;
// Taller strips would have to be waited for, and held.
constexpr int kStripRows = 4;
// Of blocks: four rows of cells each, which are read again behind the motion head.
constexpr int kMotionStripRows = 1;

bool Shuffles(const ConvShape& conv) { return conv.name.starts_with("up"); }

// What the frame's side reads is float32.
bool IsWide(const ConvShape& conv) { return conv.name == "field" || conv.name == "output"; }

// The motion head is small, and what it decides lasts for many frames: it stays in float32.
const Kernels& KernelsFor(const ConvShape& conv, const Kernels& kernels) {
  if (kernels.element == Element::kFloat || !conv.name.starts_with("motion")) return kernels;
  return BestKernels();
}

// Channels in memory of what a convolution reads.
int StoredInputs(const ConvShape& conv, const Kernels& kernels) {
  // These come from the frame's side, as they are.
  if (conv.name == "stem" || conv.name == "stem_state" || conv.name == "motion.conv1") {
    return conv.in;
  }
  return StoredChannels(conv.in, kernels);
}

}  // namespace

PackedLive::PackedLive(const LiveConfig& config, const std::vector<ConvArrays>& convs,
                       const std::vector<ConvArrays>& motion, const Kernels& kernels) {
  const auto pack = [&](const std::vector<ConvShape>& shapes, const std::vector<ConvArrays>& from) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      std::vector<ConvArrays> sum = {from[i]};
      const Kernels& used = KernelsFor(shapes[i], kernels);
      std::vector<int> stored = {StoredInputs(shapes[i], used)};
      if (shapes[i].name == "stem") {
        ++i;
        sum.push_back(from[i]);
        stored.push_back(StoredInputs(shapes[i], used));
      }
      convs_.emplace_back(used, sum, stored, Shuffles(shapes[i]), config.conditioning,
                          IsWide(shapes[i]));
    }
  };
  pack(config.MotionConvs(), motion);
  pack(config.Convs(), convs);
}

LiveExecutor::LiveExecutor(const LiveConfig& config, int across, int down, int threads,
                           const Kernels& kernels)
    : kernels_(kernels), config_(config), across_(across), down_(down) {
  const int blocks_x = across / kMotionScale, blocks_y = down / kMotionScale;
  field_.resize(static_cast<std::size_t>(blocks_x) * blocks_y * kFieldChannels);
  const int maps = AddMotion();

  const int x = pipeline_.AddPicture(across, down, kCellChannels, kernels.element);
  const int side = pipeline_.AddPicture(across, down, kSideChannels, kernels.element);
  pipeline_.AddStep(blocks_y, 1, {{maps, 1, 1, 1}}, {{x, kMotionScale}, {side, kMotionScale}},
                    [this, x, side](int begin, int end) {
                      Rows& cells = pipeline_.picture(x);
                      Rows& more = pipeline_.picture(side);
                      for (int y = begin * kMotionScale; y < end * kMotionScale; ++y) {
                        if (kernels_.element == Element::kBf16) {
                          frame_->Input(y, cells.Row<Bf16>(y), more.Row<Bf16>(y));
                        } else {
                          frame_->Input(y, cells.Row(y), more.Row(y));
                        }
                      }
                    });

  // As RunLive has it.
  const std::vector<ConvShape> shapes = config.Convs();
  std::size_t next = 0;
  const auto conv = [&](std::vector<int> in, bool relu = false, int add = -1) {
    const int picture = AddConv(shapes[next], in, relu, add);
    next += in.size();
    return picture;
  };
  const auto pairs = [&](int picture, int count) {
    for (int i = 0; i < count; ++i) {
      const int hidden = conv({picture}, true);
      picture = conv({hidden}, false, picture);
    }
    return picture;
  };
  const int last = config.levels() - 1;
  std::vector<int> skips;
  int y = conv({x, side}), field = -1;
  for (int l = 0; l <= last; ++l) {
    if (l > 0) y = conv({y});
    y = pairs(y, config.encoder[l]);
    skips.push_back(y);
  }
  for (int l = last - 1; l >= 0; --l) {
    y = pairs(conv({y}, false, skips[l]), config.decoder[l]);
    if (l == kFieldLevel) field = conv({y});
  }
  if (field < 0) field = conv({skips[last]});
  y = conv({y}, true);
  AddFrameOutput(conv({y}), field);
  pipeline_.Plan(threads);
}

int LiveExecutor::AddConv(const ConvShape& conv, std::vector<int> in, bool relu, int add) {
  const int groups = Shuffles(conv) ? 4 : 1;
  const Kernels& kernels = KernelsFor(conv, kernels_);
  const int channels = StoredChannels(conv.out / groups, kernels);
  const int width = pipeline_.picture(in[0]).width() / conv.stride;
  const int height = pipeline_.picture(in[0]).height() / conv.stride;
  const int scale = Shuffles(conv) ? 2 : 1;
  const int out = pipeline_.AddPicture(width * scale, height * scale, channels,
                                       IsWide(conv) ? Element::kFloat : kernels.element);

  const int border = conv.kernel == 3 ? 1 : 0;
  std::vector<Pipeline::Reads> reads = {
      {in[0], conv.stride, border, conv.stride == 1 ? border : 0}};
  for (std::size_t i = 1; i < in.size(); ++i) reads.push_back({in[i], conv.stride, 0, 0});
  if (add >= 0) reads.push_back({add, scale, 0, 0});

  const double row_macs =
      static_cast<double>(width) * conv.in * conv.out * conv.kernel * conv.kernel;
  const int most = conv.name.starts_with("motion") ? kMotionStripRows : kStripRows;
  const int grain = std::clamp(static_cast<int>(kStripMacs / row_macs), 1, most);
  const std::size_t number = biases_.size(), bias = bias_.size();
  biases_.push_back(bias);
  bias_.resize(bias + static_cast<std::size_t>(channels) * groups);
  pipeline_.AddStep(height, grain, std::move(reads), {{out, scale}},
                    [this, in, out, add, relu, number, bias](int begin, int end) {
                      const Rows* from_rows[2];
                      for (std::size_t i = 0; i < in.size(); ++i) {
                        from_rows[i] = &pipeline_.picture(in[i]);
                      }
                      net_->convs()[number].Run(bias_.data() + bias, from_rows, begin, end, relu,
                                                add < 0 ? nullptr : &pipeline_.picture(add),
                                                &pipeline_.picture(out));
                    });
  return out;
}

// Adds the motion head. Returns the order of Keep.
int LiveExecutor::AddMotion() {
  const int blocks_x = across_ / kMotionScale, blocks_y = down_ / kMotionScale;
  const std::vector<ConvShape> shapes = config_.MotionConvs();
  const int features = pipeline_.AddPicture(blocks_x, blocks_y, kMotionInputs);
  pipeline_.AddStep(blocks_y, 1, {}, {{features}}, [this, features](int begin, int end) {
    for (int y = begin; y < end; ++y) frame_->Features(y, pipeline_.picture(features).Row(y));
  });
  const int head = AddConv(shapes[1], {AddConv(shapes[0], {features}, true)});
  const int maps = pipeline_.AddOrder(blocks_y);
  pipeline_.AddStep(
      blocks_y, kMotionStripRows, {{head}}, {{maps}}, [this, head](int begin, int end) {
        Rows& rows = pipeline_.picture(head);
        for (int y = begin; y < end; ++y) {
          float* row = rows.Row(y);
          // In place: nobody else reads it.
          for (int i = 0; i < rows.width(); ++i) {
            std::copy_n(row + i * rows.channels(), kMotionOutputs, row + i * kMotionOutputs);
          }
          frame_->Keep(y, row);
        }
      });
  return maps;
}

void LiveExecutor::AddFrameOutput(int output, int field) {
  const int blocks_x = across_ / kMotionScale, blocks_y = down_ / kMotionScale;
  const int dense = pipeline_.AddOrder(blocks_y);
  pipeline_.AddStep(blocks_y, 4, {{field}}, {{dense}}, [this, field, blocks_x](int begin, int end) {
    const Rows& rows = pipeline_.picture(field);
    float* to = field_.data() + static_cast<std::size_t>(begin) * blocks_x * kFieldChannels;
    for (int y = begin; y < end; ++y) {
      const float* row = rows.RowOrZeros(y);
      for (int i = 0; i < blocks_x; ++i, to += kFieldChannels) {
        std::copy_n(row + i * rows.channels(), kFieldChannels, to);
      }
    }
  });
  pipeline_.AddStep(blocks_y, 1, {{output, kMotionScale}, {dense, 1, 1, 1}}, {},
                    [this, output](int begin, int end) {
                      for (int y = begin * kMotionScale; y < end * kMotionScale; ++y) {
                        frame_->Output(y, pipeline_.picture(output).RowOrZeros(y), field_.data());
                      }
                    });
}

void LiveExecutor::Run(const PackedLive& net, const float* cond, FrameRows& frame,
                       ThreadPool& pool) {
  for (std::size_t i = 0; i < biases_.size(); ++i) {
    net.convs()[i].Bias(cond, bias_.data() + biases_[i]);
  }
  net_ = &net;
  frame_ = &frame;
  pipeline_.Run(pool);
}

}  // namespace cpl::exec
