// SPDX-License-Identifier: Apache-2.0

#include "tests/gst/dummy_runtime.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "cpl/error.h"
#include "cpl/runtime.h"
#include "model/model_cache.h"

#define CPL_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using cpl::ConstFrameView;
using cpl::Error;
using cpl::ErrorCode;
using cpl::FrameReport;
using cpl::FrameView;
using cpl::PixelFormat;
using cpl::RestoreParams;

constexpr int kCleanPrompt = 0;
constexpr int kRainPrompt = 2;

std::mutex counters_lock;
CplDummyCounters counters;

template <typename Change>
void Count(Change&& change) {
  const std::lock_guard lock(counters_lock);
  change(counters);
}

// Part of a model's name after `prefix`, as a number.
std::optional<int> NumberAfter(const std::string& name, const std::string& prefix) {
  if (name.rfind(prefix, 0) != 0) return std::nullopt;
  return std::stoi(name.substr(prefix.size()));
}

struct Behaviour {
  bool invert = false;
  bool clean = false;
  bool clean_odd = false;
  int slow_ms = 0;
  int throw_at = 0;
  int throw_foreign_at = 0;
  int throw_look_at = 0;
  int no_memory_at = 0;
  int lose_gpu_at = 0;
};

Behaviour BehaviourFor(const std::string& name) {
  if (name == "no-read") throw Error(ErrorCode::kCannotRead, "no-read: permission denied.");
  if (name == "no-format") throw Error(ErrorCode::kBadFormat, "no-format: not a safetensors file.");
  if (name == "no-unsupported") throw Error(ErrorCode::kUnsupported, "no-unsupported: too new.");
  if (name == "no-memory") throw std::bad_alloc();
  if (name == "no-reason") throw 42;  // NOLINT: what a careless library may do
  if (name == "live" || name == "invert") return {.invert = true};
  if (name == "identity") return {};
  if (name == "clean") return {.clean = true};
  if (name == "clean-odd") return {.invert = true, .clean_odd = true};
  if (const auto ms = NumberAfter(name, "slow:")) return {.invert = true, .slow_ms = *ms};
  if (const auto n = NumberAfter(name, "throw-on-frame:")) return {.throw_at = *n};
  if (const auto n = NumberAfter(name, "throw-foreign-on-frame:")) return {.throw_foreign_at = *n};
  if (const auto n = NumberAfter(name, "no-memory-on-frame:")) return {.no_memory_at = *n};
  if (const auto n = NumberAfter(name, "throw-on-look:")) return {.throw_look_at = *n};
  if (const auto n = NumberAfter(name, "lose-gpu-on-frame:")) {
    return {.invert = true, .lose_gpu_at = *n};
  }
  throw Error(ErrorCode::kNotFound, "The model '" + name + "' is not known to the dummy runtime.");
}

struct Plane {
  int rows = 0;
  int row_bytes = 0;
};

int PlaneCount(PixelFormat format) { return cpl::FormatInfoOf(format).planes; }

Plane PlaneOf(const ConstFrameView& view, int plane) {
  const cpl::FormatInfo info = cpl::FormatInfoOf(view.format);
  return {cpl::PlaneRows(info, plane, view.height),
          static_cast<int>(cpl::PlaneRowBytes(info, plane, view.width))};
}

[[noreturn]] void Breach(const char* what) {
  throw Error(ErrorCode::kInternal, std::string("The caller broke the contract: ") + what + ".");
}

void Note(CplDummyCounters* c, const ConstFrameView& view) {
  c->view = view;
  for (int i = 0; i < 3; ++i) c->first_byte[i] = view.plane[i] ? view.plane[i][0] : -1;
}

void CheckView(const ConstFrameView& view) {
  if (view.width < 16 || view.width > 16384 || view.height < 16 || view.height > 16384) {
    Breach("size out of range");
  }
  for (int i = 0; i < PlaneCount(view.format); ++i) {
    if (!view.plane[i]) Breach("a plane is missing");
    if (std::abs(view.stride[i]) < PlaneOf(view, i).row_bytes) Breach("a stride is too short");
  }
}

// Reads every byte; the same picture has the same sum whatever its strides.
std::uint64_t Checksum(const ConstFrameView& view) {
  std::uint64_t sum = 1469598103934665603u;
  for (int i = 0; i < PlaneCount(view.format); ++i) {
    const Plane plane = PlaneOf(view, i);
    for (int row = 0; row < plane.rows; ++row) {
      const std::uint8_t* bytes = view.plane[i] + row * view.stride[i];
      for (int x = 0; x < plane.row_bytes; ++x) sum = (sum ^ bytes[x]) * 1099511628211u;
    }
  }
  return sum;
}

class DummyRestorer : public cpl::Restorer {
 public:
  DummyRestorer(std::shared_ptr<cpl::Model> model, const Behaviour& behaviour)
      : model_(std::move(model)), behaviour_(behaviour) {
    Count([](auto& c) { ++c.streams, ++c.live_streams; });
  }
  ~DummyRestorer() override {
    Count([](auto& c) { --c.live_streams; });
  }

  FrameReport Look(const ConstFrameView& in, const RestoreParams& params) override {
    const Call call(this, in);
    Count([&](auto& c) { ++c.looks, c.params = params, Note(&c, in); });
    if (looked_at_) Breach("Look twice without Restore or Pass between");
    if (++looks_ == behaviour_.throw_look_at) {
      throw Error(ErrorCode::kInternal, "The dummy runtime was told to fail at this look.");
    }
    looked_at_ = Checksum(in);
    return Route(params);
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    const Call call(this, in);
    Count([&](auto& c) { ++c.restores, c.params = params, c.out = AsConst(out), Note(&c, in); });
    CheckSameFrame(in);
    CheckView(AsConst(out));
    if (in.format != out.format || in.width != out.width || in.height != out.height ||
        in.matrix != out.matrix || in.range != out.range) {
      Breach("input and output differ in kind");
    }
    if (!(params.strength >= 0 && params.strength <= 1)) Breach("strength out of range");
    ++restores_;
    if (restores_ == behaviour_.throw_at) {
      throw Error(ErrorCode::kInternal, "The dummy runtime was told to fail at this frame.");
    }
    if (restores_ == behaviour_.throw_foreign_at) throw 42;  // NOLINT
    if (restores_ == behaviour_.no_memory_at) throw std::bad_alloc();
    if (restores_ == behaviour_.lose_gpu_at && model_->device() == cpl::DeviceKind::kCuda) {
      throw Error(ErrorCode::kDeviceLost, "The dummy runtime was told to lose the GPU.");
    }

    FrameReport report = Route(params);
    if (behaviour_.slow_ms > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(behaviour_.slow_ms));
    }
    report.network_ms = behaviour_.slow_ms;
    report.total_ms = behaviour_.slow_ms;
    for (int i = 0; i < PlaneCount(in.format); ++i) WritePlane(in, out, i, params, report.bypassed);
    ++frames_;
    return report;
  }

  void Pass(const ConstFrameView& in) override {
    const Call call(this, in);
    Count([&](auto& c) { ++c.passes, Note(&c, in); });
    CheckSameFrame(in);
    ++frames_;
  }

  void Reset() override {
    looked_at_.reset();
    Count([](auto& c) { ++c.resets; });
  }

  void Hurry(bool on) override {
    Count([on](auto& c) { ++c.hurries, c.hurry = on; });
  }

 private:
  // A stream is for one call at a time.
  class Call {
   public:
    Call(DummyRestorer* restorer, const ConstFrameView& view)
        : lock_(restorer->busy_, std::defer_lock) {
      if (!lock_.try_lock()) Breach("two calls at once");
      CheckView(view);
    }

   private:
    std::unique_lock<std::mutex> lock_;
  };

  FrameReport Route(const RestoreParams& params) const {
    const bool is_clear = behaviour_.clean || (behaviour_.clean_odd && frames_ % 2 == 1);
    FrameReport report;
    report.bypassed = is_clear && params.bypass_clean && params.prompt == cpl::kAutoPrompt;
    report.prompt =
        params.prompt == cpl::kAutoPrompt ? (is_clear ? kCleanPrompt : kRainPrompt) : params.prompt;
    report.confidence = 0.75f;
    report.clean = is_clear ? 0.9f : 0.1f;
    return report;
  }

  void CheckSameFrame(const ConstFrameView& in) {
    const auto expected = looked_at_;
    looked_at_.reset();
    const std::uint64_t sum = Checksum(in);
    if (expected && *expected != sum) Breach("Look was for another frame");
  }

  void WritePlane(const ConstFrameView& in, const FrameView& out, int index,
                  const RestoreParams& params, bool bypassed) const {
    const Plane plane = PlaneOf(in, index);
    const bool has_fourth = cpl::FormatInfoOf(in.format).pixel_bytes == 4;
    const bool invert = behaviour_.invert && !bypassed;
    for (int row = 0; row < plane.rows; ++row) {
      const std::uint8_t* from = in.plane[index] + row * in.stride[index];
      std::uint8_t* to = out.plane[index] + row * out.stride[index];
      for (int x = 0; x < plane.row_bytes; ++x) {
        const int residual = invert && !(has_fourth && x % 4 == 3) ? 255 - 2 * from[x] : 0;
        to[x] = static_cast<std::uint8_t>(std::lround(from[x] + params.strength * residual));
      }
    }
  }

  std::shared_ptr<cpl::Model> model_;
  Behaviour behaviour_;
  std::mutex busy_;
  std::optional<std::uint64_t> looked_at_;
  int looks_ = 0;
  int restores_ = 0;
  int frames_ = 0;
};

class DummyModel : public cpl::Model {
 public:
  DummyModel(const std::string& name, const cpl::ModelOptions& options)
      : behaviour_(BehaviourFor(name)), options_(options) {
    info_.path = name;
    info_.architecture = "dummy";
    info_.prompts = {"clean", "noise", "rain", "snow", "haze"};
    Count([&](auto& c) { ++c.models, ++c.live_models, c.options = options; });
  }
  ~DummyModel() override {
    Count([](auto& c) { --c.live_models; });
  }

  const cpl::ModelInfo& info() const override { return info_; }
  cpl::Precision precision() const override {
    return options_.precision == cpl::Precision::kBf16 ? cpl::Precision::kBf16
                                                       : cpl::Precision::kFp32;
  }
  cpl::DeviceKind device() const override { return options_.device; }
  std::unique_ptr<cpl::Restorer> NewStream() override {
    return std::make_unique<DummyRestorer>(shared_from_this(), behaviour_);
  }

 private:
  Behaviour behaviour_;
  cpl::ModelOptions options_;
  cpl::ModelInfo info_;
};

std::atomic<cpl::LogFunction> log_function{nullptr};

// As in the runtime with LibTorch (model/runtime.cc).
std::shared_ptr<cpl::Model> Load(const std::string& name, const cpl::ModelOptions& options) {
  if (options.device == cpl::DeviceKind::kCuda) return std::make_shared<DummyModel>(name, options);
  static auto* const pool =
      new cpl::WorkPool(static_cast<int>(std::thread::hardware_concurrency()));
  static auto* const cache =
      new cpl::ModelCache([](const std::string& path, cpl::Precision precision) {
        if (const cpl::LogFunction log = log_function.load()) {
          log(cpl::LogLevel::kInfo, ("loading " + path).c_str());
        }
        return std::make_shared<DummyModel>(path, cpl::ModelOptions{.precision = precision});
      });
  return cpl::TakingTurns(cache->Get(name, options.precision), options.threads, pool);
}

#ifdef CPL_DUMMY_OF_ANOTHER_ABI
constexpr int kAbi = cpl::kRuntimeAbi + 1;
#else
constexpr int kAbi = cpl::kRuntimeAbi;
#endif

// Its frames may lie in the memory of the fake GPU, which is the host's.
void CheckCuda(int device_id) {
  if (device_id > 0) {
    throw cpl::Error(ErrorCode::kNotFound, "There is no GPU " + std::to_string(device_id) + ".");
  }
  if (!std::getenv("CPL_DUMMY_CUDA")) {
    throw cpl::Error(ErrorCode::kUnsupported,
                     "The dummy runtime was told of no GPU: set device to cpu or auto.");
  }
}

const cpl::Runtime kRuntime = {kAbi,  "dummy",    "no LibTorch",
                               &Load, &CheckCuda, [](cpl::LogFunction log) { log_function = log; }};

}  // namespace

#ifdef CPL_DUMMY_NEEDS_THE_LOST
extern "C" int cpl_lost_function();
CPL_EXPORT const cpl::Runtime* cpl_runtime() { return cpl_lost_function() ? &kRuntime : nullptr; }
#else
CPL_EXPORT const cpl::Runtime* cpl_runtime() { return &kRuntime; }
#endif

CPL_EXPORT CplDummyCounters cpl_dummy_counters() {
  const std::lock_guard lock(counters_lock);
  return counters;
}

// Starts the counts anew; what is alive stays counted as alive.
CPL_EXPORT void cpl_dummy_forget() {
  const std::lock_guard lock(counters_lock);
  CplDummyCounters fresh;
  fresh.live_models = counters.live_models;
  fresh.live_streams = counters.live_streams;
  counters = fresh;
}
