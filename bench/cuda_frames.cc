// SPDX-License-Identifier: Apache-2.0
//
// cuda_frames [MODEL]: frames in a GPU's memory through a model, at 720p, 1080p and 4K: the time of
// a frame alone (latency), frames a second of one stream and of several at once, and from system
// memory with the copies there and back; and for many small streams, each on a thread of its own,
// what batches of them are worth. Exit status 77 where there is no GPU.
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/cuda_support.h"
#include "model/device_network.h"

namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Stream {
  Stream(cpl::Model& model, cpl::cuda::Device& device, int width, int height, bool on_gpu)
      : restorer(model.NewStream()), stream(device.NewStream()) {
    const auto where = on_gpu ? cpl::TorchDevice(device) : at::Device(at::kCPU);
    const std::int64_t pitch = (width + 255) / 256 * 256;
    for (at::Tensor* bytes : {&in_bytes, &out_bytes}) {
      *bytes = at::randint(0, 255, {height * 3 / 2, pitch}, at::kByte).to(where);
    }
    for (auto* view : {&in, &out}) {
      view->format = cpl::PixelFormat::kNV12;
      view->width = width;
      view->height = height;
      auto* data = (view == &in ? in_bytes : out_bytes).data_ptr<std::uint8_t>();
      view->plane[0] = data;
      view->plane[1] = data + pitch * height;
      view->stride[0] = view->stride[1] = pitch;
      view->memory = on_gpu ? cpl::MemoryKind::kCuda : cpl::MemoryKind::kSystem;
      view->stream = on_gpu ? stream : nullptr;
    }
    device.Synchronize(nullptr);
  }
  void Restore(std::int64_t window = 0) {
    restorer->Restore(cpl::AsConst(in), out, {.prompt = 2, .batch_window_ns = window});
  }

  std::unique_ptr<cpl::Restorer> restorer;
  cpl::cuda::Stream stream;
  at::Tensor in_bytes, out_bytes;
  cpl::FrameView in, out;
};

void Measure(cpl::Model& model, cpl::cuda::Device& device, const char* name, int width,
             int height) {
  constexpr int kFrames = 100;
  std::string line = name;
  for (const int count : {1, 4, 8}) {
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < count; ++i) {
      streams.push_back(std::make_unique<Stream>(model, device, width, height, true));
    }
    const auto wait = [&] {
      for (const auto& s : streams) device.Synchronize(s->stream);
    };
    for (int t = 0; t < 20; ++t) {
      for (const auto& s : streams) s->Restore();
    }
    wait();
    if (count == 1) {
      std::vector<double> times;
      for (int t = 0; t < kFrames; ++t) {
        const auto begin = Clock::now();
        streams[0]->Restore();
        wait();
        times.push_back(Since(begin) * 1e3);
      }
      std::sort(times.begin(), times.end());
      char text[96];
      std::snprintf(text, sizeof text, ": latency %.2f ms (p99 %.2f ms)", times[kFrames / 2],
                    times[kFrames * 99 / 100]);
      line += text;
    }
    const auto begin = Clock::now();
    for (int t = 0; t < kFrames; ++t) {
      for (const auto& s : streams) s->Restore();
    }
    wait();
    const double fps = kFrames * count / Since(begin);
    char text[96];
    std::snprintf(text, sizeof text, "; %d streams %.0f frames/s, %.1f at 30", count, fps,
                  fps / 30);
    line += text;
  }
  Stream system(model, device, width, height, false);
  for (int t = 0; t < 20; ++t) system.Restore();
  const auto begin = Clock::now();
  for (int t = 0; t < kFrames; ++t) system.Restore();
  char text[96];
  std::snprintf(text, sizeof text, "; from system memory %.2f ms", Since(begin) * 1e3 / kFrames);
  std::printf("%s%s\n", line.c_str(), text);
}

// Streams on threads of their own, as elements are, that all have a frame at once.
void MeasureBatches(cpl::Model& model, cpl::cuda::Device& device, const char* name, int width,
                    int height) {
  constexpr int kFrames = 200;
  std::string line = name;
  for (const int count : {2, 4, 8}) {
    for (const std::int64_t window : {0, 2'000'000}) {
      std::vector<std::unique_ptr<Stream>> streams;
      for (int i = 0; i < count; ++i) {
        streams.push_back(std::make_unique<Stream>(model, device, width, height, true));
      }
      const auto run = [&](int frames) {
        std::vector<std::thread> threads;
        for (const auto& s : streams) {
          threads.emplace_back([&device, &s, frames, window] {
            for (int t = 0; t < frames; ++t) {
              s->Restore(window);
              device.Synchronize(s->stream);
            }
          });
        }
        for (std::thread& thread : threads) thread.join();
      };
      run(20);
      const auto begin = Clock::now();
      run(kFrames);
      char text[96];
      std::snprintf(text, sizeof text, "; %d streams %s %.0f frames/s", count,
                    window == 0 ? "apart" : "in batches", kFrames * count / Since(begin));
      line += text;
    }
  }
  std::printf("%s\n", line.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    cpl::cuda::Device& device = cpl::OpenCudaDevice(-1);
    const auto model =
        cpl::LoadModel(argc > 1 ? argv[1] : "live", {.device = cpl::DeviceKind::kCuda});
    std::printf("%s, %s\n", device.info().name.c_str(), model->info().path.c_str());
    Measure(*model, device, "1280x720", 1280, 720);
    Measure(*model, device, "1920x1080", 1920, 1080);
    Measure(*model, device, "3840x2160", 3840, 2160);
    MeasureBatches(*model, device, "320x180", 320, 180);
    MeasureBatches(*model, device, "640x360", 640, 360);
    MeasureBatches(*model, device, "1280x720", 1280, 720);
    return 0;
  } catch (const cpl::Error& error) {
    std::printf("skipped: throughput: %s\n", error.what());
    return 77;
  }
}
