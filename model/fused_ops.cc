// SPDX-License-Identifier: Apache-2.0
#include "model/fused_ops.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "model/combine.h"
#include "model/fused_loops.h"
#include "model/live_config.h"
#include "model/plain_ops.h"

namespace cpl {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

Tensor Rows(const Tensor& t) { return t.contiguous(kChannelsLast); }

Tensor NewRows(at::IntArrayRef sizes, const at::TensorOptions& options) {
  return at::empty(sizes, options.memory_format(kChannelsLast));
}

fused::Bf16* Narrow(const Tensor& t) { return static_cast<fused::Bf16*>(t.data_ptr()); }

// Calls f with each picture's index, shared among LibTorch's threads.
template <typename F>
void ForPictures(const Tensor& t, F f) {
  at::parallel_for(0, t.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) f(b);
  });
}

// [C * 4, ...] <-> [4 * C, ...]: for a shuffle, pixels of a cell outermost, so that what belongs to
// a pixel lies together.
Tensor ByPixel(const Tensor& t) {
  return t.unflatten(0, {t.size(0) / 4, 4}).transpose(0, 1).flatten(0, 1);
}
Tensor ByChannel(const Tensor& t) {
  return t.unflatten(0, {4, t.size(0) / 4}).transpose(0, 1).flatten(0, 1);
}

// y: [B, 4 * C, h, w] by pixel -> [B, C, 2 * h, 2 * w], and back.
Tensor Shuffled(const Tensor& y) {
  return Rows(y.permute({0, 2, 3, 1})
                  .unflatten(3, {2, 2, y.size(1) / 4})
                  .permute({0, 5, 1, 3, 2, 4})
                  .flatten(4, 5)
                  .flatten(2, 3));
}
Tensor Unshuffled(const Tensor& y) {
  return Rows(y.unflatten(3, {y.size(3) / 2, 2})
                  .unflatten(2, {y.size(2) / 2, 2})
                  .permute({0, 3, 5, 1, 2, 4})
                  .flatten(1, 3));
}

struct ConvBlockFunction : Function<ConvBlockFunction> {
  static Tensor Run(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& shift,
                    const Tensor& skip, const ConvOptions& options) {
    Tensor y = Rows(at::conv2d(x, weight, {}, options.stride, options.padding));
    const Tensor both = shift.defined() ? (shift.to(at::kFloat) + bias.to(at::kFloat)).contiguous()
                                        : bias.to(at::kFloat).unsqueeze(0).contiguous();
    const bool each = shift.defined();
    const auto channels = static_cast<int>(y.size(1));
    const std::int64_t pixels = y.size(2) * y.size(3);
    const Tensor added = options.shuffle || !skip.defined() ? Tensor() : Rows(skip);
    const float* shifts = both.data_ptr<float>();
    ForPictures(y, [&](std::int64_t b) {
      const float* add = shifts + (each ? b * channels : 0);
      const std::int64_t at = b * pixels * channels;
      if (y.scalar_type() == at::kBFloat16) {
        fused::Epilogue(Narrow(y) + at, add, added.defined() ? Narrow(added) + at : nullptr, pixels,
                        channels, options.relu);
      } else {
        fused::Epilogue(y.data_ptr<float>() + at, add,
                        added.defined() ? added.data_ptr<float>() + at : nullptr, pixels, channels,
                        options.relu);
      }
    });
    if (options.shuffle) {
      y = Shuffled(y);
      if (skip.defined()) y.add_(skip);
    }
    return y;
  }

  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const std::optional<Tensor>& maybe_shift,
                        const std::optional<Tensor>& maybe_skip, std::int64_t stride,
                        std::int64_t padding, bool relu, bool shuffle, at::ScalarType dtype) {
    const Tensor shift = maybe_shift.value_or(Tensor()), skip = maybe_skip.value_or(Tensor());
    ConvOptions options{static_cast<int>(stride), static_cast<int>(padding), relu, shuffle};
    const Tensor input = Rows(x.to(dtype));
    Tensor kernel = Rows((shuffle ? ByPixel(weight) : weight).to(dtype));
    const Tensor y = Run(input, kernel, shuffle ? ByPixel(bias) : bias, shift, skip, options);
    ctx->save_for_backward({input, kernel, relu ? y : Tensor()});
    ctx->saved_data["stride"] = stride;
    ctx->saved_data["padding"] = padding;
    ctx->saved_data["relu"] = relu;
    ctx->saved_data["shuffle"] = shuffle;
    ctx->saved_data["shift"] = shift.defined();
    ctx->saved_data["skip"] = skip.defined();
    ctx->saved_data["x_type"] = static_cast<std::int64_t>(x.scalar_type());
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const bool relu = ctx->saved_data["relu"].toBool();
    const bool shuffle = ctx->saved_data["shuffle"].toBool();
    const std::int64_t stride = ctx->saved_data["stride"].toInt();
    const std::int64_t padding = ctx->saved_data["padding"].toInt();
    const Tensor& x = saved[0];
    const Tensor& kernel = saved[1];
    const Tensor grad_y = grads[0].to(x.scalar_type());
    const Tensor grad = shuffle ? Unshuffled(grad_y) : Rows(grad_y);
    const auto channels = static_cast<int>(grad.size(1));
    const std::int64_t pixels = grad.size(2) * grad.size(3);
    const Tensor masked = relu ? at::empty_like(grad) : grad;
    const Tensor sums = at::zeros({grad.size(0), channels}, at::kFloat);
    float* const sum = sums.data_ptr<float>();
    ForPictures(grad, [&](std::int64_t b) {
      const std::int64_t at = b * pixels * channels;
      if (grad.scalar_type() == at::kBFloat16) {
        fused::EpilogueBackward(Narrow(grad) + at, relu ? Narrow(saved[2]) + at : nullptr,
                                Narrow(masked) + at, sum + b * channels, pixels, channels, relu);
      } else {
        fused::EpilogueBackward(
            grad.data_ptr<float>() + at, relu ? saved[2].data_ptr<float>() + at : nullptr,
            masked.data_ptr<float>() + at, sum + b * channels, pixels, channels, relu);
      }
    });
    const std::array<bool, 3> wanted = {ctx->needs_input_grad(0), ctx->needs_input_grad(1), false};
    Tensor grad_x, grad_weight;
    if (wanted[0] || wanted[1]) {
      std::tie(grad_x, grad_weight, std::ignore) =
          at::convolution_backward(masked, x, kernel, c10::nullopt, {stride, stride},
                                   {padding, padding}, {1, 1}, false, {0, 0}, 1, wanted);
    }
    if (grad_x.defined()) {
      grad_x = grad_x.to(static_cast<at::ScalarType>(ctx->saved_data["x_type"].toInt()));
    }
    if (grad_weight.defined()) {
      grad_weight = grad_weight.to(at::kFloat);
      if (shuffle) grad_weight = ByChannel(grad_weight);
    }
    Tensor grad_bias = sums.sum(0);
    if (shuffle) grad_bias = ByChannel(grad_bias);
    const Tensor grad_shift = ctx->saved_data["shift"].toBool() ? sums : Tensor();
    const Tensor grad_skip = ctx->saved_data["skip"].toBool() ? grads[0] : Tensor();
    return {grad_x,   grad_weight, grad_bias, grad_shift, grad_skip,
            Tensor(), Tensor(),    Tensor(),  Tensor(),   Tensor()};
  }
};

struct MotionFunction : Function<MotionFunction> {
  static Tensor Run(const Tensor& x, const Tensor& memory, const Tensor& count) {
    const std::int64_t h = x.size(2), w = x.size(3), blocks = w / kMotionScale;
    const Tensor now = Rows(x), past = Rows(memory), frames = count.contiguous();
    const Tensor features =
        NewRows({x.size(0), kMotionInputs, h / kMotionScale, blocks}, x.options());
    const float* counts = frames.data_ptr<float>();
    ForPictures(x, [&](std::int64_t b) {
      for (std::int64_t y = 0; y < h / kMotionScale; ++y) {
        const std::int64_t at = (b * h + y * kMotionScale) * w * kCellChannels;
        const std::int64_t block = (b * (h / kMotionScale) + y) * blocks;
        MotionRow(now.data_ptr<float>() + at, past.data_ptr<float>() + at, counts + block,
                  static_cast<int>(blocks), features.data_ptr<float>() + block * kMotionInputs);
      }
    });
    return features;
  }

  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& memory,
                        const Tensor& count) {
    ctx->save_for_backward({Rows(x), Rows(memory), count});
    return Run(x, memory, count);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &memory = saved[1], &count = saved[2];
    const Tensor grad = Rows(grads[0].to(at::kFloat));
    const Tensor grad_memory = at::empty_like(memory);
    const auto h = static_cast<int>(x.size(2)), w = static_cast<int>(x.size(3));
    ForPictures(x, [&](std::int64_t b) {
      const std::int64_t at = b * h * w * kCellChannels;
      const std::int64_t block = b * (h / kMotionScale) * (w / kMotionScale);
      fused::MotionFeaturesBackward(x.data_ptr<float>() + at, memory.data_ptr<float>() + at,
                                    grad.data_ptr<float>() + block * kMotionInputs, h, w,
                                    grad_memory.data_ptr<float>() + at);
    });
    const Tensor grad_count =
        -grad.slice(1, kMotionInputs - 1) / (count + 1).square();  // of 1 / (n + 1)
    return {Tensor(), grad_memory, grad_count};
  }
};

struct BlendFunction : Function<BlendFunction> {
  static variable_list Run(const Tensor& x, const Tensor& memory, const Tensor& maps) {
    const Tensor blend = NewRows(x.sizes(), x.options());
    const Tensor side = NewRows({x.size(0), kSideChannels, x.size(2), x.size(3)}, x.options());
    const std::int64_t cells = x.size(2) * x.size(3);
    ForPictures(x, [&](std::int64_t b) {
      const std::int64_t at = b * cells * kCellChannels;
      fused::Blend(x.data_ptr<float>() + at, memory.data_ptr<float>() + at,
                   maps.data_ptr<float>() + b * cells * kMapChannels, cells,
                   blend.data_ptr<float>() + at,
                   side.data_ptr<float>() + b * cells * kSideChannels);
    });
    return {blend, side};
  }

  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& memory,
                               const Tensor& maps) {
    ctx->save_for_backward({x, memory, maps});
    return Run(x, memory, maps);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &memory = saved[1], &maps = saved[2];
    const Tensor grad_blend = Rows(grads[0].to(at::kFloat)),
                 grad_side = Rows(grads[1].to(at::kFloat));
    const Tensor grad_memory = at::empty_like(memory), grad_maps = at::empty_like(maps);
    const std::int64_t cells = x.size(2) * x.size(3);
    ForPictures(x, [&](std::int64_t b) {
      const std::int64_t at = b * cells * kCellChannels, map = b * cells * kMapChannels;
      fused::BlendBackward(x.data_ptr<float>() + at, memory.data_ptr<float>() + at,
                           maps.data_ptr<float>() + map, grad_blend.data_ptr<float>() + at,
                           grad_side.data_ptr<float>() + b * cells * kSideChannels, cells,
                           grad_memory.data_ptr<float>() + at, grad_maps.data_ptr<float>() + map);
    });
    return {Tensor(), grad_memory, grad_maps};
  }
};

struct ComposeFunction : Function<ComposeFunction> {
  static variable_list Run(const Tensor& output, const Tensor& gain, const Tensor& blend) {
    const Tensor picture = NewRows(blend.sizes(), blend.options());
    const Tensor kept = NewRows(blend.sizes(), blend.options());
    const std::int64_t cells = blend.size(2) * blend.size(3);
    ForPictures(blend, [&](std::int64_t b) {
      const float* g = gain.data_ptr<float>() + b * cells * kFieldChannels;
      const std::int64_t at = b * cells * kCellChannels;
      const auto run = [&](const auto* net) {
        fused::Compose(net + b * cells * kOutputChannels, g, blend.data_ptr<float>() + at, cells,
                       picture.data_ptr<float>() + at, kept.data_ptr<float>() + at);
      };
      if (output.scalar_type() == at::kBFloat16) {
        run(Narrow(output));
      } else {
        run(output.data_ptr<float>());
      }
    });
    return {picture, kept};
  }

  static variable_list forward(AutogradContext* ctx, const Tensor& output, const Tensor& gain,
                               const Tensor& blend) {
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({output, gain, blend});
    return Run(output, gain, blend);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &output = saved[0], &gain = saved[1], &blend = saved[2];
    const Tensor grad_picture =
        grads[0].defined() ? Rows(grads[0].to(at::kFloat)) : at::zeros_like(blend);
    const Tensor grad_kept = grads[1].defined() ? Rows(grads[1].to(at::kFloat)) : Tensor();
    const Tensor grad_output = at::empty_like(output), grad_gain = at::empty_like(gain);
    const Tensor grad_blend = at::empty_like(blend);
    const std::int64_t cells = blend.size(2) * blend.size(3);
    ForPictures(blend, [&](std::int64_t b) {
      const std::int64_t at = b * cells * kCellChannels, field = b * cells * kFieldChannels;
      const auto run = [&](const auto* net, auto* to) {
        fused::ComposeBackward(net + b * cells * kOutputChannels, gain.data_ptr<float>() + field,
                               blend.data_ptr<float>() + at, grad_picture.data_ptr<float>() + at,
                               grad_kept.defined() ? grad_kept.data_ptr<float>() + at : nullptr,
                               cells, to + b * cells * kOutputChannels,
                               grad_gain.data_ptr<float>() + field,
                               grad_blend.data_ptr<float>() + at);
      };
      if (output.scalar_type() == at::kBFloat16) {
        run(Narrow(output), Narrow(grad_output));
      } else {
        run(output.data_ptr<float>(), grad_output.data_ptr<float>());
      }
    });
    return {grad_output, grad_gain, grad_blend};
  }
};

// In LibTorch's operators, for devices that the loops do not run on and types that they do not
// know.
Tensor PlainConvBlock(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const Tensor& shift, const Tensor& skip, const ConvOptions& options,
                      at::ScalarType dtype) {
  // One picture has one shift, which is then part of the bias; a batch needs a pass of its own.
  const bool one = shift.defined() && x.size(0) == 1;
  const Tensor start = one ? bias + shift[0] : bias;
  Tensor y =
      at::conv2d(x.to(dtype), weight.to(dtype), start.to(dtype), options.stride, options.padding);
  if (shift.defined() && !one) y.add_(shift.to(dtype).unsqueeze(-1).unsqueeze(-1));
  if (options.relu) y.relu_();
  if (options.shuffle) y = at::pixel_shuffle(y, 2);
  if (skip.defined()) y.add_(skip);
  return y;
}

}  // namespace

Tensor ConvBlock(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& shift,
                 const Tensor& skip, const ConvOptions& options, at::ScalarType dtype) {
  if (!x.is_cpu()) return plain::ConvBlock(x, weight, bias, shift, skip, options, dtype);
  if (at::GradMode::is_enabled()) {
    const auto given = [](const Tensor& t) {
      return t.defined() ? std::optional(t) : std::nullopt;
    };
    return ConvBlockFunction::apply(
        x, weight, bias, given(shift), given(skip), static_cast<std::int64_t>(options.stride),
        static_cast<std::int64_t>(options.padding), options.relu, options.shuffle, dtype);
  }
  if (!x.is_cpu() || dtype == at::kHalf) {
    return PlainConvBlock(x, weight, bias, shift, skip, options, dtype);
  }
  const Tensor kernel = options.shuffle ? ByPixel(weight) : weight;
  return ConvBlockFunction::Run(Rows(x.to(dtype)), Rows(kernel.to(dtype)),
                                options.shuffle ? ByPixel(bias) : bias, shift, skip, options);
}

Tensor MotionFeatures(const Tensor& x, const Tensor& memory, const Tensor& count) {
  if (!x.is_cpu()) return plain::MotionFeatures(x, memory, count);
  return at::GradMode::is_enabled() ? MotionFunction::apply(x, memory, count)
                                    : MotionFunction::Run(x, memory, count);
}

std::pair<Tensor, Tensor> BlendWithMemory(const Tensor& x, const Tensor& memory,
                                          const Tensor& maps) {
  if (!x.is_cpu()) return plain::BlendWithMemory(x, memory, maps);
  const Tensor now = Rows(x), past = Rows(memory), map = Rows(maps);
  const variable_list result = at::GradMode::is_enabled() ? BlendFunction::apply(now, past, map)
                                                          : BlendFunction::Run(now, past, map);
  return {result[0], result[1]};
}

std::pair<Tensor, Tensor> ComposePicture(const Tensor& output, const Tensor& gain,
                                         const Tensor& blend) {
  if (!output.is_cpu()) return plain::ComposePicture(output, gain, blend);
  const Tensor net = Rows(output), field = Rows(gain), z = Rows(blend);
  const variable_list result = at::GradMode::is_enabled() ? ComposeFunction::apply(net, field, z)
                                                          : ComposeFunction::Run(net, field, z);
  return {result[0], result[1]};
}

}  // namespace cpl
