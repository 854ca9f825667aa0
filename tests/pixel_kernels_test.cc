// SPDX-License-Identifier: Apache-2.0
//
// The kernels of the pixel paths: that all variants agree, and the rows of the recurrence against
// its definition, written out in double precision.
#include "model/pixel_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "model/combine.h"
#include "model/combine_kernels.h"
#include "model/pixels.h"

namespace cpl {
namespace {

using Floats = std::vector<float>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Floats Random(std::size_t count, float scale, unsigned seed) {
  std::mt19937 random(seed);
  Floats values(count);
  for (float& value : values) {
    value = scale * (static_cast<float>(random()) / 2147483648.0f - 1.0f);
  }
  return values;
}

bool SameBits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(PixelKernelsTest, VariantsForAllCpusGiveTheSameBits) {
  const PixelKernels* baseline = PixelKernelsVariant(0);
  ASSERT_NE(baseline, nullptr);
  const int width = 301, across = CellsAcross(width);
  const std::size_t step = static_cast<std::size_t>(width) * 4;
  std::mt19937 random(17);
  std::vector<std::uint8_t> in(6 * step);
  for (std::uint8_t& byte : in) byte = static_cast<std::uint8_t>(random());
  Floats residual = Random(static_cast<std::size_t>(across) * 12, 1, 18);
  residual[3] = kNan;
  residual[40] = kInfinity;

  struct Result {
    Floats cells;
    std::vector<std::uint8_t> bytes;
  };
  const auto run = [&](const PixelKernels& kernels, int layout, bool swapped) {
    Result result{Floats(residual.size()), std::vector<std::uint8_t>(in.size())};
    CellRow row;
    row.width = width;
    row.swapped = swapped;
    for (int plane = 0; plane < 3; ++plane) {
      for (int y = 0; y < 2; ++y) {
        row.in[plane][y] = in.data() + (2 * plane + y) * step;
        row.out[plane][y] = result.bytes.data() + (2 * plane + y) * step;
      }
    }
    kernels.read[layout](row, MakeReadFactors(ColorMatrix::kBT709, ColorRange::kLimited, 8),
                         result.cells.data());
    kernels.write[layout](row, MakeWriteFactors(ColorMatrix::kBT709, ColorRange::kLimited, 8, 0.7f),
                          residual.data());
    return result;
  };
  for (int layout = 0; layout < kPixelLayouts; ++layout) {
    for (const bool swapped : {false, true}) {
      const Result wanted = run(*baseline, layout, swapped);
      for (int i = 1; const PixelKernels* variant = PixelKernelsVariant(i); ++i) {
        const Result got = run(*variant, layout, swapped);
        EXPECT_TRUE(SameBits(got.cells, wanted.cells)) << variant->name << " layout " << layout;
        EXPECT_EQ(got.bytes, wanted.bytes) << variant->name << " layout " << layout;
      }
    }
  }
}

// What the recurrence's rows work on: `blocks` blocks across, two rows of blocks.
struct Scene {
  explicit Scene(int blocks_across)
      : blocks(blocks_across),
        cells(blocks * kMotionScale),
        x(Random(Values(kCellChannels, kMotionScale), 2, 1)),
        memory(Random(Values(kCellChannels, kMotionScale), 2, 2)),
        output(Random(Values(kOutputChannels, 1), 1.5f, 3)),
        gains(Random(static_cast<std::size_t>(2 * blocks) * kFieldChannels, 0.3f, 4)),
        head(Random(static_cast<std::size_t>(2 * blocks) * kMotionOutputs, 6, 5)),
        count(Random(static_cast<std::size_t>(2 * blocks), 8, 6)) {
    for (float& n : count) n += 8;
    count[0] = 0;
  }
  std::size_t Values(int channels, int rows) const {
    return static_cast<std::size_t>(cells) * channels * rows;
  }

  int blocks, cells;
  Floats x, memory, output, gains, head, count;
};

// Value of a map of two rows of blocks at cell (at, y), bilinear without aligned corners.
double Between(const Floats& map, int channels, int channel, int blocks, int at, int y) {
  const auto locate = [](int i, int size, int* low, int* high) {
    const double source = std::max(0.0, (i + 0.5) / kMotionScale - 0.5);
    *low = std::min(static_cast<int>(source), size - 1);
    *high = std::min(*low + 1, size - 1);
    return source - *low;
  };
  int left, right, above, below;
  const double across = locate(at, blocks, &left, &right), down = locate(y, 2, &above, &below);
  const auto value = [&](int row, int column) {
    return static_cast<double>(map[(row * blocks + column) * channels + channel]);
  };
  const double top = value(above, left) + across * (value(above, right) - value(above, left));
  const double bottom = value(below, left) + across * (value(below, right) - value(below, left));
  return top + down * (bottom - top);
}

double Sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

constexpr int kBlocks[] = {1, 2, 3, 9, 40};

TEST(CombineTest, MotionIsTheMeanOverBlocks) {
  for (const int blocks : kBlocks) {
    const Scene s(blocks);
    Floats features(static_cast<std::size_t>(blocks) * kMotionInputs + 1, 77.0f);
    MotionRow(s.x.data(), s.memory.data(), s.count.data(), blocks, features.data());
    for (int b = 0; b < blocks; ++b) {
      for (int c = 0; c < 3; ++c) {
        double mean = 0, size = 0, small = 0;
        for (int i = 0; i < 16; ++i) {
          for (int k = 0; k < 4; ++k) {
            const std::size_t at = ((i / 4 * s.cells) + b * 4 + i % 4) * 12 + c * 4 + k;
            const double d = static_cast<double>(s.x[at]) - s.memory[at];
            mean += d / 64;
            size += std::abs(d) / 64;
            small += std::min(std::abs(d), static_cast<double>(kSmallChange)) / 64;
          }
        }
        const float* const found = features.data() + b * kMotionInputs;
        EXPECT_NEAR(found[c], mean, 1e-6) << blocks;
        EXPECT_NEAR(found[3 + c], size, 1e-6) << blocks;
        EXPECT_NEAR(found[6 + c], small, 1e-6) << blocks;
      }
      EXPECT_NEAR(features[b * kMotionInputs + 9], 1.0 / (s.count[b] + 1), 1e-7);
    }
    EXPECT_EQ(features.back(), 77.0f);
  }
}

TEST(CombineTest, KeepFollowsTheRuleOfVariances) {
  for (const int blocks : kBlocks) {
    Scene s(blocks);
    s.head[kMotionOutputs] = kNan;
    if (blocks > 1) s.head[kMotionOutputs + 3] = kNan;
    Floats count = s.count, maps(static_cast<std::size_t>(2 * blocks) * 4 + 1, 77.0f);
    KeepBlocks(s.head.data(), 2 * blocks, count.data(), maps.data());
    for (int b = 0; b < 2 * blocks; ++b) {
      const double n = s.count[b];
      const double still = b <= 1 ? 0 : Sigmoid(s.head[b * 2]);  // no past, or not a number
      const double keep = still * n / (n + 1);
      const double fresh = (1 - keep) * (1 - keep) + keep * keep / std::max(n, 1.0);
      const double next = std::min(1 / fresh, static_cast<double>(kMostFrames));
      const double clip = n == 0 || b == 2 ? 0 : kMostClip * Sigmoid(s.head[b * 2 + 1]);
      EXPECT_NEAR(maps[b * 4], keep, 1e-6) << b;
      EXPECT_NEAR(maps[b * 4 + 1], 1 / next, 1e-6) << b;
      EXPECT_NEAR(count[b], next, 1e-5 * next) << b;
      EXPECT_NEAR(maps[b * 4 + 2], clip, 2e-6) << b;
      EXPECT_NEAR(maps[b * 4 + 3], (1 - keep) * still, 1e-6) << b;
    }
    EXPECT_EQ(maps.back(), 77.0f);
  }
}

TEST(CombineTest, BlendIsWeightedByTheMap) {
  for (const int blocks : kBlocks) {
    const Scene s(blocks);
    Floats maps = Random(static_cast<std::size_t>(2 * blocks) * 4, 0.5f, 7);
    for (float& value : maps) value = std::abs(value);
    for (const int y : {0, 1, 2, 5, 6, 7}) {
      Floats blend(s.Values(12, 1) + 1, 77.0f), side(s.Values(16, 1) + 1, 77.0f);
      BlendRow(s.x.data(), s.memory.data(), maps.data(), 2, y, s.cells, blend.data(), side.data());
      for (int i = 0; i < s.cells; ++i) {
        for (int c = 0; c < 4; ++c) {
          ASSERT_NEAR(side[i * 16 + 12 + c], Between(maps, 4, c, blocks, i, y), 1e-6)
              << blocks << " blocks, cell " << i << ", row " << y;
        }
        const double keep = Between(maps, 4, 0, blocks, i, y);
        const double clip = Between(maps, 4, 2, blocks, i, y);
        const double outlier = Between(maps, 4, 3, blocks, i, y);
        for (int j = 0; j < 12; ++j) {
          const double now = s.x[i * 12 + j], past = s.memory[i * 12 + j];
          const double d = now - past;
          const double above = std::max(d - clip, 0.0), below = std::min(d + clip, 0.0);
          ASSERT_EQ(side[i * 16 + j], s.x[i * 12 + j] - s.memory[i * 12 + j]);
          ASSERT_NEAR(blend[i * 12 + j], now - keep * (d - below) - outlier * above, 1e-6);
        }
      }
      EXPECT_EQ(blend.back(), 77.0f);
      EXPECT_EQ(side.back(), 77.0f);
    }
  }
}

TEST(CombineTest, CombiningFinishesTheFrame) {
  for (const int blocks : kBlocks) {
    Scene s(blocks);
    Floats maps = Random(static_cast<std::size_t>(2 * blocks) * 4, 0.5f, 7);
    for (float& value : maps) value = std::abs(value);
    // One value and one share of the first cell are spoilt.
    s.output[5] = kInfinity;
    s.output[12] = kNan;
    const GainField field = {s.gains.data(), blocks, 2};
    for (const int y : {0, 3, 7}) {
      Floats memory(s.memory.begin(), s.memory.begin() + s.Values(12, 1));
      memory.push_back(77.0f);
      Floats residual(s.Values(12, 1) + 1, 77.0f);
      CombineRow(s.output.data(), s.x.data(), maps.data(), field, y, s.cells, memory.data(),
                 residual.data());
      for (int i = 0; i < s.cells; ++i) {
        for (int j = 0; j < 12; ++j) {
          const int at = i * 12 + j;
          if (i == 0 && (j == 5 || j % 4 == 0)) {
            ASSERT_EQ(memory[at], s.x[at]);
            ASSERT_EQ(residual[at], 0.0f);
            continue;
          }
          const double gain = Between(s.gains, 3, j / 4, blocks, i, y);
          const double now = s.x[at], d = now - s.memory[at];
          const double clip = Between(maps, 4, 2, blocks, i, y);
          const double above = std::max(d - clip, 0.0), below = std::min(d + clip, 0.0);
          const double blend = now - Between(maps, 4, 0, blocks, i, y) * (d - below) -
                               Between(maps, 4, 3, blocks, i, y) * above;
          const double change = s.output[i * 16 + j] + gain * blend;
          const double share = Sigmoid(s.output[i * 16 + 12 + j % 4]);
          ASSERT_NEAR(memory[at], blend + share * change, 3e-6) << i << " " << j;
          ASSERT_NEAR(residual[at], blend + change - now, 3e-6) << i << " " << j;
        }
      }
      EXPECT_EQ(memory.back(), 77.0f);
      EXPECT_EQ(residual.back(), 77.0f);
    }
  }
}

// What makes a zero residual: a network that answers nothing, where nothing of the past is kept.
TEST(CombineTest, NothingAddedIsExactlyNothing) {
  const Scene s(9);
  const Floats output(s.Values(16, 1)), gains(s.gains.size()), maps(2 * 9 * kMapChannels);
  Floats memory(s.Values(12, 1)), residual(s.Values(12, 1), 1.0f);
  CombineRow(output.data(), s.x.data(), maps.data(), {gains.data(), 9, 2}, 3, s.cells,
             memory.data(), residual.data());
  for (std::size_t i = 0; i < residual.size(); ++i) {
    ASSERT_EQ(residual[i], 0.0f);
    ASSERT_EQ(memory[i], s.x[i]);
  }
}

TEST(CombineTest, SigmoidKeepsItsBound) {
  for (int i = 0; const CombineKernels* kernels = CombineKernelsVariant(i); ++i) {
    double worst = 0;
    Floats in(1003), out(in.size());
    for (int block = 0; block < 2000; ++block) {
      for (std::size_t j = 0; j < in.size(); ++j) {
        in[j] = static_cast<float>(-100 + 200.0 * (block * 1003.0 + j) / 2006000.0);
      }
      kernels->sigmoid(in.data(), static_cast<int>(in.size()), out.data());
      for (std::size_t j = 0; j < in.size(); ++j) {
        worst = std::max(worst, std::abs(out[j] - Sigmoid(static_cast<double>(in[j]))));
      }
    }
    EXPECT_LE(worst, static_cast<double>(kSigmoidError)) << kernels->name;
    const float odd[] = {0.0f, kInfinity, -kInfinity, 3e38f, -3e38f, kNan, -0.0f};
    float result[7];
    kernels->sigmoid(odd, 7, result);
    EXPECT_EQ(result[0], 0.5f);
    EXPECT_EQ(result[1], 1.0f);
    EXPECT_NEAR(result[2], 0.0f, 1e-30);
    EXPECT_EQ(result[3], 1.0f);
    EXPECT_NEAR(result[4], 0.0f, 1e-30);
    EXPECT_TRUE(std::isnan(result[5]));
    EXPECT_EQ(result[6], 0.5f);
  }
}

TEST(CombineTest, VariantsForAllCpusGiveTheSameBits) {
  Scene s(11);
  s.output[20] = kNan;
  const RowPair maps = {s.x.data(), s.x.data() + 44, 0.375f};
  const RowPair gains = {s.gains.data(), s.gains.data() + 33, 0.375f};
  const auto run = [&](const CombineKernels& kernels) {
    std::vector<Floats> all = {Floats(11 * kMotionInputs), Floats(11 * kMapChannels), s.count,
                               Floats(s.Values(12, 1)),    Floats(s.Values(16, 1)),   s.memory,
                               Floats(s.Values(12, 1)),    Floats(s.Values(16, 1))};
    std::vector<std::uint16_t> halves(all[4].size());
    kernels.motion(s.x.data(), s.memory.data(), s.count.data(), 11, all[0].data());
    kernels.keep(s.head.data(), 11, all[2].data(), all[1].data());
    kernels.blend(s.x.data(), s.memory.data(), maps, s.cells, all[3].data(), all[4].data());
    kernels.combine(s.output.data(), s.x.data(), maps, gains, s.cells, all[5].data(),
                    all[6].data());
    kernels.round(all[4].data(), static_cast<int>(halves.size()), halves.data());
    kernels.widen(halves.data(), static_cast<int>(halves.size()), all[7].data());
    return all;
  };
  const std::vector<Floats> wanted = run(*CombineKernelsVariant(0));
  for (int i = 1; const CombineKernels* kernels = CombineKernelsVariant(i); ++i) {
    const std::vector<Floats> got = run(*kernels);
    for (std::size_t j = 0; j < got.size(); ++j) {
      EXPECT_TRUE(SameBits(got[j], wanted[j])) << kernels->name << ", result " << j;
    }
  }
}

std::uint16_t Rounded(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  std::uint16_t rounded;
  RoundRow(&value, 1, &rounded);
  return rounded;
}

TEST(CombineTest, Bfloat16RoundsToNearestEven) {
  const struct {
    std::uint32_t in;
    std::uint16_t out;
  } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
               {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, {0x00000000, 0x0000},
               {0x80000000, 0x8000}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
               {0x7f7fffff, 0x7f80}, {0x00000001, 0x0000}, {0x0000ffff, 0x0001}};
  for (const auto& [in, out] : cases) EXPECT_EQ(Rounded(in), out) << std::hex << in;
  for (const std::uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xffc00000u, 0xffffffffu}) {
    EXPECT_EQ(Rounded(nan) & 0x7f80, 0x7f80) << std::hex << nan;
    EXPECT_NE(Rounded(nan) & 0x7f, 0) << std::hex << nan;
    EXPECT_EQ(Rounded(nan) >> 15, nan >> 31) << std::hex << nan;
  }
}

}  // namespace
}  // namespace cpl
