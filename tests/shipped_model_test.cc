// SPDX-License-Identifier: Apache-2.0
//
// Whether the models that ship do on pictures they have never seen what their cards (weights/*.md)
// say, with a margin: the pictures here are few and small.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>

#include "cpl/restorer.h"
#include "degrade/degrade.h"
#include "train/image_io.h"
#include "train/metrics.h"

namespace cpl {
namespace {

using degrade::ImageView;

// The pictures are crops; rain and snow are sized for the scene that they were cut from.
constexpr int kSceneHeight = 512;
constexpr const char* kPictures[] = {"sample-1.png", "sample-2.png"};

cv::Mat Degrade(const cv::Mat& clean, const degrade::Spec& spec, int frame) {
  std::vector<float> pixels(clean.total() * 3);
  const ImageView view{pixels.data(), clean.cols, clean.rows,
                       static_cast<std::ptrdiff_t>(clean.cols) * 3};
  degrade::FromU8(clean.data, static_cast<std::ptrdiff_t>(clean.step), view);
  degrade::Degrader degrader(spec, clean.cols, clean.rows);
  degrader.Prepare(view);
  degrader.Apply(view, frame);
  cv::Mat result(clean.size(), CV_8UC3);
  degrade::ToU8(view, result.data, static_cast<std::ptrdiff_t>(result.step));
  return result;
}

class ShippedModel : public testing::TestWithParam<const char*> {
 protected:
  struct Result {
    double input = 0, first = 0, last = 0;  // PSNR of Y, means over the pictures
    int right_prompt = 0;
  };

  // Eight frames of a fixed camera.
  Result Run(const std::string& kind) {
    constexpr int kFrames = 8;
    Result result;
    for (const char* name : kPictures) {
      const cv::Mat clean = train::ReadRgb(std::string(CPL_TEST_DATA) + "/data/" + name);
      const degrade::Spec spec =
          degrade::SpecForLevel(degrade::ParseKinds(kind), 0.5, 11, kSceneHeight);
      const auto stream = model_->NewStream();
      for (int t = 0; t < kFrames; ++t) {
        cv::Mat frame = Degrade(clean, spec, t);
        if (t == 0)
          result.input +=
              train::Psnr(train::Luma(frame), train::Luma(clean)) / std::size(kPictures);
        const FrameView view = train::ViewOf(frame);
        const FrameReport report = stream->Restore(AsConst(view), view, {.bypass_clean = false});
        const double psnr =
            train::Psnr(train::Luma(frame), train::Luma(clean)) / std::size(kPictures);
        if (t == 0) {
          result.first += psnr;
          result.right_prompt += model_->info().prompts[report.prompt] == kind;
        }
        if (t == kFrames - 1) result.last += psnr;
      }
    }
    return result;
  }

  const std::shared_ptr<Model> model_ = LoadModel(GetParam(), {});
};

TEST_P(ShippedModel, IsWhatTheNameSays) {
  EXPECT_EQ(model_->info().architecture, "live");
  EXPECT_EQ(model_->info().framework, "cpl");
  EXPECT_LE(model_->info().macs_per_pixel, GetParam() == std::string("live") ? 4200 : 10000);
  EXPECT_FALSE(model_->info().recipe.empty());
  EXPECT_FALSE(model_->info().steps.empty());
}

TEST_P(ShippedModel, RemovesEachDegradation) {
  const struct {
    const char* kind;
    double first, later;  // least gain of the first frame, and of the eighth over it, in dB
    int routed;           // of the pictures, at least so many get the right prompt at first sight
  } kExpected[] = {{"noise", 3.5, 3.0, 2},
                   {"rain", 3.0, 12.0, 1},
                   {"snow", 4.5, 4.5, 1},
                   {"haze", 11.0, -0.5, 2}};
  for (const auto& expected : kExpected) {
    const Result result = Run(expected.kind);
    std::printf("%s: %.2f dB in, %.2f first, %.2f eighth\n", expected.kind, result.input,
                result.first, result.last);
    EXPECT_GT(result.first, result.input + expected.first) << expected.kind;
    EXPECT_GT(result.last, result.first + expected.later) << expected.kind;
    EXPECT_GE(result.right_prompt, expected.routed) << expected.kind;
  }
}

TEST_P(ShippedModel, LeavesAClearPictureAlone) {
  for (const char* name : kPictures) {
    const cv::Mat clean = train::ReadRgb(std::string(CPL_TEST_DATA) + "/data/" + name);
    cv::Mat frame = clean.clone();
    const FrameView view = train::ViewOf(frame);
    const FrameReport report =
        model_->NewStream()->Restore(AsConst(view), view, {.bypass_clean = false});
    EXPECT_EQ(model_->info().prompts[report.prompt], "clean") << name;
    EXPECT_GT(train::Psnr(frame, clean), 38) << name;
  }
}

// A shipped model in another precision beside itself in float32, four frames of each kind of
// weather: how close its pictures are, and what it costs.
void CheckPrecision(const char* model, Precision precision, double least_psnr, double most_lost) {
  const auto exact = LoadModel(model, {Precision::kFp32, 0});
  const auto other = LoadModel(model, {precision, 0});
  for (const char* kind : {"noise", "rain", "snow", "haze"}) {
    double lost = 0, least = 99;
    for (const char* name : kPictures) {
      // Sides that are no multiple of anything.
      const cv::Mat whole = train::ReadRgb(std::string(CPL_TEST_DATA) + "/data/" + name);
      const cv::Mat clean = whole(cv::Rect(0, 0, whole.cols - 1, whole.rows - 3)).clone();
      const degrade::Spec spec =
          degrade::SpecForLevel(degrade::ParseKinds(kind), 0.5, 11, kSceneHeight);
      const auto a = exact->NewStream(), b = other->NewStream();
      constexpr int kFrames = 4;
      for (int t = 0; t < kFrames; ++t) {
        cv::Mat precise = Degrade(clean, spec, t), rounded = precise.clone();
        const FrameView to_a = train::ViewOf(precise), to_b = train::ViewOf(rounded);
        a->Restore(AsConst(to_a), to_a, {.bypass_clean = false});
        b->Restore(AsConst(to_b), to_b, {.bypass_clean = false});
        least = std::min(least, train::Psnr(precise, rounded));
        lost += (train::Psnr(precise, clean) - train::Psnr(rounded, clean)) /
                (kFrames * std::size(kPictures));
      }
    }
    std::printf("%s: %.1f dB of itself in float32 at least, %.3f dB lost\n", kind, least, lost);
    EXPECT_GT(least, least_psnr) << kind;
    EXPECT_LT(lost, most_lost) << kind;
  }
}

TEST_P(ShippedModel, Bf16StaysCloseToFp32) {
  CheckPrecision(GetParam(), Precision::kBf16, 54, 0.05);
}

TEST_P(ShippedModel, Int8StaysCloseToFp32) {
  CheckPrecision(GetParam(), Precision::kInt8, 40, 0.15);
}

TEST_P(ShippedModel, ClearFramesPassInt8BitForBit) {
  const auto stream = LoadModel(GetParam(), {Precision::kInt8, 0})->NewStream();
  const cv::Mat clean = train::ReadRgb(std::string(CPL_TEST_DATA) + "/data/" + kPictures[0]);
  for (int t = 0; t < 3; ++t) {
    cv::Mat frame = clean.clone();
    const FrameView view = train::ViewOf(frame);
    EXPECT_TRUE(stream->Restore(AsConst(view), view, {}).bypassed);
    EXPECT_EQ(cv::norm(frame, clean, cv::NORM_INF), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ShippedModel, testing::Values("live", "live-hq"),
                         [](const auto& model) {
                           return model.param == std::string("live") ? "live" : "hq";
                         });

}  // namespace
}  // namespace cpl
