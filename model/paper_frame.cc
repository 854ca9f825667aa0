// SPDX-License-Identifier: Apache-2.0
#include "model/paper_frame.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "model/pixels.h"
#include "model/sparse_prompt_ir_config.h"

namespace cpl {
namespace {

constexpr int kColours = 3;
// WriteCellRow's unit of a residual, ReadCellRow's of a value.
constexpr float kUnits = 4;
constexpr int kTileOverlap = 32;

int Padded(int side) {
  return (side + kSparsePromptIrStride - 1) / kSparsePromptIrStride * kSparsePromptIrStride;
}

// The place that is reflected to `at`, beyond a side that ends at `size`.
int Reflected(int at, int size) { return at < size ? at : 2 * (size - 1) - at; }

// Begins of tiles that cover 0..size-1 with at least the overlap, evenly.
std::vector<int> TileBegins(int size, int tile) {
  if (size <= tile) return {0};
  const int count = (size - kTileOverlap - 1) / (tile - kTileOverlap) + 1;
  std::vector<int> begins;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<int>(static_cast<std::int64_t>(size - tile) * i / (count - 1));
    // Even positions keep a tile's pixels in step with the network's downsampling.
    begins.push_back(at / kSparsePromptIrStride * kSparsePromptIrStride);
  }
  return begins;
}

// 1 inside, falling off towards sides that another tile covers: the weights of all tiles are
// divided by their sum afterwards.
at::Tensor Ramp(int begin, int length, int size) {
  at::Tensor ramp = at::ones({length}, at::kFloat);
  float* w = ramp.data_ptr<float>();
  const int soft = std::min(kTileOverlap, length / 2);
  for (int i = 0; i < soft; ++i) {
    const float share = (static_cast<float>(i) + 0.5f) / static_cast<float>(soft);
    if (begin > 0) w[i] *= share;
    if (begin + length < size) w[length - 1 - i] *= share;
  }
  return ramp;
}

struct Tile {
  int x, y, width, height;
};

std::vector<Tile> TilesOf(const at::Tensor& image, int tile) {
  const auto height = static_cast<int>(image.size(2)), width = static_cast<int>(image.size(3));
  std::vector<Tile> tiles;
  for (const int y : TileBegins(height, tile)) {
    for (const int x : TileBegins(width, tile)) {
      tiles.push_back({x, y, std::min(tile, width), std::min(tile, height)});
    }
  }
  return tiles;
}

at::Tensor Cut(const at::Tensor& image, const Tile& tile) {
  return image.narrow(2, tile.y, tile.height).narrow(3, tile.x, tile.width);
}

}  // namespace

at::Tensor ReadPaperFrame(const ConstFrameView& frame) {
  const int height = Padded(frame.height), width = Padded(frame.width);
  const at::Tensor image = at::empty({1, kColours, height, width}, at::kFloat);
  float* pixels = image.data_ptr<float>();
  const auto row_of = [&](int colour, int y) {
    return pixels + (static_cast<std::int64_t>(colour) * height + y) * width;
  };
  at::parallel_for(0, CellsAcross(frame.height), 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> cells(static_cast<std::size_t>(CellsAcross(frame.width)) * kCellChannels);
    for (auto cy = static_cast<int>(begin); cy < end; ++cy) {
      ReadCellRow(frame, cy, cells.data());
      for (int c = 0; c < kColours; ++c) {
        for (int y = 2 * cy; y < std::min(2 * cy + 2, frame.height); ++y) {
          float* row = row_of(c, y);
          const float* cell = cells.data() + c * 4 + (y & 1) * 2;
          for (int x = 0; x < frame.width; ++x) {
            row[x] = cell[(x >> 1) * kCellChannels + (x & 1)] / kUnits + 0.5f;
          }
          for (int x = frame.width; x < width; ++x) row[x] = row[Reflected(x, frame.width)];
        }
      }
    }
  });
  for (int c = 0; c < kColours; ++c) {
    for (int y = frame.height; y < height; ++y) {
      std::copy_n(row_of(c, Reflected(y, frame.height)), width, row_of(c, y));
    }
  }
  return image;
}

void WritePaperFrame(const ConstFrameView& in, const FrameView& out, const at::Tensor& residual,
                     float strength) {
  const at::Tensor values = residual.contiguous();
  const std::int64_t height = values.size(2), width = values.size(3);
  const float* pixels = values.data_ptr<float>();
  at::parallel_for(0, CellsAcross(in.height), 8, [&](std::int64_t begin, std::int64_t end) {
    const int across = CellsAcross(in.width);
    std::vector<float> cells(static_cast<std::size_t>(across) * kCellChannels);
    for (std::int64_t cy = begin; cy < end; ++cy) {
      for (int c = 0; c < kColours; ++c) {
        for (int dy = 0; dy < 2; ++dy) {
          // A cell beyond an odd side reads padding: the padded sides are even.
          const float* row = pixels + (c * height + 2 * cy + dy) * width;
          float* cell = cells.data() + c * 4 + dy * 2;
          for (int cx = 0; cx < across; ++cx, cell += kCellChannels) {
            cell[0] = row[2 * cx] * kUnits;
            cell[1] = row[2 * cx + 1] * kUnits;
          }
        }
      }
      WriteCellRow(in, out, static_cast<int>(cy), cells.data(), strength);
    }
  });
}

at::Tensor RunTiles(const at::Tensor& image, int tile,
                    const std::function<at::Tensor(const at::Tensor&)>& network) {
  const auto height = static_cast<int>(image.size(2)), width = static_cast<int>(image.size(3));
  at::Tensor sum = at::zeros_like(image);
  at::Tensor weights = at::zeros({height, width}, at::kFloat);
  for (const Tile& t : TilesOf(image, tile)) {
    const at::Tensor weight =
        Ramp(t.y, t.height, height).unsqueeze(1) * Ramp(t.x, t.width, width).unsqueeze(0);
    Cut(sum, t).add_(network(Cut(image, t).contiguous()) * weight);
    weights.narrow(0, t.y, t.height).narrow(1, t.x, t.width).add_(weight);
  }
  return sum.div_(weights);
}

void VisitTiles(const at::Tensor& image, int tile, int most,
                const std::function<void(const at::Tensor&)>& look) {
  const std::vector<Tile> tiles = TilesOf(image, tile);
  const auto count = std::min(tiles.size(), static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < count; ++i) {
    look(Cut(image, tiles[(2 * i + 1) * tiles.size() / (2 * count)]).contiguous());
  }
}

}  // namespace cpl
