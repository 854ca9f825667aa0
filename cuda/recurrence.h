// SPDX-License-Identifier: Apache-2.0
//
// The elementwise passes of the recurrence (model/recurrence.h defines it), fused with reading and
// writing the frame, on host and device: cells exist in registers only. model/combine.h has the
// same functions for the CPU, a row at a time.
//
// With across and down the padded size in cells (multiples of kStrip), a block being 4x4 cells:
//   memory   float32 [down][across][12]         features float32 [down / 4][across / 4][10]
//   count    float32 [down / 4][across / 4]     head     float32 [down / 4][across / 4][2]
//   maps     float32 [down / 4][across / 4][4]   next  float32 [down / 4][across / 4]
//   blend    dtype [down][across][12]           side     dtype [down][across][16]
//   output   dtype [down][across][16]           field    dtype [down / 4][across / 4][3]
//
// | dtype      | float32, float16, bfloat16                                               |
// | alignment  | every array starts at a multiple of 16 bytes                             |
// | sizes      | across and down multiples of 4 that hold the frame's cells               |
// | frame      | see pixels.h                                                             |
// | conditions | one launch after the other on one stream, in this order                  |
//
// What is remembered (memory, count) changes in the last pass only: a frame that failed before it
// can be begun again.
#pragma once

#include "cuda/half.h"
#include "cuda/pixels.h"
#include "model/live_config.h"
#include "model/tone.h"

namespace cpl::cuda {

inline constexpr int kMostConditioning = 256;
inline constexpr int kMostPrompts = 64;
static_assert(kMotionScale == kStrip && kMapChannels == 4, "a strip is a block across");

// What changes from frame to frame; it lies in device memory, so that a captured graph finds it.
struct FrameJob {
  Picture in, out;
  WriteFactors write = {};
  int past = 0;  // whether the memory holds what came before
  float conditioning[kMostConditioning] = {};
  float mix[kMostPrompts] = {};  // of the prompts, where weights are folded with a mix
};

// What a scene cut is judged by, in device memory; see SceneCut in model/router_state.h.
inline constexpr int kSceneAcross = 16;
inline constexpr int kSceneDown = 9;
inline constexpr int kSceneBlocks = kSceneAcross * kSceneDown;
inline constexpr int kSceneSide = 16;
inline constexpr float kSceneCutChange = 0.10f;

struct SceneState {
  float blocks[kSceneBlocks];
  int known;                                    // whether they are those of a frame
  int cut;                                      // whether the last frame began another scene
  int cuts;                                     // so many did
  std::int32_t tone[kToneChannels][kToneBins];  // of the last frame: model/tone.h
};

// What stays the same while a stream's size does.
struct Recurrence {
  int across = 0, down = 0;
  Dtype dtype = Dtype::kFloat32;
  const FrameJob* job = nullptr;
  const SceneState* scene = nullptr;
  float* memory = nullptr;
  float* count = nullptr;
  float* next = nullptr;  // what count becomes
  float* features = nullptr;
  const float* head = nullptr;
  float* maps = nullptr;
  void* blend = nullptr;
  void* side = nullptr;
  const void* output = nullptr;
  const void* field = nullptr;

  CPL_HOST_DEVICE int BlocksAcross() const { return across / kStrip; }
  CPL_HOST_DEVICE int BlocksDown() const { return down / kStrip; }
  CPL_HOST_DEVICE bool HasPast() const { return job->past != 0 && scene->cut == 0; }
  CPL_HOST_DEVICE std::ptrdiff_t CellAt(int strip, int y) const {
    return static_cast<std::ptrdiff_t>(y) * across + kStrip * strip;
  }
};

// As in model/combine_kernels.cc: within 2e-7 of the sigmoid. NaN stays NaN.
CPL_HOST_DEVICE inline float Sigmoid(float x) {
  constexpr float kRound = 12582912.0f;
  float t = 0.0f - x;
  t = t > 87.0f ? 87.0f : t;
  t = t < -87.0f ? -87.0f : t;
  const float shifted = t * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (t - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  const std::uint32_t scale = (BitsOf(shifted) - 0x4b400000u + 127u) << 23;
  return 1.0f / (p * FloatOf(scale) + 1.0f);
}

CPL_HOST_DEVICE inline float Magnitude(float x) { return FloatOf(BitsOf(x) & 0x7fffffffu); }

// The frame's strip, and what the memory holds of it: the frame itself where there is no past.
CPL_HOST_DEVICE inline void LoadCells(const Recurrence& r, bool has_past, int strip, int y,
                                      float x[kStrip][kCellValues],
                                      float memory[kStrip][kCellValues]) {
  ReadStrip(r.job->in, strip, y, x);
  if (has_past) {
    LoadValues<kStrip * kCellValues>(Dtype::kFloat32, r.memory, r.CellAt(strip, y) * kCellValues,
                                     memory[0]);
    return;
  }
  CPL_UNROLL
  for (int i = 0; i < kStrip; ++i) {
    CPL_UNROLL
    for (int k = 0; k < kCellValues; ++k) memory[i][k] = x[i][k];
  }
}

// What the motion head sees of a block.
CPL_HOST_DEVICE inline void MotionBlock(const Recurrence& r, int block_x, int block_y) {
  constexpr float kMean = 1.0f / (4 * kMotionScale * kMotionScale);
  const bool has_past = r.HasPast();
  float sum[3] = {}, size[3] = {}, small[3] = {};
  for (int dy = 0; dy < kMotionScale; ++dy) {
    float x[kStrip][kCellValues], memory[kStrip][kCellValues];
    LoadCells(r, has_past, block_x, kMotionScale * block_y + dy, x, memory);
    CPL_UNROLL
    for (int i = 0; i < kStrip; ++i) {
      CPL_UNROLL
      for (int k = 0; k < kCellValues; ++k) {
        const float d = x[i][k] - memory[i][k];
        sum[k / 4] += d;
        const float change = Magnitude(d);
        size[k / 4] += change;
        small[k / 4] += change < kSmallChange ? change : kSmallChange;
      }
    }
  }
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(block_y) * r.BlocksAcross() + block_x;
  float* to = r.features + at * kMotionInputs;
  CPL_UNROLL
  for (int c = 0; c < 3; ++c) {
    to[c] = sum[c] * kMean;
    to[3 + c] = size[c] * kMean;
    to[6 + c] = small[c] * kMean;
  }
  to[9] = 1 / ((has_past ? r.count[at] : 0.0f) + 1);
}

// What is kept of a block, and its next count.
CPL_HOST_DEVICE inline void KeepBlock(const Recurrence& r, int block_x, int block_y) {
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(block_y) * r.BlocksAcross() + block_x;
  const float* head = r.head + at * kMotionOutputs;
  const float n = r.HasPast() ? r.count[at] : 0.0f;
  const auto past = [n](float v) { return n > 0.0f && v >= 0.0f ? v : 0.0f; };  // NaN is 0 too
  const float still = past(Sigmoid(head[0]));
  const float keep = still * n / (n + 1.0f);
  const float fresh = (1.0f - keep) * (1.0f - keep) + keep * keep / (n > 1.0f ? n : 1.0f);
  float next = 1.0f / fresh;
  next = next < kMostFrames ? next : kMostFrames;
  r.next[at] = next;
  float* maps = r.maps + at * kMapChannels;
  maps[0] = keep;
  maps[1] = 1.0f / next;
  maps[2] = past(Sigmoid(head[1]) * kMostClip);
  maps[3] = (1.0f - keep) * still;
}

// The blend of a value of the frame, from its change since the memory and what the maps say there.
CPL_HOST_DEVICE inline float BlendOf(float now, float change, const float* maps) {
  const float above = change - maps[2], below = change + maps[2];
  return now - maps[0] * (change - (below < 0.0f ? below : 0.0f)) -
         maps[3] * (above > 0.0f ? above : 0.0f);
}

// Values of a map at the cells of a strip, bilinear without aligned corners. get(row, column, c)
// is the map's value at a block.
template <int kChannels, typename Get>
CPL_HOST_DEVICE inline void BetweenBlocks(int strip, int y, int blocks_x, int blocks_y,
                                          const Get& get, float values[kStrip][kChannels]) {
  // Row y lies between the rows of blocks `low` and `high`.
  const float exact = (static_cast<float>(y) + 0.5f) / static_cast<float>(kMotionScale) - 0.5f;
  const float source = exact > 0.0f ? exact : 0.0f;
  const int whole = static_cast<int>(source);
  const int low = whole < blocks_y - 1 ? whole : blocks_y - 1;
  const int high = low + 1 < blocks_y - 1 ? low + 1 : blocks_y - 1;
  const float weight = source - static_cast<float>(low);
  const int before = strip > 0 ? strip - 1 : 0;
  const int after = strip + 1 < blocks_x ? strip + 1 : blocks_x - 1;
  CPL_UNROLL
  for (int c = 0; c < kChannels; ++c) {
    float at[3];
    const int columns[3] = {before, strip, after};
    CPL_UNROLL
    for (int k = 0; k < 3; ++k) {
      const float above = get(low, columns[k], c);
      const float below = get(high, columns[k], c);
      at[k] = above + (below - above) * weight;
    }
    const float left = at[1] - at[0], right = at[2] - at[1];
    values[0][c] = at[0] + left * 0.625f;
    values[1][c] = at[0] + left * 0.875f;
    values[2][c] = at[1] + right * 0.125f;
    values[3][c] = at[1] + right * 0.375f;
  }
}

struct MapAt {
  const float* maps;
  int across;
  CPL_HOST_DEVICE float operator()(int row, int column, int c) const {
    return maps[(static_cast<std::ptrdiff_t>(row) * across + column) * kMapChannels + c];
  }
};

struct GainAt {
  const void* field;
  Dtype dtype;
  int across;
  CPL_HOST_DEVICE float operator()(int row, int column, int c) const {
    return LoadValue(dtype, field,
                     (static_cast<std::ptrdiff_t>(row) * across + column) * kFieldChannels + c);
  }
};

// What the network reads of a strip.
CPL_HOST_DEVICE inline void BlendStrip(const Recurrence& r, int strip, int y) {
  float x[kStrip][kCellValues], memory[kStrip][kCellValues], maps[kStrip][kMapChannels];
  LoadCells(r, r.HasPast(), strip, y, x, memory);
  BetweenBlocks<kMapChannels>(strip, y, r.BlocksAcross(), r.BlocksDown(),
                              MapAt{r.maps, r.BlocksAcross()}, maps);
  const std::ptrdiff_t at = r.CellAt(strip, y);
  CPL_UNROLL
  for (int i = 0; i < kStrip; ++i) {
    float blend[kCellValues], side[kSideChannels];
    CPL_UNROLL
    for (int k = 0; k < kCellValues; ++k) {
      const float change = x[i][k] - memory[i][k];
      blend[k] = BlendOf(x[i][k], change, maps[i]);
      side[k] = change;
    }
    CPL_UNROLL
    for (int k = 0; k < kMapChannels; ++k) side[kCellValues + k] = maps[i][k];
    StoreValues<kCellValues>(r.dtype, r.blend, (at + i) * kCellValues, blend);
    StoreValues<kSideChannels>(r.dtype, r.side, (at + i) * kSideChannels, side);
  }
}

// The next memory of a strip, and what is to be added to the frame there.
CPL_HOST_DEVICE inline void RememberStrip(const Recurrence& r, int strip, int y,
                                          float residual[kStrip][kCellValues]) {
  constexpr float kAbsurd = 64;  // beyond this it is no picture
  float x[kStrip][kCellValues], memory[kStrip][kCellValues];
  float maps[kStrip][kMapChannels], gains[kStrip][kFieldChannels];
  LoadCells(r, r.HasPast(), strip, y, x, memory);
  BetweenBlocks<kMapChannels>(strip, y, r.BlocksAcross(), r.BlocksDown(),
                              MapAt{r.maps, r.BlocksAcross()}, maps);
  BetweenBlocks<kFieldChannels>(strip, y, r.BlocksAcross(), r.BlocksDown(),
                                GainAt{r.field, r.dtype, r.BlocksAcross()}, gains);
  const std::ptrdiff_t at = r.CellAt(strip, y);
  CPL_UNROLL
  for (int i = 0; i < kStrip; ++i) {
    float net[kOutputChannels];
    LoadValues<kOutputChannels>(r.dtype, r.output, (at + i) * kOutputChannels, net);
    CPL_UNROLL
    for (int k = 0; k < kCellValues; ++k) {
      const float now = x[i][k];
      const float seen = BlendOf(now, now - memory[i][k], maps[i]);
      const float change = net[k] + gains[i][k / 4] * seen;
      const float picture = seen + change;
      const float kept = seen + Sigmoid(net[kCellValues + k % 4]) * change;
      // Both comparisons are false for NaN.
      const bool sane = Magnitude(picture) < kAbsurd && Magnitude(kept) < kAbsurd;
      memory[i][k] = sane ? kept : now;
      residual[i][k] = sane ? picture - now : 0.0f;
    }
  }
  StoreValues<kStrip * kCellValues>(Dtype::kFloat32, r.memory, at * kCellValues, memory[0]);
  if (y % kMotionScale == 0) {  // a strip is a block across
    const std::ptrdiff_t block =
        static_cast<std::ptrdiff_t>(y / kMotionScale) * r.BlocksAcross() + strip;
    r.count[block] = r.next[block];
  }
}

// The next memory of a strip of the frame, and its part of the output frame, which may be the input
// frame itself. Strips beyond the frame repeat its edge: they fall to the thread that writes the
// edge, since another one might find it written already.
CPL_HOST_DEVICE inline void FinishStrip(const Recurrence& r, int strip, int y) {
  const Picture& in = r.job->in;
  const int last_strip = (CellsOf(in.width) - 1) / kStrip, last_y = CellsOf(in.height) - 1;
  if (strip > last_strip || y > last_y) return;
  const int end_strip = strip == last_strip ? r.BlocksAcross() : strip + 1;
  const int end_y = y == last_y ? r.down : y + 1;
  float residual[kStrip][kCellValues];
  for (int at_y = end_y - 1; at_y >= y; --at_y) {
    for (int at = end_strip - 1; at >= strip; --at) RememberStrip(r, at, at_y, residual);
  }
  WriteStrip(in, r.job->out, r.job->write, strip, y, residual);
}

CPL_HOST_DEVICE inline void CountLevel(SceneState* scene, int channel, float normalised) {
  float level = (normalised * 0.25f + 0.5f) * (kToneBins - 1) + 0.5f;
  level = level > 0 ? level : 0;
  level = level < kToneBins - 1 ? level : kToneBins - 1;
  std::int32_t* count = &scene->tone[channel][static_cast<int>(level)];
#ifdef __CUDA_ARCH__
  atomicAdd(count, 1);
#else
  ++*count;
#endif
}

// A cell's levels: Tone::Add in model/tone.cc.
CPL_HOST_DEVICE inline void CountTone(SceneState* scene, const float* cell) {
  float least = 0;
  for (int c = 0; c < 3; ++c) {
    const float* of = cell + 4 * c;
    const float mean = (of[0] + of[1] + of[2] + of[3]) * 0.25f;
    least = c == 0 || mean < least ? mean : least;
    CountLevel(scene, c, mean);
  }
  CountLevel(scene, 3, least);
}

// Mean of a block of the scene's, white being 1: model/router_state.cc. Counts its tone.
CPL_HOST_DEVICE inline float SceneBlockMean(const Picture& frame, int block, SceneState* scene) {
  const int width = frame.width < kSceneSide ? frame.width : kSceneSide;
  const int height = frame.height < kSceneSide ? frame.height : kSceneSide;
  const int bx = block % kSceneAcross, by = block / kSceneAcross;
  const int x = ((frame.width - width) * bx / (kSceneAcross - 1)) & ~1;
  const int y = ((frame.height - height) * by / (kSceneDown - 1)) & ~1;
  const Picture part = CropPicture(frame, x, y, width, height);
  const int across = CellsOf(width), down = CellsOf(height);
  float sum = 0;
  for (int row = 0; row < down; ++row) {
    for (int strip = 0; kStrip * strip < across; ++strip) {
      float cells[kStrip][kCellValues];
      ReadStrip(part, strip, row, cells);
      CPL_UNROLL
      for (int i = 0; i < kStrip; ++i) {
        if (kStrip * strip + i >= across) continue;
        CountTone(scene, cells[i]);
        CPL_UNROLL
        for (int k = 0; k < kCellValues; ++k) sum += cells[i][k];
      }
    }
  }
  return sum / static_cast<float>(kCellValues * across * down) / 4;
}

CPL_HOST_DEVICE inline void JudgeScene(const float* blocks, SceneState* scene) {
  float change = 0;
  for (int i = 0; i < kSceneBlocks; ++i) {
    change += Magnitude(blocks[i] - scene->blocks[i]);
    scene->blocks[i] = blocks[i];
  }
  change /= kSceneBlocks;
  scene->cut = scene->known != 0 && change > kSceneCutChange ? 1 : 0;
  scene->known = 1;
  scene->cuts += scene->cut;
}

}  // namespace cpl::cuda
