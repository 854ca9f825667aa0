// SPDX-License-Identifier: Apache-2.0
//
// The inner loops on bytes of each instruction set against plain C++, bit for bit. What the CPU
// lacks is skipped, and run with its product of bytes made of AVX2 (exec_int8_emulated.h) where
// its vectors are no wider than AVX2's.
#include "model/exec_int8_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/exec_int8_emulated.h"

namespace cpl::exec {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint8_t PlainByte(float value) {
  if (!(value < 255)) return 255;  // NaN too
  return value > 0 ? static_cast<std::uint8_t>(std::nearbyint(value)) : 0;
}

// The definition in exec_int8_kernels.h, number by number.
void PlainConv(const Int8Row& row, int channels) {
  for (int p = 0; p < row.pixels; ++p) {
    for (int c = 0; c < channels; ++c) {
      const std::int8_t* weights = row.weights;
      int sum = 0;
      for (int r = 0; r < row.run_count; ++r) {
        const Run& run = row.runs[r];
        const auto* const in = static_cast<const std::uint8_t*>(run.in) + p * run.step;
        for (int k = 0; k < run.length; ++k) {
          sum += in[k] * weights[(k / kInt8Quad * channels + c) * kInt8Quad + k % kInt8Quad];
        }
        weights += static_cast<std::ptrdiff_t>(run.length) * channels;
      }
      float value = std::fma(static_cast<float>(sum), row.scale[c], row.shift[c]);
      const std::ptrdiff_t at = p * row.step + c;
      if (row.add != nullptr) {
        value = std::fma(static_cast<float>(row.add[at]), row.add_scale[c], value);
      }
      if (row.wide) {
        static_cast<float*>(row.out)[at] = value;
      } else {
        static_cast<std::uint8_t*>(row.out)[at] = PlainByte(value);
      }
    }
  }
}

class Int8KernelsTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    kernels_ = Variant(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << "not on this CPU";
  }

 public:
  // By instruction set, so that the names of the tests are the same on every machine.
  static constexpr const char* kNames[] = {"avx2", "avxvnni", "avx512vnni", "emulated"};
  static const Kernels* Variant(int index) {
    if (std::string(kNames[index]) == "emulated") return EmulatedVnniKernels();
    for (int i = 0; const Kernels* next = Int8KernelsVariant(i); ++i) {
      if (next->name == std::string("int8 ") + kNames[index]) return next;
    }
    return nullptr;
  }

 protected:
  const Kernels* kernels_ = nullptr;
  std::mt19937 random_{1};

  int Between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  Bytes RandomBytes(std::size_t count) {
    Bytes bytes(count);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(Between(0, 255));
    return bytes;
  }
  std::vector<float> RandomFloats(std::size_t count, float most) {
    std::vector<float> values(count);
    for (float& value : values) value = std::uniform_real_distribution<float>(-most, most)(random_);
    return values;
  }
  // [quads][channels][4], as large as the kernels take: of the sums that AVX2 makes in 16 bits some
  // reach their limit exactly, in either direction.
  std::vector<std::int8_t> RandomWeights(int quads, int channels) {
    std::vector<std::int8_t> weights(static_cast<std::size_t>(quads) * channels * kInt8Quad);
    const auto at = [&](int quad, int channel, int i) -> std::int8_t& {
      return weights[(static_cast<std::size_t>(quad) * channels + channel) * kInt8Quad + i];
    };
    for (int quad = 0; quad < quads; quad += 2) {
      for (int channel = 0; channel < channels; ++channel) {
        for (int half = 0; half < kInt8Quad; half += 2) {
          const int sign = Between(0, 1) == 0 ? 1 : -1;
          int left = Between(0, 2) == 0 ? kInt8MostSum : kInt8MostSum / 3;
          for (int i = 0; i < 4; ++i) {
            const int most = std::min(left, 127), size = i == 3 ? most : Between(0, most);
            left -= size;
            at(quad + i / 2, channel, half + i % 2) = static_cast<std::int8_t>(sign * size);
          }
        }
      }
    }
    return weights;
  }
};

TEST_P(Int8KernelsTest, ConvolutionsArePlainBitForBit) {
  for (int vectors = 1; vectors <= kMaxBlock; ++vectors) {
    const int channels = vectors * kernels_->lanes;
    for (const int pixels : {1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 23, 24, 25, 31, 40}) {
      for (int kind = 0; kind < 4; ++kind) {
        SCOPED_TRACE(testing::Message()
                     << vectors << " vectors, " << pixels << " pixels, kind " << kind);
        const bool wide = kind % 2 != 0, adds = kind / 2 != 0;
        Int8Row row;
        row.pixels = pixels;
        row.wide = wide;
        row.step = channels + Between(0, 3) * kernels_->lanes;
        row.run_count = Between(1, 4);
        int quads = 0;
        std::vector<Bytes> inputs;
        for (int r = 0; r < row.run_count; ++r) {
          const int length = kInt8Turn * Between(1, 6), step = Between(1, 40);
          inputs.push_back(RandomBytes(static_cast<std::size_t>(step) * pixels + length));
          // All of them as large as can be: what could overflow does.
          if (Between(0, 3) == 0) std::fill(inputs.back().begin(), inputs.back().end(), 255);
          row.runs[r] = {nullptr, step, length};
          quads += length / kInt8Quad;
        }
        for (int r = 0; r < row.run_count; ++r) row.runs[r].in = inputs[r].data();
        const std::vector<std::int8_t> weights = RandomWeights(quads, channels);
        row.weights = weights.data();
        const std::vector<float> scale = RandomFloats(channels, 0.03f);
        std::vector<float> shift = RandomFloats(channels, 200);
        shift[0] = 1e20f;
        shift[1] = -1e20f;
        shift[2] = std::numeric_limits<float>::quiet_NaN();
        const std::vector<float> add_scale = RandomFloats(channels, 1);
        row.scale = scale.data();
        row.shift = shift.data();
        row.add_scale = add_scale.data();
        const std::size_t count = static_cast<std::size_t>(row.step) * pixels;
        const Bytes add = RandomBytes(count);
        row.add = adds ? add.data() : nullptr;
        // Compared as bytes, the untouched ones between the pixels too.
        Bytes got((count + 16) * (wide ? sizeof(float) : 1), 77), wanted = got;
        row.out = got.data();
        kernels_->int8->conv[vectors - 1](row);
        row.out = wanted.data();
        PlainConv(row, channels);
        ASSERT_EQ(got, wanted);
      }
    }
  }
}

TEST_P(Int8KernelsTest, QuantiseIsPlainBitForBit) {
  for (const int period : {16, 48, 64}) {
    for (const int periods : {1, 2, 5}) {
      const int count = period * periods;
      std::vector<float> from = RandomFloats(count, 3);
      from[3] = std::numeric_limits<float>::quiet_NaN();
      from[4] = std::numeric_limits<float>::infinity();
      from[5] = -std::numeric_limits<float>::infinity();
      from[6] = 3e38f;
      const std::vector<float> scale = RandomFloats(period, 90), shift = RandomFloats(period, 200);
      Bytes got(count + 16, 77), wanted = got;
      kernels_->int8->quantise(from.data(), count, scale.data(), shift.data(), period, got.data());
      for (int i = 0; i < count; ++i) {
        wanted[i] = PlainByte(std::fma(from[i], scale[i % period], shift[i % period]));
      }
      ASSERT_EQ(got, wanted) << period << " x " << periods;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Int8KernelsTest,
                         testing::Range(0, static_cast<int>(std::size(Int8KernelsTest::kNames))),
                         [](const auto& variant) {
                           return std::string(Int8KernelsTest::kNames[variant.param]);
                         });

// The best comes last, and each is what its name says.
TEST(Int8Kernels, AreChosenByTheCpu) {
  const Kernels* last = nullptr;
  for (int i = 0; const Kernels* next = Int8KernelsVariant(i); ++i) {
    EXPECT_EQ(next->element, Element::kU8);
    EXPECT_EQ(std::string(next->name).rfind("int8 ", 0), 0u);
    last = next;
  }
  EXPECT_EQ(Int8Kernels(), last);
}

}  // namespace
}  // namespace cpl::exec
