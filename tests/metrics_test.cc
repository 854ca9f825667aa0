// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "cpl/error.h"
#include "train/image_io.h"

namespace cpl::train {
namespace {

const std::string kGolden = std::string(CPL_TEST_DATA) + "/golden/metrics/";

nlohmann::json GoldenValues() {
  std::ifstream file(kGolden + "metrics.json");
  return nlohmann::json::parse(file).at("values");
}

class GoldenMetrics : public testing::TestWithParam<std::string> {};

TEST_P(GoldenMetrics, AgreesWithBasicSr) {
  const nlohmann::json want = GoldenValues().at(GetParam() + "_vs_a");
  const Quality got = Compare(ReadRgb(kGolden + GetParam() + ".png"), ReadRgb(kGolden + "a.png"));
  const auto check = [&](const char* key, double value) {
    SCOPED_TRACE(key);
    if (want.at(key).is_null()) {
      EXPECT_TRUE(std::isinf(value) && value > 0) << value;
    } else {
      EXPECT_NEAR(value, want.at(key).get<double>(), 1e-6);
    }
  };
  check("psnr_rgb", got.psnr_rgb);
  check("ssim_rgb", got.ssim_rgb);
  check("psnr_y", got.psnr_y);
  check("ssim_y", got.ssim_y);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenMetrics, testing::Values("a", "b", "c"));

TEST(Luma, SpansTheLimitedRange) {
  cv::Mat picture(1, 3, CV_8UC3, cv::Scalar(0, 0, 0));
  picture.at<cv::Vec3b>(0, 1) = {255, 255, 255};
  picture.at<cv::Vec3b>(0, 2) = {255, 0, 0};  // red is the first channel
  const cv::Mat luma = Luma(picture);
  EXPECT_NEAR(luma.at<float>(0, 0), 16.0, 1e-4);
  EXPECT_NEAR(luma.at<float>(0, 1), 235.0, 1e-4);
  EXPECT_NEAR(luma.at<float>(0, 2), 16.0 + 65.481, 1e-4);
}

TEST(Psnr, IsWhatItsDefinitionSays) {
  const cv::Mat a(20, 30, CV_8UC3, cv::Scalar(10, 10, 10));
  const cv::Mat b(20, 30, CV_8UC3, cv::Scalar(15, 15, 15));
  EXPECT_NEAR(Psnr(a, b), 20 * std::log10(255.0 / 5), 1e-9);
  EXPECT_EQ(Psnr(a, a), std::numeric_limits<double>::infinity());
}

TEST(Metrics, RefuseWhatCannotBeCompared) {
  const cv::Mat a(20, 30, CV_8UC3, cv::Scalar::all(0));
  EXPECT_THROW(Compare(a, cv::Mat(20, 31, CV_8UC3, cv::Scalar::all(0))), Error);
  EXPECT_THROW(Compare(a, cv::Mat(20, 30, CV_8UC1, cv::Scalar::all(0))), Error);
  EXPECT_THROW(Compare(a, cv::Mat()), Error);
  const cv::Mat small(10, 30, CV_8UC3, cv::Scalar::all(0));
  EXPECT_THROW(Ssim(small, small), Error);
}

TEST(FlickerMeter, MeasuresTremblingNotError) {
  const cv::Mat target(16, 16, CV_8UC3, cv::Scalar::all(100));
  FlickerMeter steady;
  for (int t = 0; t < 5; ++t) steady.Add(cv::Mat(16, 16, CV_8UC3, cv::Scalar::all(140)), target);
  EXPECT_NEAR(steady.Value(), 0, 1e-9);

  // Grey levels 100 +- 10 in turn: a step of one grey level is 219 / 255 of luma.
  FlickerMeter trembling;
  for (int t = 0; t < 6; ++t) {
    trembling.Add(cv::Mat(16, 16, CV_8UC3, cv::Scalar::all(t % 2 ? 110 : 90)), target);
  }
  EXPECT_NEAR(trembling.Value(), 10 * 219.0 / 255, 1e-4);

  // What moves with its target does not tremble.
  FlickerMeter following;
  for (int t = 0; t < 6; ++t) {
    const cv::Mat moving(16, 16, CV_8UC3, cv::Scalar::all(10 * t));
    following.Add(moving, moving);
  }
  EXPECT_EQ(following.Value(), 0);
}

TEST(FlickerMeter, OneFrameDoesNotFlicker) {
  FlickerMeter meter;
  EXPECT_EQ(meter.Value(), 0);
  meter.Add(cv::Mat(16, 16, CV_8UC3, cv::Scalar::all(3)), cv::Mat::zeros(16, 16, CV_8UC3));
  EXPECT_EQ(meter.Value(), 0);
}

}  // namespace
}  // namespace cpl::train
