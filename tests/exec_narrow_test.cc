// SPDX-License-Identifier: Apache-2.0
//
// The recurrence's rows in 16 bits against those of combine.h, which other tests hold to the
// definition.
#include "model/exec_narrow.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "model/combine.h"

namespace cpl::exec {
namespace {

using Floats = std::vector<float>;
using FixedRow = std::vector<Fixed>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kStep = 1 / kFixedScale;
constexpr int kBlocks[] = {1, 2, 3, 4, 9, 40};

Floats Random(std::size_t count, float low, float high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  Floats values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

Floats AsFloats(const FixedRow& from) {
  Floats values;
  for (const Fixed value : from) values.push_back(static_cast<float>(value) * kStep);
  return values;
}

float Widened(Bf16 value) {
  float wide = 0;
  WidenRow(&value, 1, &wide);
  return wide;
}

class NarrowRowsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Bf16Kernels() == nullptr) GTEST_SKIP() << "not on this CPU";
    rows_ = Avx512NarrowRows();
  }
  FixedRow Fix(const Floats& from) const {
    FixedRow to(from.size());
    rows_->fix(from.data(), static_cast<int>(from.size()), to.data());
    return to;
  }
  const NarrowRows* rows_ = nullptr;
};

TEST_F(NarrowRowsTest, FixRoundsAndSaturates) {
  for (const std::size_t count : {1u, 12u, 15u, 16u, 17u, 97u}) {
    const Floats values = Random(count, -7.9f, 7.9f, 1);
    FixedRow fixed(count + 1, 77);
    rows_->fix(values.data(), static_cast<int>(count), fixed.data());
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_NEAR(static_cast<float>(fixed[i]) * kStep, values[i], kStep / 2 + 1e-6f);
    }
    EXPECT_EQ(fixed.back(), 77);
  }
  EXPECT_EQ(Fix({100, -100, 0}), (FixedRow{32767, -32768, 0}));
}

TEST_F(NarrowRowsTest, MotionIsMotionRow) {
  for (const int blocks : kBlocks) {
    const std::size_t values = static_cast<std::size_t>(blocks) * 16 * kCellChannels;
    const FixedRow x = Fix(Random(values, -2, 2, 1)), memory = Fix(Random(values, -2, 2, 2));
    const Floats count = Random(static_cast<std::size_t>(blocks), 0, 16, 3);
    const std::size_t features = static_cast<std::size_t>(blocks) * kMotionInputs;
    Floats got(features + 1, 77.0f), wanted(features);
    rows_->motion(x.data(), memory.data(), count.data(), blocks, got.data());
    MotionRow(AsFloats(x).data(), AsFloats(memory).data(), count.data(), blocks, wanted.data());
    for (std::size_t i = 0; i < features; ++i) ASSERT_NEAR(got[i], wanted[i], 1e-6) << i;
    EXPECT_EQ(got.back(), 77.0f);
  }
}

TEST_F(NarrowRowsTest, BlendIsBlendRow) {
  for (const int blocks : kBlocks) {
    const int cells = blocks * kMotionScale;
    const std::size_t values = static_cast<std::size_t>(cells) * kCellChannels;
    const std::size_t more = static_cast<std::size_t>(cells) * kSideChannels;
    const FixedRow x = Fix(Random(values, -2, 2, 1)), past = Fix(Random(values, -2, 2, 2));
    const Floats maps = Random(static_cast<std::size_t>(2 * blocks) * kMapChannels, 0, 0.5f, 3);
    Floats scratch(ScratchFloats(blocks));
    for (const int y : {0, 1, 2, 5, 7}) {
      FixedRow memory = past;
      memory.push_back(77);
      std::vector<Bf16> blend(values + 1, 77), side(more + 1, 77);
      rows_->blend(x.data(), RowsBetween(maps.data(), blocks, 2, kMapChannels, y), cells,
                   scratch.data(), memory.data(), blend.data(), side.data());
      Floats wanted(values), wanted_side(more);
      BlendRow(AsFloats(x).data(), AsFloats(past).data(), maps.data(), 2, y, cells, wanted.data(),
               wanted_side.data());
      for (std::size_t i = 0; i < values; ++i) {
        ASSERT_NEAR(static_cast<float>(memory[i]) * kStep, wanted[i], kStep / 2 + 1e-6f) << i;
        ASSERT_NEAR(Widened(blend[i]), wanted[i], std::abs(wanted[i]) / 256 + 1e-6f) << i;
      }
      for (std::size_t i = 0; i < more; ++i) {
        ASSERT_NEAR(Widened(side[i]), wanted_side[i], std::abs(wanted_side[i]) / 256 + 1e-6f) << i;
      }
      EXPECT_EQ(memory.back(), 77);
      EXPECT_EQ(blend.back(), 77);
      EXPECT_EQ(side.back(), 77);
    }
  }
}

TEST_F(NarrowRowsTest, CombineIsCombineRow) {
  for (const int blocks : kBlocks) {
    const int cells = blocks * kMotionScale;
    const std::size_t values = static_cast<std::size_t>(cells) * kCellChannels;
    const FixedRow x = Fix(Random(values, -2, 2, 1)), blend = Fix(Random(values, -2, 2, 2));
    Floats output = Random(static_cast<std::size_t>(cells) * kOutputChannels, -1.5f, 1.5f, 3);
    // A value and a logit of the first cell are spoilt.
    output[5] = std::numeric_limits<float>::infinity();
    output[12] = kNan;
    const Floats gains =
        Random(static_cast<std::size_t>(2 * blocks) * kFieldChannels, -0.3f, 0.3f, 4);
    // All of the past is kept and nothing is cut off: combine.h's blend is the memory.
    Floats maps;
    for (int i = 0; i < 2 * blocks; ++i) maps.insert(maps.end(), {1.0f, 1.0f, 100.0f, 0.0f});
    Floats scratch(ScratchFloats(blocks));
    for (const int y : {0, 3, 7}) {
      FixedRow memory = blend;
      memory.push_back(77);
      Floats residual(values + 1, 77.0f), wanted_memory = AsFloats(blend), wanted(values);
      rows_->combine(output.data(), x.data(),
                     RowsBetween(gains.data(), blocks, 2, kFieldChannels, y), cells, scratch.data(),
                     memory.data(), residual.data());
      CombineRow(output.data(), AsFloats(x).data(), maps.data(), {gains.data(), blocks, 2}, y,
                 cells, wanted_memory.data(), wanted.data());
      for (std::size_t i = 0; i < values; ++i) {
        ASSERT_NEAR(residual[i], wanted[i], 3e-6) << i;
        ASSERT_NEAR(static_cast<float>(memory[i]) * kStep, wanted_memory[i], kStep / 2 + 3e-6f)
            << i;
      }
      EXPECT_EQ(residual[5], 0);
      EXPECT_EQ(residual[4], 0);
      EXPECT_EQ(memory[5], x[5]);
      EXPECT_EQ(memory[4], x[4]);
      EXPECT_EQ(memory.back(), 77);
      EXPECT_EQ(residual.back(), 77.0f);
    }
  }
}

// Without a past, and with a network that answers nothing, a frame is given back bit for bit.
TEST_F(NarrowRowsTest, NothingAddedIsExactlyNothing) {
  const int cells = 36;
  const FixedRow x = Fix(Random(cells * kCellChannels, -2, 2, 1));
  FixedRow memory = x;
  const Floats maps(2 * 9 * kMapChannels), gains(2 * 9 * kFieldChannels);
  const Floats output(cells * kOutputChannels);
  Floats scratch(ScratchFloats(9)), residual(x.size(), 1.0f);
  std::vector<Bf16> blend(x.size()), side(cells * kSideChannels);
  rows_->blend(x.data(), RowsBetween(maps.data(), 9, 2, kMapChannels, 3), cells, scratch.data(),
               memory.data(), blend.data(), side.data());
  EXPECT_EQ(memory, x);
  rows_->combine(output.data(), x.data(), RowsBetween(gains.data(), 9, 2, kFieldChannels, 3), cells,
                 scratch.data(), memory.data(), residual.data());
  EXPECT_EQ(memory, x);
  EXPECT_EQ(residual, Floats(x.size()));
}

// A mean of many frames must not stick: with 1/16 of each new frame it comes to within a step.
TEST_F(NarrowRowsTest, TheMemoryDoesNotStick) {
  const int cells = 4;
  const FixedRow x = Fix(Floats(cells * kCellChannels, 1.9f));
  FixedRow memory = Fix(Floats(x.size(), 1.8f));
  // keep = 15 / 16, no outliers.
  const Floats maps = {0.9375f, 0.0625f, 4, 0};
  Floats scratch(ScratchFloats(1));
  std::vector<Bf16> blend(x.size()), side(cells * kSideChannels);
  for (int i = 0; i < 150; ++i) {
    rows_->blend(x.data(), RowsBetween(maps.data(), 1, 1, kMapChannels, 0), cells, scratch.data(),
                 memory.data(), blend.data(), side.data());
  }
  EXPECT_NEAR(memory[0], x[0], 8) << "an eighth of an 8-bit level";
}

}  // namespace
}  // namespace cpl::exec
