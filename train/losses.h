// SPDX-License-Identifier: Apache-2.0
//
// What a restored picture is charged for, as LossOptions says. All differentiable.
#pragma once

#include <ATen/ATen.h>

#include "train/recipe.h"

namespace cpl::train {

// Sampler's cells, [samples][cells][cells][12], as [samples, 12, cells, cells]. On the CPU the
// memory is shared with `values`, which must outlive the result; elsewhere it is a copy.
at::Tensor CellsTensor(std::vector<float>& values, int samples, int cells, at::Device device);

// Cells as pictures: [B, 12, h, w] -> [B, 3, 2h, 2w], R, G, B, white is 1.
at::Tensor PicturesOfCells(const at::Tensor& cells);

// The way back. Sides are even.
at::Tensor CellsOfPictures(const at::Tensor& pictures);

// Mean squared error of each sample: [B]. `unit` is what white minus black is in the tensors: 4 in
// cells, 1 in pictures. White is 1 in the result.
at::Tensor SquaredError(const at::Tensor& picture, const at::Tensor& target, double unit);

// Mean PSNR of samples whose squared errors these are, in dB; at most 100.
double PsnrOf(const at::Tensor& squared_error);

// The loss of a batch, with white as 1, p the picture, t the target, e = p - t:
//   balanced     mean over samples of log(mean(e^2) + floor): a PSNR, so that haze, whose errors
//                are ten times those of noise, does not starve the rest
//   l1           mean |e|
//   charbonnier  mean sqrt(e^2 + epsilon^2) (Charbonnier et al., 1994)
// plus frequency * mean |FFT(e)| (unitary; Cho et al., MIMO-UNet, 2021)
// plus edge * (mean |de/dx| + mean |de/dy|).
// `picture` and `target` are cells (unit 4) or pictures (unit 1); `squared_error` is theirs.
at::Tensor PictureLoss(const LossOptions& options, const at::Tensor& picture,
                       const at::Tensor& target, const at::Tensor& squared_error, double unit);

}  // namespace cpl::train
