// SPDX-License-Identifier: Apache-2.0
//
// The public, torch-free API: a Model is a set of weights that any number of streams share; a
// Restorer is one stream with its temporal state.
//
//   auto model = cpl::LoadModel("live", {});
//   auto restorer = model->NewStream();
//   restorer->Restore(frame_in, frame_out, {.strength = 0.8f});
//
// Programs link with `pkg-config --cflags --libs cpl` (examples/cpp). Those that must not depend on
// LibTorch at load time (the GStreamer plugin) reach LoadModel through cpl/runtime.h instead.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpl/frame.h"

namespace cpl {

enum class Precision : std::uint8_t {
  // The fastest that stays within 45 dB of fp32: on GPUs fp16; on CPUs for live networks
  // int8 where they have AVX-VNNI or AVX512-VNNI, else bf16 where they multiply it natively
  // (AVX512_BF16), else int8 where that is twice as fast as fp32 (AVX2), else fp32; for other
  // networks bf16 or fp32.
  kAuto,
  kFp32,
  kBf16,  // live networks take fp32, which is faster then, where the CPU has no bf16
  kFp16,  // GPUs only, where kAuto means it
  // Live networks on CPUs: bytes between the convolutions, at some cost in quality. Where the CPU
  // has no AVX2 live networks take fp32.
  kInt8,
};

// As the element, cpl and the gateway call it.
constexpr const char* PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
    case Precision::kInt8:
      return "int8";
    case Precision::kAuto:
      break;
  }
  return "auto";
}

enum class DeviceKind : std::uint8_t { kCpu, kCuda };

struct ModelOptions {
  Precision precision = Precision::kAuto;
  // CPU threads that work on one frame; 0 = as many as the process may run on (its affinity mask).
  int threads = 0;
  // Only for networks that look at the picture as a whole: 0 does so, in bounded memory; else the
  // picture is worked on in overlapping tiles of at most so many pixels each way, 64..16384. That
  // changes the result and is for pictures too large for the machine.
  int tile = 0;
  // kCuda: one that CheckCuda (cuda_support.h, Runtime::check_cuda) accepts; -1 is the first.
  DeviceKind device = DeviceKind::kCpu;
  int device_id = -1;
};

// What a model file says of itself. Filled from the file's metadata, never guessed.
struct ModelInfo {
  std::string path;
  std::string architecture;  // "live" or "sparse_prompt_ir"
  std::string framework;     // "end_to_end", "prompt" or "cpl"
  std::vector<std::string> prompts;
  std::int64_t parameters = 0;
  std::int64_t tensors = 0;
  double macs_per_pixel = 0;  // multiply-adds of one frame of 256x256, divided by its pixels
  std::string config;         // JSON
  std::string recipe;
  std::string steps;
  std::string metrics;  // JSON, may be empty
};

inline constexpr int kAutoPrompt = -1;

struct RestoreParams {
  // Scales the residual: 0 gives the input back bit for bit, 1 is the model's own answer.
  // Range 0..1. It does not touch the temporal state.
  float strength = 1.0f;
  // Index into ModelInfo::prompts, or kAutoPrompt to let the router choose.
  int prompt = kAutoPrompt;
  // Pass clear frames on as they are (only with kAutoPrompt and a model that has a "clean" prompt).
  bool bypass_clean = true;
  // Carry state from frame to frame. When off, every frame is restored on its own.
  bool temporal = true;
  // A stream becomes clear when the router's probability of "clean" rises above the threshold, and
  // is so until it falls below threshold - hysteresis. Both 0..1.
  float clear_threshold = 0.5f;
  float clear_hysteresis = 0.2f;
  // The router looks at every n-th frame, and what it found is held between. At least 1. A scene
  // cut has it look at once.
  int interval = 1;
  // CPU threads for this frame; 0 = what the model was loaded with.
  int threads = 0;
  // How long a frame may wait for CPUs that other streams of the process work on, in nanoseconds;
  // 0 = as long as it takes. A frame that waited in vain is `skipped`.
  std::int64_t max_wait_ns = 0;
  // On a GPU: how long a frame may wait for frames of the model's other streams, in nanoseconds, to
  // go through the network together; 0 = not at all. A stream that is alone never waits.
  std::int64_t batch_window_ns = 0;
};

// What happened to a frame.
struct FrameReport {
  int prompt = 0;          // the prompt that was used
  float confidence = 0;    // the router's probability of that prompt, 0..1
  float clean = 0;         // the router's probability that the frame needs nothing, 0..1
  bool bypassed = false;   // the output is the input, bit for bit
  bool scene_cut = false;  // the temporal state was started anew at this frame
  bool skipped = false;    // no CPU was free in time: nothing was looked at, nothing was written
  double network_ms = 0;   // time inside the network (0 when bypassed)
  double total_ms = 0;     // time of the whole call
};

// One stream. Not thread-safe: one call at a time, from any thread.
class Restorer {
 public:
  virtual ~Restorer() = default;

  // Looks at a frame without changing anything of it: routes it, and says whether it would be
  // bypassed with these parameters. Calling it is optional; if called, the next Restore or Pass
  // must be for the same frame and does not route again.
  virtual FrameReport Look(const ConstFrameView& in, const RestoreParams& params) = 0;

  // Restores `in` into `out`. Both have the same format, size, matrix and range; 16 <= width and
  // height <= 16384. `out` may be `in` itself (same planes and strides); otherwise they must not
  // overlap. Padding between rows, alpha and padding bytes of `out`: alpha and the x byte are those
  // of `in`, bytes beyond the row's end are not written.
  // A change of size, format or colorimetry starts the temporal state anew.
  // Throws Error (kInvalidArgument, kOutOfMemory, kInternal); the stream stays usable, except after
  // kDeviceLost. On a GPU the router's answer for a frame is used from the next frame on, since
  // waiting for it would cost more than the network; the first frame of a scene waits.
  virtual FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                              const RestoreParams& params) = 0;

  // Notes that this frame is passed on unchanged. The next frame that is restored has no past: a
  // frame that nobody restored would be a worse one than none.
  virtual void Pass(const ConstFrameView& in) = 0;

  // Forgets the past: call after a flush, a seek or a discontinuity.
  virtual void Reset() = 0;

  // While on, no call waits for other streams' frames, and one that does goes on at once: before a
  // flush, or the end of the stream. The one function that any thread may call at any time.
  virtual void Hurry(bool /*on*/) {}
};

// Loaded weights. Thread-safe; streams keep their model alive.
class Model : public std::enable_shared_from_this<Model> {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  virtual Precision precision() const = 0;  // never kAuto
  // Models on a GPU take frames in its memory and in the system's, which they copy there and back.
  virtual DeviceKind device() const { return DeviceKind::kCpu; }
  virtual std::unique_ptr<Restorer> NewStream() = 0;
};

// Loads a model file, or finds a model by name: a name holds no '/' and no '.', and is looked for
// as NAME.safetensors in each folder of CPL_MODEL_PATH (colon-separated), then in the build tree's
// weights, then in the data folder of the installation.
// Throws Error: kNotFound, kCannotRead, kBadFormat (naming file and reason), kUnsupported.
std::shared_ptr<Model> LoadModel(const std::string& path_or_name, const ModelOptions& options);

// Where LoadModel would find `path_or_name`. Throws kNotFound, naming the folders it looked in.
std::string FindModel(const std::string& path_or_name);

}  // namespace cpl
