// SPDX-License-Identifier: Apache-2.0
//
// What stands between a frame and the network, each path against a memcpy that moves as many bytes
// (read and written together), in turns within one run, on one thread, with buffers of whole
// frames.
//
//   bench/pixel_paths [WIDTH HEIGHT [TURNS]]
//
// Prints a table in Markdown: medians of the thread's CPU time, and of the turns' ratios.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "model/combine.h"
#include "model/combine_kernels.h"
#include "model/exec_narrow.h"
#include "model/pixels.h"

namespace {

using cpl::PixelFormat;
using Floats = std::vector<float>;
using Halves = std::vector<std::uint16_t>;

constexpr PixelFormat kFormats[] = {PixelFormat::kNV12, PixelFormat::kI420, PixelFormat::kRGB,
                                    PixelFormat::kRGBA, PixelFormat::kP010, PixelFormat::kI420_10,
                                    PixelFormat::kY42B, PixelFormat::kY444, PixelFormat::kGRAY8};

// Of this thread's CPU, so that other programs disturb little.
double Milliseconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
  };
  const double begin = now();
  work();
  return now() - begin;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

Floats Random(std::size_t count, float scale) {
  static std::mt19937 random(1);
  Floats values(count);
  for (float& value : values) {
    value = scale * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
  }
  return values;
}

class Frame {
 public:
  Frame(PixelFormat format, int width, int height) {
    view_.format = format;
    view_.width = width;
    view_.height = height;
    const cpl::FormatInfo info = cpl::FormatInfoOf(format);
    for (int p = 0; p < info.planes; ++p) {
      const std::ptrdiff_t row = cpl::PlaneRowBytes(info, p, width);
      planes_[p].resize(static_cast<std::size_t>(row) * cpl::PlaneRows(info, p, height));
      for (std::size_t i = 0; i < planes_[p].size(); ++i) {
        planes_[p][i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
      }
      view_.plane[p] = planes_[p].data();
      view_.stride[p] = row;
      bytes_ += static_cast<double>(planes_[p].size());
    }
  }
  const cpl::FrameView& view() const { return view_; }
  double bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> planes_[3];
  cpl::FrameView view_;
  double bytes_ = 0;
};

class Table {
 public:
  // `most`: bytes of the largest path.
  Table(int turns, double most)
      : turns_(turns), from_(static_cast<std::size_t>(most / 2), 1), to_(from_.size(), 2) {
    std::printf("| path | MB moved | ms | memcpy ms | ratio |\n|---|---:|---:|---:|---:|\n");
  }

  // `bytes`: read and written.
  void Add(const std::string& name, double bytes, const std::function<void()>& path) {
    const std::size_t half = std::min(from_.size(), static_cast<std::size_t>(bytes / 2));
    constexpr std::size_t kRow = 1 << 15;  // as the paths go, row by row
    const auto copy = [&] {
      for (std::size_t at = 0; at < half; at += kRow) {
        std::memcpy(to_.data() + at, from_.data() + at, std::min(kRow, half - at));
      }
    };
    std::vector<double> paths, copies, ratios;
    path();
    for (int i = 0; i < turns_; ++i) {
      paths.push_back(Milliseconds(path));
      copies.push_back(Milliseconds(copy));
      ratios.push_back(paths.back() / copies.back());
    }
    std::printf("| %s | %.2f | %.3f | %.3f | %.2f |\n", name.c_str(), bytes * 1e-6, Median(paths),
                Median(copies), Median(ratios));
    std::fflush(stdout);
  }

 private:
  int turns_;
  std::vector<char> from_, to_;
};

void AddFormats(Table* table, int width, int height) {
  const int across = cpl::CellsAcross(width), down = cpl::CellsAcross(height);
  const std::size_t row = static_cast<std::size_t>(across) * cpl::kCellChannels;
  const Floats residual = Random(row * down, 0.3f);
  Floats cells(row * down);
  const double floats = static_cast<double>(row * down * sizeof(float));
  for (const PixelFormat format : kFormats) {
    const Frame in(format, width, height), out(format, width, height);
    const std::string name = cpl::FormatInfoOf(format).name;
    table->Add("ReadCellRow " + name, in.bytes() + floats, [&] {
      for (int y = 0; y < down; ++y) {
        cpl::ReadCellRow(cpl::AsConst(in.view()), y, cells.data() + row * y);
      }
    });
    table->Add("WriteCellRow " + name, 2 * in.bytes() + floats, [&] {
      for (int y = 0; y < down; ++y) {
        cpl::WriteCellRow(cpl::AsConst(in.view()), out.view(), y, residual.data() + row * y, 0.9f);
      }
    });
  }
}

void AddRecurrence(Table* table, int width, int height) {
  constexpr int kScale = cpl::kMotionScale;
  const int blocks_x = cpl::CellsAcross(width) / kScale;
  const int blocks_y = cpl::CellsAcross(height) / kScale;
  const int across = blocks_x * kScale, down = blocks_y * kScale, blocks = blocks_x * blocks_y;
  const std::size_t row = static_cast<std::size_t>(across) * cpl::kCellChannels;
  const std::size_t wide = static_cast<std::size_t>(across) * cpl::kOutputChannels;
  const double plane = static_cast<double>(row * down * sizeof(float));
  const double wide_plane = static_cast<double>(wide * down * sizeof(float));
  const Floats x = Random(row * down, 2), output = Random(wide * down, 0.5f);
  const Floats head = Random(static_cast<std::size_t>(blocks) * cpl::kMotionOutputs, 4);
  const Floats gains = Random(static_cast<std::size_t>(blocks) * cpl::kFieldChannels, 0.2f);
  Floats memory = Random(row * down, 2), blend(row * down), side(wide * down), residual(row * down);
  Floats features(static_cast<std::size_t>(blocks) * cpl::kMotionInputs);
  Floats maps(static_cast<std::size_t>(blocks) * cpl::kMapChannels);
  Floats count(static_cast<std::size_t>(blocks), 3);
  Halves halves(wide * down);
  const cpl::GainField field = {gains.data(), blocks_x, blocks_y};

  table->Add("MotionRow", 2 * plane + static_cast<double>(features.size() * 4), [&] {
    for (int y = 0; y < blocks_y; ++y) {
      const std::size_t at = row * kScale * y;
      cpl::MotionRow(x.data() + at, memory.data() + at, count.data() + blocks_x * y, blocks_x,
                     features.data() + static_cast<std::size_t>(blocks_x) * cpl::kMotionInputs * y);
    }
  });
  table->Add("KeepBlocks", blocks * 4.0 * (cpl::kMotionOutputs + 2 + cpl::kMapChannels),
             [&] { cpl::KeepBlocks(head.data(), blocks, count.data(), maps.data()); });
  table->Add("BlendRow", 3 * plane + wide_plane, [&] {
    for (int y = 0; y < down; ++y) {
      cpl::BlendRow(x.data() + row * y, memory.data() + row * y, maps.data(), blocks_y, y, across,
                    blend.data() + row * y, side.data() + wide * y);
    }
  });
  table->Add("CombineRow", 4 * plane + wide_plane, [&] {
    for (int y = 0; y < down; ++y) {
      cpl::CombineRow(output.data() + wide * y, x.data() + row * y, maps.data(), field, y, across,
                      memory.data() + row * y, residual.data() + row * y);
    }
  });
  table->Add("RoundRow", 1.5 * wide_plane, [&] {
    for (int y = 0; y < down; ++y) {
      cpl::RoundRow(side.data() + wide * y, static_cast<int>(wide), halves.data() + wide * y);
    }
  });
  table->Add("WidenRow", 1.5 * wide_plane, [&] {
    for (int y = 0; y < down; ++y) {
      cpl::WidenRow(halves.data() + wide * y, static_cast<int>(wide), side.data() + wide * y);
    }
  });
}

// The same in 16 bits, in one variant.
void AddNarrow(Table* table, const cpl::exec::NarrowRows& narrow, int width, int height) {
  using cpl::exec::Fixed;
  const int blocks_x = cpl::CellsAcross(width) / cpl::kMotionScale;
  const int blocks_y = cpl::CellsAcross(height) / cpl::kMotionScale;
  const int across = blocks_x * cpl::kMotionScale, down = blocks_y * cpl::kMotionScale;
  const std::size_t blocks = static_cast<std::size_t>(blocks_x) * blocks_y;
  const std::size_t row = static_cast<std::size_t>(across) * cpl::kCellChannels;
  const std::size_t wide = static_cast<std::size_t>(across) * cpl::kOutputChannels;
  const double plane = static_cast<double>(row * down * sizeof(Fixed));
  const double wide_plane = static_cast<double>(wide * down);  // of bytes
  const Floats x = Random(row * down, 2), past = Random(row * down, 2);
  const Floats output = Random(wide * down, 0.5f), gains = Random(blocks * 3, 0.2f);
  const Floats maps(blocks * cpl::kMapChannels), count(blocks, 3);
  Floats residual(row * down), features(blocks * cpl::kMotionInputs);
  Floats scratch(cpl::exec::ScratchFloats(blocks_x));
  std::vector<Fixed> x16(row * down), memory(row * down);
  const std::string name = std::string(" of 16 bits, ") + narrow.name;
  const auto fix = [&](const Floats& from, std::vector<Fixed>* to) {
    for (int y = 0; y < down; ++y) {
      narrow.fix(from.data() + row * y, static_cast<int>(row), to->data() + row * y);
    }
  };
  // blend or blend_bytes
  const auto blend = [&](auto function, auto* blended, auto* side) {
    for (int y = 0; y < down; ++y) {
      function(x16.data() + row * y,
               cpl::RowsBetween(maps.data(), blocks_x, blocks_y, cpl::kMapChannels, y), across,
               scratch.data(), memory.data() + row * y, blended->data() + row * y,
               side->data() + wide * y);
    }
  };
  fix(past, &memory);
  table->Add("fix" + name, 3 * plane, [&] { fix(x, &x16); });
  table->Add("motion" + name, 2 * plane + static_cast<double>(features.size() * 4), [&] {
    for (int y = 0; y < blocks_y; ++y) {
      const std::size_t at = row * cpl::kMotionScale * y;
      narrow.motion(x16.data() + at, memory.data() + at, count.data() + blocks_x * y, blocks_x,
                    features.data() + static_cast<std::size_t>(blocks_x) * cpl::kMotionInputs * y);
    }
  });
  if (narrow.blend != nullptr) {
    Halves halves(row * down), side(wide * down);
    table->Add("blend to bfloat16" + name, 4 * plane + 2 * wide_plane,
               [&] { blend(narrow.blend, &halves, &side); });
  }
  std::vector<std::uint8_t> bytes(row * down), side(wide * down);
  table->Add("blend to bytes" + name, 3.5 * plane + wide_plane,
             [&] { blend(narrow.blend_bytes, &bytes, &side); });
  table->Add("combine" + name, 5 * plane + 4 * wide_plane, [&] {
    for (int y = 0; y < down; ++y) {
      narrow.combine(output.data() + wide * y, x16.data() + row * y,
                     cpl::RowsBetween(gains.data(), blocks_x, blocks_y, cpl::kFieldChannels, y),
                     across, scratch.data(), memory.data() + row * y, residual.data() + row * y);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int width = argc > 2 ? std::atoi(argv[1]) : 1280;
  const int height = argc > 2 ? std::atoi(argv[2]) : 720;
  const int turns = argc > 3 ? std::atoi(argv[3]) : 31;
  if (width < 16 || width > cpl::kMaxFrameSide || height < 16 || height > cpl::kMaxFrameSide ||
      turns < 1) {
    std::fprintf(stderr, "pixel_paths: sides of 16..%d and at least one turn, please\n",
                 cpl::kMaxFrameSide);
    return 1;
  }
  std::printf("%dx%d, one thread, medians of %d turns, variant %s\n\n", width, height, turns,
              cpl::BestCombineKernels().name);
  const double cells = static_cast<double>(cpl::CellsAcross(width)) * cpl::CellsAcross(height);
  Table table(turns, cells * sizeof(float) * (4 * cpl::kCellChannels + cpl::kOutputChannels));
  AddFormats(&table, width, height);
  AddRecurrence(&table, width, height);
  for (int i = 0; const cpl::exec::NarrowRows* narrow = cpl::exec::NarrowRowsVariant(i); ++i) {
    AddNarrow(&table, *narrow, width, height);
  }
  return 0;
}
