// SPDX-License-Identifier: Apache-2.0
//
// How close a picture is to another: PSNR, SSIM and flicker, as BasicSR computes the first two, so
// that figures can be held against papers.
//
// Pictures are CV_8UC3 in the order R, G, B, both of one size. All functions are pure and may run
// in any number of threads. They throw Error(kInvalidArgument) where type or sizes do not fit.
#pragma once

#include <opencv2/core.hpp>

namespace cpl::train {

// The luma of MATLAB's rgb2ycbcr (ITU-R BT.601, limited range): 16 .. 235 in 8-bit levels, not
// rounded. CV_32FC1.
//   Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255
cv::Mat Luma(const cv::Mat& rgb);

// 10 log10(255^2 / mean squared error), in dB, over all pixels and channels. Infinite for equal
// pictures. Takes two pictures of any one type of 8-bit or float samples: PsnrRgb of CV_8UC3, PsnrY
// of what Luma gives.
double Psnr(const cv::Mat& a, const cv::Mat& b);

// Structural similarity (Wang et al. 2004) with an 11 x 11 Gaussian window of sigma 1.5, the valid
// region only, K1 = 0.01, K2 = 0.03, data range 255; mean over pixels, then over channels. Both
// sides need at least 11 pixels.
double Ssim(const cv::Mat& a, const cv::Mat& b);

// All that is said of a picture: psnr may be infinite.
struct Quality {
  double psnr_rgb = 0;
  double ssim_rgb = 0;
  double psnr_y = 0;
  double ssim_y = 0;
};

Quality Compare(const cv::Mat& picture, const cv::Mat& target);

// How much a clip trembles: the temporal standard deviation (of the population) of
// Luma(output) - Luma(target) at each pixel, mean over pixels, in 8-bit levels. 0 for one frame,
// and for an error that stands still.
class FlickerMeter {
 public:
  void Add(const cv::Mat& output, const cv::Mat& target);
  double Value() const;

 private:
  int frames_ = 0;
  cv::Mat mean_;    // CV_64FC1, of the error so far (Welford)
  cv::Mat moment_;  // CV_64FC1, sum of squared distances from the mean
};

}  // namespace cpl::train
