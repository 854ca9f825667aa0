// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the CUDA kernels, compiled for the host: against the reference of
// pixel_picture.h, and bit for bit against the pixel paths of the CPU. With CPL_KERNEL_TABLE=FILE
// in the environment, what was checked is written there as a table (tests/cuda/logs.sh).
#include "cuda/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "model/combine.h"
#include "model/pixels.h"
#include "model/router_state.h"
#include "tests/pixel_checks.h"
#include "tests/pixel_picture.h"

namespace cpl::cuda {
namespace {

using test::CheckWritten;
using test::Describe;
using test::ForEachKind;
using test::FormatFacts;
using test::kFormats;
using test::PixelFrame;
using test::RandomResidual;
using test::ReferenceRgb;
using test::Size;
using test::Stride;
using test::Triple;

// Frames that were read, written and copied in place, by format and size.
class Table final : public testing::Environment {
 public:
  void Add(const FormatFacts& format, Size size) {
    const std::string column = std::to_string(size.width) + "x" + std::to_string(size.height);
    if (std::find(columns_.begin(), columns_.end(), column) == columns_.end()) {
      columns_.push_back(column);
    }
    const std::string row = FormatInfoOf(format.format).name;
    if (std::find(rows_.begin(), rows_.end(), row) == rows_.end()) rows_.push_back(row);
    ++frames_[{row, column}];
  }
  void TearDown() override {
    const char* path = std::getenv("CPL_KERNEL_TABLE");
    if (path == nullptr) return;
    std::ofstream file(path);
    file << std::left << std::setw(12) << "frames" << std::right;
    for (const std::string& column : columns_) file << std::setw(9) << column;
    for (const std::string& row : rows_) {
      file << "\n" << std::left << std::setw(12) << row << std::right;
      for (const std::string& column : columns_) file << std::setw(9) << frames_[{row, column}];
    }
    file << "\n";
  }

 private:
  std::vector<std::string> rows_, columns_;
  std::map<std::pair<std::string, std::string>, int> frames_;
};
Table* const table =
    static_cast<Table*>(testing::AddGlobalTestEnvironment(new Table));  // GoogleTest's from here on

// Memory as GPUs align it.
template <typename T>
struct Aligned {
  explicit Aligned(std::size_t count) : room(count * sizeof(T) + 64), size(count) {
    const auto address = reinterpret_cast<std::uintptr_t>(room.data());
    data = reinterpret_cast<T*>(room.data() + (16 - address % 16) % 16);
  }
  T& operator[](std::size_t i) { return data[i]; }
  std::vector<std::uint8_t> room;
  std::size_t size;
  T* data;
};

int PaddedTo(int cells, int multiple) { return (cells + multiple - 1) / multiple * multiple; }

// A frame whose planes and strides allow wide accesses, as a GPU's allocator makes them.
struct WideFrame {
  WideFrame(const PixelFrame& like) : view(like.view) {
    for (int p = 0; p < like.facts.planes; ++p) {
      stride = PaddedTo(like.row_bytes[p], 32);
      planes.emplace_back(static_cast<std::size_t>(stride) * like.rows[p]);
      std::memset(planes.back().data, 0xa5, planes.back().size);
      for (int y = 0; y < like.rows[p]; ++y) {
        std::memcpy(planes.back().data + stride * y, like.view.plane[p] + like.view.stride[p] * y,
                    static_cast<std::size_t>(like.row_bytes[p]));
      }
      view.plane[p] = planes.back().data;
      view.stride[p] = stride;
    }
  }
  void CopyTo(PixelFrame* to) const {
    for (int p = 0; p < to->facts.planes; ++p) {
      for (int y = 0; y < to->rows[p]; ++y) {
        std::memcpy(to->view.plane[p] + to->view.stride[p] * y, view.plane[p] + view.stride[p] * y,
                    static_cast<std::size_t>(to->row_bytes[p]));
      }
    }
  }
  bool PaddingIsUntouched(const PixelFrame& like) const {
    for (int p = 0; p < like.facts.planes; ++p) {
      for (int y = 0; y < like.rows[p]; ++y) {
        for (std::ptrdiff_t x = like.row_bytes[p]; x < view.stride[p]; ++x) {
          if (view.plane[p][view.stride[p] * y + x] != 0xa5) return false;
        }
      }
    }
    return true;
  }
  std::vector<Aligned<std::uint8_t>> planes;
  int stride = 0;
  FrameView view;
};

TEST(CudaKernelsTest, ReadingAgreesWithTheReferenceAndTheCpu) {
  ForEachKind([](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size,
                 Stride kind) {
    const PixelFrame frame(format, matrix, range, size, kind, 21);
    const WideFrame wide(frame);
    const int across = PaddedTo(CellsAcross(size.width), 8);
    const int down = PaddedTo(CellsAcross(size.height), 8);
    const auto values = static_cast<std::size_t>(across) * down * 12;
    for (const FrameView& view : {frame.view, wide.view}) {
      const Picture picture = MakePicture(view);
      EXPECT_TRUE(picture.wide || view.plane[0] != wide.view.plane[0]);
      Aligned<float> cells(values);
      ASSERT_EQ(
          HostKernels().read_cells(picture, across, down, Dtype::kFloat32, cells.data, nullptr), 0);
      std::vector<float> row(static_cast<std::size_t>(CellsAcross(size.width)) * 12);
      for (int cy = 0; cy < down; ++cy) {
        ReadCellRow(AsConst(frame.view), std::min(cy, CellsAcross(size.height) - 1), row.data());
        for (int cx = 0; cx < across; ++cx) {
          const int last = std::min(cx, CellsAcross(size.width) - 1);
          const float* cell = cells.data + (static_cast<std::ptrdiff_t>(cy) * across + cx) * 12;
          ASSERT_EQ(std::memcmp(cell, row.data() + 12 * last, 12 * sizeof(float)), 0)
              << Describe(view) << " cell " << cx << "," << cy;
          if (cx != last || cy >= CellsAcross(size.height)) continue;
          for (int p = 0; p < 4; ++p) {
            const int x = std::min(2 * cx + p % 2, size.width - 1);
            const int y = std::min(2 * cy + p / 2, size.height - 1);
            const Triple rgb = ReferenceRgb(frame, x, y);
            for (int c = 0; c < 3; ++c) ASSERT_NEAR(cell[4 * c + p], (rgb.c[c] - 0.5) * 4, 1e-5);
          }
        }
      }
    }
    table->Add(format, size);
  });
}

TEST(CudaKernelsTest, WritingAgreesWithTheReferenceAndTheCpu) {
  ForEachKind(
      [](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
        const PixelFrame in(format, matrix, range, size, kind, 22);
        const WideFrame wide_in(in);
        const std::vector<float> residual = RandomResidual(in.view, 23);
        const int cells = CellsAcross(size.width), across = PaddedTo(cells, 4);
        Aligned<float> padded(static_cast<std::size_t>(across) * CellsAcross(size.height) * 12);
        for (int y = 0; y < CellsAcross(size.height); ++y) {
          std::memcpy(padded.data + std::ptrdiff_t{12} * across * y,
                      residual.data() + std::ptrdiff_t{12} * cells * y,
                      sizeof(float) * 12 * static_cast<std::size_t>(cells));
        }
        for (const float strength : {1.0f, 0.37f}) {
          const WriteFactors factors = MakeWriteFactors(matrix, range, format.bits, strength);
          PixelFrame cpu(format, matrix, range, size, Stride::kPadded, 24);
          for (int y = 0; y < CellsAcross(size.height); ++y) {
            WriteCellRow(AsConst(in.view), cpu.view, y,
                         residual.data() + std::ptrdiff_t{12} * cells * y, strength);
          }
          PixelFrame out(format, matrix, range, size, Stride::kNegative, 25);
          const std::vector<std::uint8_t> guard = out.Guard();
          HostKernels().write_cells(MakePicture(in.view), MakePicture(out.view), factors, across,
                                    Dtype::kFloat32, padded.data, nullptr);
          ASSERT_NO_FATAL_FAILURE(CheckWritten(in, out, residual, static_cast<double>(strength)));
          ASSERT_EQ(out.Guard(), guard) << Describe(out.view);
          ASSERT_EQ(out.Pixels(), cpu.Pixels()) << Describe(out.view);

          WideFrame wide_out(out);
          HostKernels().write_cells(MakePicture(wide_in.view), MakePicture(wide_out.view), factors,
                                    across, Dtype::kFloat32, padded.data, nullptr);
          PixelFrame back(format, matrix, range, size, Stride::kTight, 26);
          wide_out.CopyTo(&back);
          ASSERT_EQ(back.Pixels(), cpu.Pixels()) << Describe(wide_out.view);
          ASSERT_TRUE(wide_out.PaddingIsUntouched(out)) << Describe(wide_out.view);
          table->Add(format, size);
        }
      });
}

TEST(CudaKernelsTest, InPlaceAndNothingAddedKeepEveryBit) {
  ForEachKind([](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size,
                 Stride kind) {
    const PixelFrame in(format, matrix, range, size, kind, 27);
    PixelFrame same(format, matrix, range, size, kind, 27);
    const int across = PaddedTo(CellsAcross(size.width), 4);
    Aligned<std::uint16_t> halves(static_cast<std::size_t>(across) * CellsAcross(size.height) * 12);
    const WriteFactors factors = MakeWriteFactors(matrix, range, format.bits, 1.0f);
    for (const auto& [bits, dtype] : {std::pair{0x0000, Dtype::kFloat16},
                                      {0x8000, Dtype::kBFloat16},
                                      {0x7e00, Dtype::kFloat16}}) {  // a NaN
      for (std::size_t i = 0; i < halves.size; ++i) halves[i] = static_cast<std::uint16_t>(bits);
      HostKernels().write_cells(MakePicture(same.view), MakePicture(same.view), factors, across,
                                dtype, halves.data, nullptr);
      ASSERT_EQ(same.Pixels(), in.Pixels()) << Describe(in.view);
      table->Add(format, size);
    }
  });
}

TEST(CudaKernelsTest, CroppedPicturesAreThoseOfTheCpu) {
  for (const FormatFacts& format : kFormats) {
    const PixelFrame frame(format, ColorMatrix::kBT709, ColorRange::kLimited, {70, 50},
                           Stride::kPadded, 28);
    for (const auto& [x, y] : {std::pair{0, 0}, {6, 4}, {38, 18}}) {
      const ConstFrameView cpu = Crop(AsConst(frame.view), x, y, 32, 31);
      const Picture gpu = CropPicture(MakePicture(frame.view), x, y, 32, 31);
      for (int p = 0; p < format.planes; ++p) EXPECT_EQ(cpu.plane[p], gpu.plane[p]);
      EXPECT_EQ(gpu.width, 32);
      EXPECT_EQ(gpu.height, 31);
    }
  }
}

TEST(CudaKernelsTest, ScenesAreJudgedAsOnTheCpu) {
  for (const FormatFacts& format : kFormats) {
    for (const Size size : {Size{64, 48}, {16, 16}, {17, 131}, {200, 33}}) {
      SceneCut cpu;
      SceneState gpu = {};
      LookJob job;
      const auto see = [&](const PixelFrame& frame) {
        job.in = MakePicture(frame.view);
        HostKernels().judge_scene(&job, &gpu, nullptr);
        return gpu.cut != 0;
      };
      const PixelFrame first(format, ColorMatrix::kBT601, ColorRange::kFull, size, Stride::kTight,
                             29);
      PixelFrame other(format, ColorMatrix::kBT601, ColorRange::kFull, size, Stride::kPadded, 30);
      for (int y = 0; y < other.rows[0]; ++y) {
        std::memset(other.view.plane[0] + other.view.stride[0] * y, 0,
                    static_cast<std::size_t>(other.row_bytes[0]));
      }
      int cuts = 0;
      for (const PixelFrame* frame :
           std::initializer_list<const PixelFrame*>{&first, &first, &other, &other, &first}) {
        const bool wanted = cpu.Update(AsConst(frame->view));
        EXPECT_EQ(see(*frame), wanted) << Describe(frame->view);
        EXPECT_EQ(std::memcmp(gpu.tone, &cpu.tone().counts()[0][0], sizeof(gpu.tone)), 0)
            << Describe(frame->view);
        cuts += wanted;
      }
      EXPECT_EQ(cuts, 2) << Describe(first.view);
    }
  }
}

TEST(CudaKernelsTest, PatchesAreThoseOfTheCpu) {
  for (const Size size : {Size{200, 150}, {64, 64}, {40, 90}, {17, 19}}) {
    const PixelFrame frame(kFormats[0], ColorMatrix::kBT709, ColorRange::kLimited, size,
                           Stride::kTight, 31);
    const int count = 5;
    std::vector<float> wanted(std::size_t{count} * 32 * 32 * 12);
    ReadRouterPatches(AsConst(frame.view), 3, count, wanted.data());
    LookJob job;
    job.in = MakePicture(frame.view);
    job.count = count;
    for (int i = 0; i < count; ++i) {
      const PatchPlace place = RouterPatchPlace(size.width, size.height, 3 + i);
      job.place[i] = {static_cast<std::int16_t>(place.x), static_cast<std::int16_t>(place.y)};
    }
    Aligned<float> patches(wanted.size());
    HostKernels().read_patches(&job, count, patches.data, nullptr);
    EXPECT_EQ(std::memcmp(patches.data, wanted.data(), wanted.size() * sizeof(float)), 0);
  }
}

TEST(CudaKernelsTest, HalvesRoundToNearestEven) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = FromFloat16(half);
    _Float16 same;
    std::memcpy(&same, &half, 2);
    if (std::isnan(value)) {
      EXPECT_TRUE((half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0);
      EXPECT_TRUE(std::isnan(FromFloat16(ToFloat16(value))));
      continue;
    }
    ASSERT_EQ(value, static_cast<float>(same)) << bits;
    ASSERT_EQ(ToFloat16(value), half) << bits;
  }
  std::mt19937 random(32);
  for (int i = 0; i < 2000000; ++i) {
    std::uint32_t bits = static_cast<std::uint32_t>(random());
    // Half of them near what a half can hold.
    if (i % 2 == 0) bits = (bits & 0x8fffffffu) | 0x30000000u;
    const float value = FloatOf(bits);
    if (std::isnan(value)) continue;
    const auto wanted = static_cast<_Float16>(value);
    std::uint16_t half;
    std::memcpy(&half, &wanted, 2);
    ASSERT_EQ(ToFloat16(value), half) << std::hex << bits;
    std::uint16_t brain;
    RoundRow(&value, 1, &brain);
    ASSERT_EQ(ToBFloat16(value), brain) << std::hex << bits;
  }
}

struct Scene {
  Scene(Size frame_size, Dtype type, const FormatFacts& format)
      : size(frame_size),
        dtype(type),
        across(PaddedTo(CellsAcross(size.width), 8)),
        down(PaddedTo(CellsAcross(size.height), 8)),
        in(format, ColorMatrix::kBT709, ColorRange::kLimited, size, Stride::kPadded, 33),
        out(format, ColorMatrix::kBT709, ColorRange::kLimited, size, Stride::kTight, 34),
        memory(Cells(12)),
        count(Blocks(1)),
        next(Blocks(1)),
        features(Blocks(kMotionInputs)),
        head(Blocks(kMotionOutputs)),
        maps(Blocks(4)),
        blend(Cells(12)),
        side(Cells(16)),
        output(Cells(16)),
        field(Blocks(3)) {
    Fill(memory, 2);
    Fill(head, 6);
    for (std::size_t i = 0; i < count.size; ++i) count[i] = static_cast<float>(random() % 16);
    for (std::size_t i = 0; i < output.size; ++i) Put(output, i, Random(1.5f));
    for (std::size_t i = 0; i < field.size; ++i) Put(field, i, Random(0.3f));
    job.in = MakePicture(in.view);
    job.out = MakePicture(out.view);
    job.write = MakeWriteFactors(in.view.matrix, in.view.range, format.bits, 0.8f);
    job.past = 1;
    r.across = across;
    r.down = down;
    r.dtype = dtype;
    r.job = &job;
    r.scene = &scene;
    r.memory = memory.data;
    r.count = count.data;
    r.next = next.data;
    r.features = features.data;
    r.head = head.data;
    r.maps = maps.data;
    r.blend = blend.data;
    r.side = side.data;
    r.output = output.data;
    r.field = field.data;
  }
  std::size_t Cells(int channels) const {
    return static_cast<std::size_t>(across) * down * channels;
  }
  std::size_t Blocks(int channels) const { return Cells(channels) / 16; }
  float Random(float scale) {
    return scale * (static_cast<float>(random()) / 2147483648.0f - 1.0f);
  }
  void Fill(Aligned<float>& array, float scale) {
    for (std::size_t i = 0; i < array.size; ++i) array[i] = Random(scale);
  }
  // Arrays of dtype lie in memory for floats, at their own pitch.
  void Put(Aligned<float>& array, std::size_t i, float value) {
    if (dtype == Dtype::kFloat32) {
      array[i] = value;
    } else {
      reinterpret_cast<std::uint16_t*>(array.data)[i] =
          dtype == Dtype::kFloat16 ? ToFloat16(value) : ToBFloat16(value);
    }
  }
  std::vector<float> Get(const Aligned<float>& array) const {
    std::vector<float> values(array.size);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = LoadValue(dtype, array.data, static_cast<std::ptrdiff_t>(i));
    }
    return values;
  }

  std::mt19937 random{35};
  Size size;
  Dtype dtype;
  int across, down;
  PixelFrame in, out;
  Aligned<float> memory, count, next, features, head, maps, blend, side, output, field;
  FrameJob job;
  SceneState scene = {};
  Recurrence r;
};

// combine.h's functions, which other tests hold to the definition, from the same inputs.
void ExpectAsOnTheCpu(Size size, Dtype dtype, const FormatFacts& format, bool past, bool in_place) {
  Scene s(size, dtype, format);
  if (in_place) s.job.out = s.job.in;
  const int blocks = s.across / 4, blocks_y = s.down / 4;
  s.job.past = past;
  std::vector<float> x(s.Cells(12)), memory(s.memory.data, s.memory.data + s.Cells(12)),
      count(s.count.data, s.count.data + s.Blocks(1));
  for (int y = 0; y < s.down; ++y) {
    float* row = x.data() + std::ptrdiff_t{12} * s.across * y;
    ReadCellRow(AsConst(s.in.view), std::min(y, CellsAcross(size.height) - 1), row);
    for (int cx = CellsAcross(size.width); cx < s.across; ++cx) {
      std::memcpy(row + 12 * cx, row + 12 * (CellsAcross(size.width) - 1), 48);
    }
  }
  if (!past) {
    memory = x;
    std::fill(count.begin(), count.end(), 0.0f);
    // What nobody has written yet must not matter.
    for (std::size_t i = 0; i < s.memory.size; ++i) s.memory[i] = std::nanf("");
    for (std::size_t i = 0; i < s.count.size; ++i) s.count[i] = std::nanf("");
  }
  const Kernels& kernels = HostKernels();
  kernels.motion(s.r, nullptr);
  std::vector<float> features(s.Blocks(kMotionInputs));
  for (int b = 0; b < blocks_y; ++b) {
    const std::ptrdiff_t at = std::ptrdiff_t{48} * s.across * b;
    MotionRow(x.data() + at, memory.data() + at, count.data() + b * blocks, blocks,
              features.data() + std::ptrdiff_t{kMotionInputs} * blocks * b);
  }
  for (std::size_t i = 0; i < features.size(); ++i) ASSERT_NEAR(s.features[i], features[i], 1e-5);

  kernels.keep(s.r, nullptr);
  std::vector<float> maps(s.Blocks(4));
  KeepBlocks(s.head.data, blocks * blocks_y, count.data(), maps.data());
  for (std::size_t i = 0; i < maps.size(); ++i) ASSERT_EQ(s.maps[i], maps[i]) << i;
  for (std::size_t i = 0; i < count.size(); ++i) ASSERT_EQ(s.next[i], count[i]) << i;

  kernels.blend(s.r, nullptr);
  std::vector<float> blend(s.Cells(12)), side(s.Cells(16));
  const std::vector<float> got_blend = s.Get(s.blend), got_side = s.Get(s.side);
  const std::vector<float> output = s.Get(s.output), gains = s.Get(s.field);
  const float round = dtype == Dtype::kFloat32 ? 0 : dtype == Dtype::kFloat16 ? 1e-3f : 1e-2f;
  for (int y = 0; y < s.down; ++y) {
    const std::ptrdiff_t at = std::ptrdiff_t{12} * s.across * y, side_at = at / 12 * 16;
    BlendRow(x.data() + at, memory.data() + at, maps.data(), blocks_y, y, s.across,
             blend.data() + at, side.data() + side_at);
  }
  for (std::size_t i = 0; i < blend.size(); ++i) {
    ASSERT_NEAR(got_blend[i], blend[i], 1e-6 + round * std::abs(blend[i])) << i;
  }
  for (std::size_t i = 0; i < side.size(); ++i) {
    ASSERT_NEAR(got_side[i], side[i], 1e-6 + round * std::abs(side[i])) << i;
  }

  // A frame that fails before the last pass is begun again, as if nothing had been.
  for (std::size_t i = 0; i < maps.size(); ++i) s.maps[i] = std::nanf("");
  kernels.motion(s.r, nullptr);
  kernels.keep(s.r, nullptr);
  for (std::size_t i = 0; i < maps.size(); ++i) ASSERT_EQ(s.maps[i], maps[i]) << i;

  kernels.finish(s.r, nullptr);
  for (std::size_t i = 0; i < count.size(); ++i) ASSERT_EQ(s.count[i], count[i]) << i;
  const PixelFrame in(format, s.in.view.matrix, s.in.view.range, size, Stride::kPadded, 33);
  PixelFrame out(format, s.in.view.matrix, s.in.view.range, size, Stride::kTight, 36);
  std::vector<float> residual(static_cast<std::size_t>(s.across) * 12);
  for (int y = 0; y < s.down; ++y) {
    const std::ptrdiff_t at = std::ptrdiff_t{12} * s.across * y;
    CombineRow(output.data() + at / 12 * 16, x.data() + at, maps.data(),
               {gains.data(), blocks, blocks_y}, y, s.across, memory.data() + at, residual.data());
    if (y < CellsAcross(size.height)) {
      WriteCellRow(AsConst(in.view), out.view, y, residual.data(), 0.8f);
    }
  }
  for (std::size_t i = 0; i < memory.size(); ++i) ASSERT_NEAR(s.memory[i], memory[i], 3e-6) << i;
  const std::vector<std::uint8_t> got = (in_place ? s.in : s.out).Pixels(), wanted = out.Pixels();
  int differ = 0;
  for (std::size_t i = 0; i < got.size(); ++i) differ += got[i] != wanted[i];
  // The same to within a tie that rounds the other way.
  EXPECT_LE(differ, static_cast<int>(got.size() / 2000)) << Describe(s.in.view);
}

TEST(CudaKernelsTest, TheRecurrenceIsThatOfTheCpu) {
  for (const Size size : {Size{64, 48}, {33, 19}, {16, 70}}) {
    for (const Dtype dtype : {Dtype::kFloat32, Dtype::kFloat16, Dtype::kBFloat16}) {
      for (const bool past : {true, false}) {
        for (const bool in_place : {true, false}) {
          ASSERT_NO_FATAL_FAILURE(ExpectAsOnTheCpu(size, dtype, kFormats[0], past, in_place));
        }
      }
    }
  }
  for (const FormatFacts& format : kFormats) {
    ASSERT_NO_FATAL_FAILURE(ExpectAsOnTheCpu({38, 21}, Dtype::kFloat16, format, true, true));
  }
}

// What is not finite in the network's output spoils neither the memory nor the frame.
TEST(CudaKernelsTest, SpoiltValuesLeaveTheFrameAsItIs) {
  Scene s({32, 16}, Dtype::kFloat16, kFormats[0]);
  for (std::size_t i = 0; i < s.output.size; ++i) s.Put(s.output, i, std::nanf(""));
  HostKernels().motion(s.r, nullptr);
  HostKernels().keep(s.r, nullptr);
  HostKernels().blend(s.r, nullptr);
  HostKernels().finish(s.r, nullptr);
  EXPECT_EQ(s.out.Pixels(), s.in.Pixels());
  for (std::size_t i = 0; i < s.memory.size; ++i) ASSERT_TRUE(std::isfinite(s.memory[i]));
}

}  // namespace
}  // namespace cpl::cuda
