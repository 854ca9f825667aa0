// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "cpl/error.h"

namespace cpl::train {
namespace {

constexpr int kWindow = 11;
constexpr double kSigma = 1.5;
constexpr double kRange = 255.0;
constexpr double kC1 = (0.01 * kRange) * (0.01 * kRange);
constexpr double kC2 = (0.03 * kRange) * (0.03 * kRange);

std::string SizeText(const cv::Mat& m) {
  return std::to_string(m.cols) + "x" + std::to_string(m.rows);
}

void CheckAlike(const cv::Mat& a, const cv::Mat& b) {
  if (a.empty() || b.empty()) throw Error(ErrorCode::kInvalidArgument, "a picture is empty");
  if (a.size() != b.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                "the pictures differ in size: " + SizeText(a) + " and " + SizeText(b));
  }
  if (a.type() != b.type()) {
    throw Error(ErrorCode::kInvalidArgument, "the pictures differ in their kind of pixel");
  }
}

void CheckRgb(const cv::Mat& m) {
  if (m.type() != CV_8UC3) {
    throw Error(ErrorCode::kInvalidArgument, "not a picture of 8-bit R, G, B");
  }
}

// A whole picture in double precision would leave the caches and keep the allocator busy; so many
// rows of the result are made at a time.
constexpr int kBand = 48;

// The sum of the similarity over the valid region of two bands of one channel.
double SumOfBand(const cv::Mat& band_a, const cv::Mat& band_b, const cv::Mat& kernel) {
  cv::Mat a, b;
  band_a.convertTo(a, CV_64F);
  band_b.convertTo(b, CV_64F);
  const auto blur = [&](const cv::Mat& m) {
    cv::Mat out;
    cv::sepFilter2D(m, out, CV_64F, kernel, kernel);
    const int margin = kWindow / 2;
    return out(cv::Rect(margin, margin, m.cols - 2 * margin, m.rows - 2 * margin));
  };
  const cv::Mat mean_a = blur(a);
  const cv::Mat mean_b = blur(b);
  const cv::Mat aa = blur(a.mul(a));
  const cv::Mat bb = blur(b.mul(b));
  const cv::Mat ab = blur(a.mul(b));

  double sum = 0;
  for (int y = 0; y < mean_a.rows; ++y) {
    const double* ma = mean_a.ptr<double>(y);
    const double* mb = mean_b.ptr<double>(y);
    const double* paa = aa.ptr<double>(y);
    const double* pbb = bb.ptr<double>(y);
    const double* pab = ab.ptr<double>(y);
    for (int x = 0; x < mean_a.cols; ++x) {
      const double product = ma[x] * mb[x];
      const double squares = ma[x] * ma[x] + mb[x] * mb[x];
      const double variances = paa[x] + pbb[x] - squares;
      const double covariance = pab[x] - product;
      sum += (2 * product + kC1) * (2 * covariance + kC2) / ((squares + kC1) * (variances + kC2));
    }
  }
  return sum;
}

double SsimOfChannel(const cv::Mat& a, const cv::Mat& b) {
  const cv::Mat kernel = cv::getGaussianKernel(kWindow, kSigma, CV_64F);
  const int halo = kWindow - 1;
  const int rows = a.rows - halo;
  double sum = 0;
  for (int y = 0; y < rows; y += kBand) {
    const cv::Range range(y, std::min(y + kBand, rows) + halo);
    sum += SumOfBand(a.rowRange(range), b.rowRange(range), kernel);
  }
  return sum / (static_cast<double>(rows) * (a.cols - halo));
}

}  // namespace

cv::Mat Luma(const cv::Mat& rgb) {
  CheckRgb(rgb);
  cv::Mat wide, luma;
  rgb.convertTo(wide, CV_32FC3);
  cv::transform(wide, luma, cv::Matx14f(65.481f / 255, 128.553f / 255, 24.966f / 255, 16.0f));
  return luma;
}

double Psnr(const cv::Mat& a, const cv::Mat& b) {
  CheckAlike(a, b);
  const double squares = cv::norm(a, b, cv::NORM_L2SQR);
  if (squares == 0) return std::numeric_limits<double>::infinity();
  const double mse = squares / (static_cast<double>(a.total()) * a.channels());
  return 10 * std::log10(kRange * kRange / mse);
}

double Ssim(const cv::Mat& a, const cv::Mat& b) {
  CheckAlike(a, b);
  if (a.cols < kWindow || a.rows < kWindow) {
    throw Error(ErrorCode::kInvalidArgument,
                "a picture of " + SizeText(a) + " is too small for SSIM, which needs 11x11");
  }
  std::vector<cv::Mat> channels_a, channels_b;
  cv::split(a, channels_a);
  cv::split(b, channels_b);
  double sum = 0;
  for (std::size_t c = 0; c < channels_a.size(); ++c) {
    sum += SsimOfChannel(channels_a[c], channels_b[c]);
  }
  return sum / static_cast<double>(channels_a.size());
}

Quality Compare(const cv::Mat& picture, const cv::Mat& target) {
  CheckRgb(picture);
  CheckRgb(target);
  CheckAlike(picture, target);
  const cv::Mat luma = Luma(picture);
  const cv::Mat target_luma = Luma(target);
  return {Psnr(picture, target), Ssim(picture, target), Psnr(luma, target_luma),
          Ssim(luma, target_luma)};
}

void FlickerMeter::Add(const cv::Mat& output, const cv::Mat& target) {
  CheckAlike(output, target);
  cv::Mat error;
  cv::subtract(Luma(output), Luma(target), error, cv::noArray(), CV_64F);
  ++frames_;
  if (frames_ == 1) {
    mean_ = error;
    moment_ = cv::Mat::zeros(error.size(), CV_64FC1);
    return;
  }
  CheckAlike(error, mean_);
  const cv::Mat distance = error - mean_;
  mean_ += distance / frames_;
  moment_ += distance.mul(error - mean_);
}

double FlickerMeter::Value() const {
  if (frames_ < 2) return 0;
  cv::Mat deviation;
  cv::sqrt(cv::max(moment_ / frames_, 0.0), deviation);
  return cv::mean(deviation)[0];
}

}  // namespace cpl::train
