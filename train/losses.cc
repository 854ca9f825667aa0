// SPDX-License-Identifier: Apache-2.0
#include "train/losses.h"

#include "model/pixels.h"

namespace cpl::train {
namespace {

constexpr double kCellUnit = 4;

}  // namespace

at::Tensor CellsTensor(std::vector<float>& values, int samples, int cells, at::Device device) {
  // Cell-major in memory is channels-last to LibTorch.
  const at::Tensor host =
      at::from_blob(values.data(), {samples, cells, cells, kCellChannels}, at::kFloat)
          .permute({0, 3, 1, 2});
  if (device.is_cpu()) return host;
  // From pinned memory the copy runs beside the work that is queued already.
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

at::Tensor PicturesOfCells(const at::Tensor& cells) {
  return at::pixel_shuffle(cells, 2) * (1 / kCellUnit) + 0.5;
}

at::Tensor CellsOfPictures(const at::Tensor& pictures) {
  return at::pixel_unshuffle((pictures - 0.5) * kCellUnit, 2);
}

at::Tensor SquaredError(const at::Tensor& picture, const at::Tensor& target, double unit) {
  return (picture - target).square().mean({1, 2, 3}) * (1.0 / (unit * unit));
}

double PsnrOf(const at::Tensor& squared_error) {
  return (squared_error.detach().clamp_min(1e-10).log10() * -10).mean().item<double>();
}

at::Tensor PictureLoss(const LossOptions& options, const at::Tensor& picture,
                       const at::Tensor& target, const at::Tensor& squared_error, double unit) {
  at::Tensor loss;
  if (options.kind == "balanced") {
    loss = (squared_error + options.floor).log().mean();
  } else {
    const at::Tensor error = (picture - target) * (1 / unit);
    loss = options.kind == "l1"
               ? error.abs().mean()
               : (error.square() + options.epsilon * options.epsilon).sqrt().mean();
  }
  if (options.frequency == 0 && options.edge == 0) return loss;
  at::Tensor error = (picture - target) * (1 / unit);
  if (unit == kCellUnit) error = at::pixel_shuffle(error, 2);
  error = error.contiguous();
  if (options.frequency > 0) {
    loss = loss + at::fft_rfft2(error, {}, {-2, -1}, "ortho").abs().mean() * options.frequency;
  }
  if (options.edge > 0) {
    loss = loss + (error.diff(1, 2).abs().mean() + error.diff(1, 3).abs().mean()) * options.edge;
  }
  return loss;
}

}  // namespace cpl::train
