// SPDX-License-Identifier: Apache-2.0
//
// The recurrence's rows in 16 bits, in each instruction set, against those of combine.h, which
// other tests hold to the definition, and against each other.
#include "model/exec_narrow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "model/combine.h"
#include "model/exec_int8.h"
#include "model/isa.h"

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

// By instruction set, so that the names of the tests are the same on every machine.
constexpr const char* kNames[] = {"avx2", "avx512", "avx512bf16"};

const NarrowRows* Variant(const std::string& name) {
  for (int i = 0; const NarrowRows* next = NarrowRowsVariant(i); ++i) {
    if (next->name == name) return next;
  }
  return nullptr;
}

class NarrowRowsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    rows_ = Variant(GetParam());
    if (rows_ == nullptr) GTEST_SKIP() << "not on this CPU";
  }
  FixedRow Fix(const Floats& from) const {
    FixedRow to(from.size());
    rows_->fix(from.data(), static_cast<int>(from.size()), to.data());
    return to;
  }
  const NarrowRows* rows_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Variants, NarrowRowsTest, testing::ValuesIn(kNames),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(NarrowRowsTest, FixRoundsAndSaturates) {
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

TEST_P(NarrowRowsTest, MotionIsMotionRow) {
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

TEST_P(NarrowRowsTest, BlendIsBlendRow) {
  if (rows_->blend == nullptr) GTEST_SKIP() << "no bfloat16";
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

// Of Fixed, halves rounded up.
std::uint8_t PlainByte(int fixed, double zero) {
  const double byte = std::floor(fixed * 255.0 / (4 * kFixedScale) + zero + 0.5);
  return static_cast<std::uint8_t>(std::clamp(byte, 0.0, 255.0));
}

std::vector<std::uint8_t> Quantised(const Floats& from, const ByteScale& scale) {
  std::vector<std::uint8_t> bytes(from.size());
  Quantiser(*Int8Kernels(), scale)
      .Run(from.data(), static_cast<int>(from.size() / scale.step.size()), bytes.data());
  return bytes;
}

// To the bit where it says so, and within a step of what Quantiser makes of the blend in float32.
TEST_P(NarrowRowsTest, BlendBytesIsBlendRowQuantised) {
  for (const int blocks : kBlocks) {
    const int cells = blocks * kMotionScale;
    const std::size_t values = static_cast<std::size_t>(cells) * kCellChannels;
    const std::size_t more = static_cast<std::size_t>(cells) * kSideChannels;
    FixedRow x = Fix(Random(values, -2.5f, 2.5f, 1)), past = Fix(Random(values, -2.5f, 2.5f, 2));
    // Halves of a byte, and what no byte holds.
    std::copy_n(FixedRow{0, 8192, -8192, 32767, -32768, 32767}.data(), 6, x.data() + 3);
    std::copy_n(FixedRow{0, 0, 0, 0, 0, -32768}.data(), 6, past.data() + 3);
    Floats maps = Random(static_cast<std::size_t>(2 * blocks) * kMapChannels, 0, 0.9f, 3);
    for (std::size_t i = 2; i < maps.size(); i += kMapChannels) maps[i] *= kMostClip;
    Floats scratch(ScratchFloats(blocks));
    for (const int y : {0, 1, 2, 5, 7}) {
      FixedRow memory = past;
      memory.push_back(77);
      std::vector<std::uint8_t> blend(values + 1, 77), side(more + 1, 77);
      rows_->blend_bytes(x.data(), RowsBetween(maps.data(), blocks, 2, kMapChannels, y), cells,
                         scratch.data(), memory.data(), blend.data(), side.data());
      Floats wanted(values), wanted_side(more);
      BlendRow(AsFloats(x).data(), AsFloats(past).data(), maps.data(), 2, y, cells, wanted.data(),
               wanted_side.data());
      const std::vector<std::uint8_t> bytes = Quantised(wanted, XScale());
      const std::vector<std::uint8_t> side_bytes = Quantised(wanted_side, SideScale());
      for (std::size_t i = 0; i < values; ++i) {
        ASSERT_NEAR(static_cast<float>(memory[i]) * kStep, std::clamp(wanted[i], -8.0f, 8.0f),
                    kStep / 2 + 1e-6f)
            << i;
        ASSERT_EQ(blend[i], PlainByte(memory[i], 127.5)) << i;
        ASSERT_NEAR(blend[i], bytes[i], 1) << i;
        const std::size_t at = i / kCellChannels * kSideChannels + i % kCellChannels;
        ASSERT_EQ(side[at], PlainByte(x[i] - past[i], 128)) << i;
      }
      for (std::size_t i = 0; i < more; ++i) ASSERT_NEAR(side[i], side_bytes[i], 1) << i;
      // What is rounded is the blend, not something a step off it.
      std::size_t same = 0;
      for (std::size_t i = 0; i < values; ++i) same += blend[i] == bytes[i] ? 1 : 0;
      for (std::size_t i = 0; i < more; ++i) same += side[i] == side_bytes[i] ? 1 : 0;
      EXPECT_GT(static_cast<double>(same), 0.95 * static_cast<double>(values + more));
      EXPECT_EQ(memory.back(), 77);
      EXPECT_EQ(blend.back(), 77);
      EXPECT_EQ(side.back(), 77);
    }
  }
}

TEST_P(NarrowRowsTest, CombineIsCombineRow) {
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
TEST_P(NarrowRowsTest, NothingAddedIsExactlyNothing) {
  const int cells = 36;
  const FixedRow x = Fix(Random(cells * kCellChannels, -2, 2, 1));
  FixedRow memory = x;
  const Floats maps(2 * 9 * kMapChannels), gains(2 * 9 * kFieldChannels);
  const Floats output(cells * kOutputChannels);
  Floats scratch(ScratchFloats(9)), residual(x.size(), 1.0f);
  const RowPair between = RowsBetween(maps.data(), 9, 2, kMapChannels, 3);
  std::vector<std::uint8_t> bytes(x.size()), byte_side(cells * kSideChannels);
  rows_->blend_bytes(x.data(), between, cells, scratch.data(), memory.data(), bytes.data(),
                     byte_side.data());
  EXPECT_EQ(memory, x);
  if (rows_->blend != nullptr) {
    std::vector<Bf16> blend(x.size()), side(cells * kSideChannels);
    rows_->blend(x.data(), between, cells, scratch.data(), memory.data(), blend.data(),
                 side.data());
    EXPECT_EQ(memory, x);
  }
  rows_->combine(output.data(), x.data(), RowsBetween(gains.data(), 9, 2, kFieldChannels, 3), cells,
                 scratch.data(), memory.data(), residual.data());
  EXPECT_EQ(memory, x);
  EXPECT_EQ(residual, Floats(x.size()));
}

// A mean of many frames must not stick: with 1/16 of each new frame it comes to within a step.
TEST_P(NarrowRowsTest, TheMemoryDoesNotStick) {
  const int cells = 4;
  const FixedRow x = Fix(Floats(cells * kCellChannels, 1.9f));
  FixedRow memory = Fix(Floats(x.size(), 1.8f));
  // keep = 15 / 16, no outliers.
  const Floats maps = {0.9375f, 0.0625f, 4, 0};
  Floats scratch(ScratchFloats(1));
  std::vector<std::uint8_t> blend(x.size()), side(cells * kSideChannels);
  for (int i = 0; i < 150; ++i) {
    rows_->blend_bytes(x.data(), RowsBetween(maps.data(), 1, 1, kMapChannels, 0), cells,
                       scratch.data(), memory.data(), blend.data(), side.data());
  }
  EXPECT_NEAR(memory[0], x[0], 8) << "an eighth of an 8-bit level";
}

// All that a frame's rows make of each other, over frames, with values that are no pictures.
struct Made {
  FixedRow x, memory;
  Floats features, residual;
  std::vector<std::uint8_t> blend, side;
  bool operator==(const Made&) const = default;
};

Made Make(const NarrowRows& rows, int blocks, bool bf16) {
  const int cells = blocks * kMotionScale;
  const std::size_t values = static_cast<std::size_t>(cells) * kCellChannels;
  Made made;
  made.x.resize(values);
  made.memory.resize(values);
  made.features.resize(static_cast<std::size_t>(blocks) * kMotionInputs);
  made.residual.resize(values);
  made.blend.resize(values);
  made.side.resize(static_cast<std::size_t>(cells) * kSideChannels);
  Floats scratch(ScratchFloats(blocks));
  for (unsigned frame = 0; frame < 4; ++frame) {
    const Floats picture = Random(values, -2, 2, 5 * frame);
    const Floats count = Random(static_cast<std::size_t>(blocks), 0, 16, 5 * frame + 1);
    const Floats maps =
        Random(static_cast<std::size_t>(2 * blocks) * kMapChannels, 0, 0.9f, 5 * frame + 2);
    const Floats gains =
        Random(static_cast<std::size_t>(2 * blocks) * kFieldChannels, -0.3f, 0.3f, 5 * frame + 3);
    Floats output =
        Random(static_cast<std::size_t>(cells) * kOutputChannels, -90, 90, 5 * frame + 4);
    for (std::size_t i = 0; i < output.size(); ++i) output[i] /= i % 16 < 12 ? 60.f : 1.f;
    output[frame] = kNan;
    output[output.size() - 1 - frame] = std::numeric_limits<float>::infinity();
    output[output.size() / 2] = 100;  // of 64 that are let through
    rows.fix(picture.data(), static_cast<int>(values), made.x.data());
    // The rows of cells of a row of blocks.
    FixedRow tall_x, tall_memory;
    for (int i = 0; i < kMotionScale; ++i) {
      tall_x.insert(tall_x.end(), made.x.begin(), made.x.end());
      tall_memory.insert(tall_memory.end(), made.memory.begin(), made.memory.end());
    }
    rows.motion(tall_x.data(), tall_memory.data(), count.data(), blocks, made.features.data());
    const RowPair between = RowsBetween(maps.data(), blocks, 2, kMapChannels, 3);
    FixedRow other = made.memory;
    rows.blend_bytes(made.x.data(), between, cells, scratch.data(), made.memory.data(),
                     made.blend.data(), made.side.data());
    if (bf16) {
      std::vector<Bf16> blend(values), side(made.side.size());
      rows.blend(made.x.data(), between, cells, scratch.data(), other.data(), blend.data(),
                 side.data());
      made.memory = other;
    }
    rows.combine(output.data(), made.x.data(),
                 RowsBetween(gains.data(), blocks, 2, kFieldChannels, 3), cells, scratch.data(),
                 made.memory.data(), made.residual.data());
  }
  return made;
}

TEST_P(NarrowRowsTest, GivesTheBitsOfEveryOther) {
  for (const int blocks : kBlocks) {
    const Made wanted = Make(*NarrowRowsVariant(0), blocks, false);
    EXPECT_TRUE(Make(*rows_, blocks, false) == wanted) << blocks;
    if (rows_->blend == nullptr) continue;
    EXPECT_TRUE(Make(*rows_, blocks, true) == wanted) << blocks;
  }
}

TEST(BestNarrowRows, AreThoseOfTheElement) {
  EXPECT_EQ(BestNarrowRows(Element::kFloat), nullptr);
  EXPECT_EQ(BestNarrowRows(Element::kBf16) != nullptr, Bf16Kernels() != nullptr);
  EXPECT_EQ(BestNarrowRows(Element::kU8) != nullptr, Int8Kernels() != nullptr);
  if (const NarrowRows* rows = BestNarrowRows(Element::kBf16)) {
    EXPECT_NE(rows->blend, nullptr);
  }
  const NarrowRows* last = nullptr;
  for (int i = 0; const NarrowRows* next = NarrowRowsVariant(i); ++i) last = next;
  EXPECT_EQ(BestNarrowRows(Element::kU8), last);
}

// In a process of its own: the environment is read once.
TEST(BestNarrowRows, AreNoNewerThanTheEnvironmentAllows) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ASSERT_EQ(setenv(kMaxIsaVariable, "avx2", 1), 0);
  EXPECT_EXIT(
      {
        const NarrowRows* const rows = BestNarrowRows(Element::kU8);
        std::exit(rows == nullptr || rows->name == std::string("avx2") ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  ASSERT_EQ(setenv(kMaxIsaVariable, "baseline", 1), 0);
  EXPECT_EXIT(std::exit(BestNarrowRows(Element::kU8) == nullptr ? 0 : 1),
              testing::ExitedWithCode(0), "");
  unsetenv(kMaxIsaVariable);
}

}  // namespace
}  // namespace cpl::exec
