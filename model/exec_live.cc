// SPDX-License-Identifier: Apache-2.0
#include "model/exec_live.h"

#include <algorithm>

#include "cpl/error.h"

namespace cpl::exec {
namespace {

// Work in a strip: enough that handing it out costs nothing, little enough to share at the end of a
// frame.
constexpr double kStripMacs = 4e6;
// Taller strips would have to be waited for, and held.
constexpr int kStripRows = 4;
// Of blocks: four rows of cells each, which are read again behind the motion head.
constexpr int kMotionStripRows = 1;

bool IsMotion(const ConvShape& conv) { return conv.name.starts_with("motion"); }

// The motion head is small, and what it decides lasts for many frames: it stays in float32.
const Kernels& KernelsFor(const ConvShape& conv, const Kernels& kernels) {
  if (kernels.element == Element::kFloat || !IsMotion(conv)) return kernels;
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

void FrameRows::Input(int, std::uint8_t*, std::uint8_t*) {
  throw Error(ErrorCode::kInternal, "this frame has no rows of bytes");
}

PackedLive::PackedLive(const LiveConfig& config, const std::vector<ConvArrays>& convs,
                       const std::vector<ConvArrays>& motion, const Kernels& kernels,
                       const LiveRanges& ranges) {
  const std::vector<ConvShape> shapes = config.MotionConvs();
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Kernels& used = KernelsFor(shapes[i], kernels);
    convs_.push_back(std::make_unique<PackedConv>(used, std::vector<ConvArrays>{motion[i]},
                                                  std::vector<int>{StoredInputs(shapes[i], used)},
                                                  false, config.conditioning));
  }
  const std::vector<LiveStep> steps = LiveSteps(config);
  const bool bytes = kernels.element == Element::kU8;
  std::vector<ByteScale> scales;
  for (std::size_t i = 0; bytes && i < steps.size(); ++i) {
    scales.push_back(steps[i].wide() ? ByteScale{} : ScaleFor(ranges.at(i)));
    zeros_.push_back(scales.back().ZeroBytes());
  }
  const auto scale_of = [&](int step) {
    return step == LiveStep::kX      ? &XScale()
           : step == LiveStep::kSide ? &SideScale()
                                     : &scales[step];
  };
  std::size_t next = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const LiveStep& step = steps[i];
    std::vector<ConvArrays> sum;
    std::vector<int> stored;
    for (const ConvShape& conv : step.convs) {
      sum.push_back(convs[next++]);
      stored.push_back(StoredInputs(conv, kernels));
    }
    if (bytes) {
      std::vector<const ByteScale*> in;
      for (const int from : step.in) in.push_back(scale_of(from));
      convs_.push_back(std::make_unique<Int8Conv>(
          kernels, sum, stored, in, step.add == LiveStep::kNone ? nullptr : scale_of(step.add),
          step.wide() ? nullptr : &scales[i], step.shuffles(), config.conditioning));
    } else {
      convs_.push_back(std::make_unique<PackedConv>(kernels, sum, stored, step.shuffles(),
                                                    config.conditioning, step.wide()));
    }
  }
}

LiveExecutor::LiveExecutor(const LiveConfig& config, int across, int down, int threads,
                           const Kernels& kernels)
    : kernels_(kernels), config_(config), across_(across), down_(down) {
  const int blocks_x = across / kMotionScale, blocks_y = down / kMotionScale;
  field_.resize(static_cast<std::size_t>(blocks_x) * blocks_y * kFieldChannels);
  const int maps = AddMotion();
  const int x = pipeline_.AddPicture(across, down, kCellChannels, kernels.element);
  const int side = pipeline_.AddPicture(across, down, kSideChannels, kernels.element);
  AddInput(maps, x, side);
  int field = -1;
  for (const LiveStep& step : LiveSteps(config)) {
    const auto picture = [&](int of) {
      return of == LiveStep::kX ? x : of == LiveStep::kSide ? side : pictures_[of];
    };
    std::vector<int> in;
    for (const int from : step.in) in.push_back(picture(from));
    const int number = static_cast<int>(pictures_.size());
    pictures_.push_back(AddConv(number, step, std::move(in),
                                step.add == LiveStep::kNone ? step.add : picture(step.add)));
    if (step.convs[0].name == "field") field = pictures_.back();
  }
  AddFrameOutput(pictures_.back(), field);
  pipeline_.Plan(threads);
  if (kernels.element == Element::kU8) pipeline_.picture(x).SetZero(XScale().ZeroBytes());
}

void LiveExecutor::AddInput(int maps, int x, int side) {
  pipeline_.AddStep(down_ / kMotionScale, 1, {{maps, 1, 1, 1}},
                    {{x, kMotionScale}, {side, kMotionScale}}, [this, x, side](int begin, int end) {
                      Rows& cells = pipeline_.picture(x);
                      Rows& more = pipeline_.picture(side);
                      for (int y = begin * kMotionScale; y < end * kMotionScale; ++y) {
                        if (kernels_.element == Element::kU8) {
                          frame_->Input(y, cells.Row<std::uint8_t>(y), more.Row<std::uint8_t>(y));
                        } else if (kernels_.element == Element::kBf16) {
                          frame_->Input(y, cells.Row<Bf16>(y), more.Row<Bf16>(y));
                        } else {
                          frame_->Input(y, cells.Row(y), more.Row(y));
                        }
                      }
                    });
}

int LiveExecutor::AddConv(int step, const LiveStep& of, std::vector<int> in, int add) {
  const ConvShape& conv = of.convs[0];
  const Kernels& kernels = KernelsFor(conv, kernels_);
  const int channels = StoredChannels(of.channels(), kernels);
  const int width = pipeline_.picture(in[0]).width() / conv.stride;
  const int height = pipeline_.picture(in[0]).height() / conv.stride;
  const int scale = of.shuffles() ? 2 : 1;
  const int out = pipeline_.AddPicture(width * scale, height * scale, channels,
                                       of.wide() ? Element::kFloat : kernels.element);

  const int border = conv.kernel == 3 ? 1 : 0;
  std::vector<Pipeline::Reads> reads = {
      {in[0], conv.stride, border, conv.stride == 1 ? border : 0}};
  for (std::size_t i = 1; i < in.size(); ++i) reads.push_back({in[i], conv.stride, 0, 0});
  if (add >= 0) reads.push_back({add, scale, 0, 0});

  const double row_macs =
      static_cast<double>(width) * conv.in * conv.out * conv.kernel * conv.kernel;
  const int most = IsMotion(conv) ? kMotionStripRows : kStripRows;
  const int grain = std::clamp(static_cast<int>(kStripMacs / row_macs), 1, most);
  const std::size_t number = biases_.size(), bias = bias_.size();
  const bool relu = of.relu;
  biases_.push_back(bias);
  bias_.resize(bias + static_cast<std::size_t>(channels) * scale * scale);
  pipeline_.AddStep(height, grain, std::move(reads), {{out, scale}},
                    [this, step, in, out, add, relu, number, bias, scale](int begin, int end) {
                      const Rows* from_rows[2];
                      for (std::size_t i = 0; i < in.size(); ++i)
                        from_rows[i] = &pipeline_.picture(in[i]);
                      net_->convs()[number]->Run(bias_.data() + bias, from_rows, begin, end, relu,
                                                 add < 0 ? nullptr : &pipeline_.picture(add),
                                                 &pipeline_.picture(out));
                      if (watcher_ && step >= 0) {
                        watcher_(step, pipeline_.picture(out), begin * scale, end * scale);
                      }
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
  const int hidden = AddConv(-1, {{shapes[0]}, {}, true}, {features});
  const int head = AddConv(-1, {{shapes[1]}, {}}, {hidden});
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
    net.convs()[i]->Bias(cond, bias_.data() + biases_[i]);
  }
  for (std::size_t i = 0; i < net.zeros().size(); ++i) {
    if (!net.zeros()[i].empty()) pipeline_.picture(pictures_[i]).SetZero(net.zeros()[i]);
  }
  net_ = &net;
  frame_ = &frame;
  pipeline_.Run(pool);
}

}  // namespace cpl::exec
