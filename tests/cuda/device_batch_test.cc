// SPDX-License-Identifier: Apache-2.0
//
// Frames of several streams as one batch, on a device that is the host: what comes out is what each
// stream would have made alone, and nobody waits longer than it was told to.
#include "model/device_batch.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "cpl/error.h"
#include "cuda/host_device.h"
#include "model/device_model.h"
#include "model/device_weights.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

using namespace std::chrono_literals;
using test::BytePsnr;
using test::TestFrame;

constexpr int kWidth = 64, kHeight = 48;
constexpr std::int64_t kCells = 32 * 24;  // of such a frame, padded
// So long that a test which waits for it does not end: no test asserts a time.
constexpr std::int64_t kLong = 3'600'000'000'000;
constexpr std::int64_t kShort = 1;  // takes part, and waits for nobody

// Counts runs of the network by the number of frames in them.
class CountingDevice final : public cuda::HostDevice {
 public:
  void Admit(std::int64_t cells) override {
    const auto frames = static_cast<int>(cells / kCells);
    if (frames > most) throw c10::OutOfMemoryError({__func__, __FILE__, 0}, "out of memory");
    if (frames > 1 && lost) throw std::runtime_error("CUDA error: the device has gone");
    ++runs[std::min(frames, 9)];
  }
  std::unique_ptr<cuda::Graph> Capture(const std::function<void(cuda::Stream)>& work) override {
    ++captures;
    return HostDevice::Capture(work);
  }
  std::atomic<int> runs[10] = {};
  std::atomic<int> captures = 0;
  std::atomic<int> most = 100;
  std::atomic<bool> lost = false;
};

class DeviceBatchTest : public testing::Test {
 protected:
  std::shared_ptr<Model> Open(Precision precision = Precision::kFp32) {
    const std::string path = folder_.File("m.safetensors");
    test::WriteModel(path, test::SmallConfig(), test::Weights::kRandom);
    auto model = OpenDeviceModel(path, {.precision = precision}, device_);
    SetBusy(*model, std::chrono::hours(1));
    return model;
  }
  static void SetBusy(Model& model, std::chrono::nanoseconds busy) {
    static_cast<DeviceModel&>(model).batcher().SetBusy(busy);
  }

  static RestoreParams Params(std::int64_t window, int prompt = 2) {
    return {.prompt = prompt, .interval = 1000, .batch_window_ns = window};
  }

  // Frame t of a stream, restored in place.
  static std::vector<std::uint8_t> Restored(Restorer& stream, int which, int t,
                                            const RestoreParams& params) {
    at::set_num_threads(1);
    TestFrame frame(PixelFormat::kNV12, kWidth, kHeight,
                    static_cast<std::uint64_t>(1000 * which + t));
    FrameView view = frame.view();
    view.memory = MemoryKind::kCuda;
    stream.Restore(AsConst(view), view, params);
    return frame.bytes();
  }

  // Calls `call` with the number of each stream, on threads of their own.
  template <typename Call>
  static void Together(int streams, const Call& call) {
    std::vector<std::thread> threads;
    for (int i = 0; i < streams; ++i) threads.emplace_back([&call, i] { call(i); });
    for (std::thread& thread : threads) thread.join();
  }

  test::TempFolder folder_;
  CountingDevice device_;
};

TEST_F(DeviceBatchTest, GivesWhatEachStreamWouldMakeAlone) {
  constexpr int kStreams = 3, kFrames = 8;
  for (const auto& [precision, psnr] :
       {std::pair{Precision::kFp32, 80.0}, {Precision::kFp16, 60.0}, {Precision::kBf16, 50.0}}) {
    const auto model = Open(precision);
    std::vector<std::uint8_t> wanted[kStreams][kFrames], got[kStreams][kFrames];
    std::unique_ptr<Restorer> streams[kStreams];
    for (int i = 0; i < kStreams; ++i) {
      const auto stream = model->NewStream();
      for (int t = 0; t < kFrames; ++t) wanted[i][t] = Restored(*stream, i, t, Params(0));
      streams[i] = model->NewStream();
    }
    for (int i = 0; i < kStreams; ++i) got[i][0] = Restored(*streams[i], i, 0, Params(kShort));
    for (auto& runs : device_.runs) runs = 0;
    // From here on each waits for all.
    Together(kStreams, [&](int i) {
      for (int t = 1; t < kFrames; ++t) got[i][t] = Restored(*streams[i], i, t, Params(kLong));
    });
    EXPECT_GE(device_.runs[3], kFrames - 1);
    EXPECT_EQ(device_.runs[1] + device_.runs[2], 0);
    for (int i = 0; i < kStreams; ++i) {
      for (int t = 0; t < kFrames; ++t) {
        ASSERT_GT(BytePsnr(wanted[i][t], got[i][t]), psnr) << "stream " << i << " frame " << t;
      }
    }
  }
  EXPECT_GT(device_.captures, 0);
}

// Frames of other prompts are batches of their own.
TEST_F(DeviceBatchTest, MixesNoKinds) {
  const auto model = Open();
  std::vector<std::uint8_t> wanted[4], got[4];
  std::unique_ptr<Restorer> streams[4];
  for (int i = 0; i < 4; ++i) {
    streams[i] = model->NewStream();
    wanted[i] = Restored(*streams[i], i, 0, Params(kShort, 1 + i / 2));
  }
  for (auto& runs : device_.runs) runs = 0;
  Together(4, [&](int i) {
    for (int t = 0; t < 3; ++t) {
      streams[i]->Reset();
      got[i] = Restored(*streams[i], i, 0, Params(kLong, 1 + i / 2));
    }
  });
  for (int i = 0; i < 4; ++i) EXPECT_GT(BytePsnr(wanted[i], got[i]), 80) << i;
  EXPECT_GE(device_.runs[2], 6);
  EXPECT_EQ(device_.runs[3] + device_.runs[4], 0) << "two prompts in one batch";
}

TEST_F(DeviceBatchTest, AStreamThatIsAloneWaitsForNobody) {
  const auto model = Open();
  const auto stream = model->NewStream(), idle = model->NewStream();
  for (int t = 0; t < 3; ++t) Restored(*stream, 0, t, Params(kLong));
  EXPECT_EQ(device_.runs[2], 0);
}

// Two streams are busy, and only one comes: it is let go when the window is over.
TEST_F(DeviceBatchTest, NobodyWaitsLongerThanTheWindow) {
  const auto model = Open();
  const auto a = model->NewStream(), b = model->NewStream();
  Restored(*b, 1, 0, Params(kShort));
  const auto begin = std::chrono::steady_clock::now();
  Restored(*a, 0, 1, Params(100'000'000));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 100ms) << "it has not waited at all";
  // And once the other has been quiet for a while, nobody waits for it.
  SetBusy(*model, 1ms);
  std::this_thread::sleep_for(10ms);
  Restored(*a, 0, 2, Params(kLong));
  EXPECT_EQ(device_.runs[2], 0);
}

// A flush or the end of a stream must not wait, nor be waited for.
TEST_F(DeviceBatchTest, WhoIsInAHurryWaitsForNobody) {
  const auto model = Open();
  const auto a = model->NewStream(), b = model->NewStream();
  Restored(*b, 1, 0, Params(kShort));
  std::atomic<bool> out = false;
  std::thread waiting([&] {
    Restored(*a, 0, 0, Params(kLong));
    out = true;
  });
  std::this_thread::sleep_for(300ms);
  EXPECT_FALSE(out) << "it has not waited at all";
  a->Hurry(true);
  waiting.join();
  Restored(*a, 0, 1, Params(kLong));  // it stays so until it is told otherwise,
  Restored(*b, 1, 1, Params(kLong));  // and nobody waits for it
  EXPECT_EQ(device_.runs[2], 0);
  // Afterwards it takes part again.
  a->Hurry(false);
  Together(2, [&](int i) { Restored(i == 0 ? *a : *b, i, 2, Params(kLong)); });
  EXPECT_GT(device_.runs[2], 0);
}

TEST_F(DeviceBatchTest, OneStreamsErrorIsItsOwn) {
  const auto model = Open();
  const auto a = model->NewStream(), b = model->NewStream();
  const auto wanted = Restored(*model->NewStream(), 0, 0, Params(0));
  Restored(*b, 1, 0, Params(kShort));
  std::vector<std::uint8_t> got;
  std::thread good([&] { got = Restored(*a, 0, 0, Params(300'000'000)); });
  EXPECT_THROW(Restored(*b, 1, 1, Params(300'000'000, 17)), Error);
  good.join();
  EXPECT_EQ(got, wanted);
}

// No memory for a batch: each runs by itself, and batches of that size are not tried again.
TEST_F(DeviceBatchTest, WithoutMemoryEachRunsAlone) {
  const auto model = Open();
  device_.most = 1;
  std::vector<std::uint8_t> wanted[2], got[2];
  std::unique_ptr<Restorer> streams[2];
  for (int i = 0; i < 2; ++i) {
    streams[i] = model->NewStream();
    wanted[i] = Restored(*streams[i], i, 0, Params(kShort));
    streams[i]->Reset();
  }
  Together(2, [&](int i) { got[i] = Restored(*streams[i], i, 0, Params(kLong)); });
  for (int i = 0; i < 2; ++i) EXPECT_EQ(wanted[i], got[i]);
  Restored(*streams[0], 0, 1, Params(kLong));  // waits for nobody any more
  EXPECT_EQ(device_.runs[2], 0);
}

// What is everybody's trouble is told to everybody.
TEST_F(DeviceBatchTest, ALostDeviceIsLostForAll) {
  const auto model = Open();
  std::unique_ptr<Restorer> streams[2] = {model->NewStream(), model->NewStream()};
  for (int i = 0; i < 2; ++i) Restored(*streams[i], i, 0, Params(kShort));
  Together(2, [&](int i) { Restored(*streams[i], i, 1, Params(kLong)); });
  ASSERT_GT(device_.runs[2], 0);
  device_.lost = true;
  std::atomic<int> told = 0;
  Together(2, [&](int i) {
    try {
      Restored(*streams[i], i, 2, Params(kLong));
    } catch (const Error& error) {
      told += error.code() == ErrorCode::kDeviceLost;
    }
  });
  EXPECT_EQ(told, 2);
}

}  // namespace
}  // namespace cpl
