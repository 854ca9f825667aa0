// SPDX-License-Identifier: Apache-2.0
#include "train/bench_machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "degrade/rng.h"
#include "model/cpu.h"

namespace cpl::train {
std::string MachineName() {
  const std::string cpus = std::to_string(AvailableCpus()) + " CPUs";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2) + ", " + cpus;
  }
  return cpus;
}

double ProcessAge() {
  std::ifstream stat("/proc/self/stat"), uptime("/proc/uptime");
  std::string text;
  std::getline(stat, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  // Field 22 of the file is the start; the name, which may hold spaces, was the second.
  for (int i = 3; i <= 22; ++i) fields >> field;
  double now = 0;
  uptime >> now;
  return now - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ResidentMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

// As GStreamer lays NV12 out by default, so that appsrc may push the same bytes.
BenchClip::BenchClip(int width, int height)
    : width_(width), height_(height), stride_((width + 3) / 4 * 4), rows_((height + 1) / 2 * 2) {
  const std::size_t luma = static_cast<std::size_t>(stride_) * rows_;
  degrade::Rng rng(1);
  std::vector<std::uint8_t> noise(65536);
  for (std::uint8_t& n : noise) n = static_cast<std::uint8_t>(rng.Integer(0, 40));
  for (int t = 0; t < kPictures; ++t) {
    std::vector<std::uint8_t>& bytes = pictures_[t];
    bytes.resize(luma + luma / 2, 128);
    const int side = std::max(8, height / 6);
    const int block_x = (width - side) * t / kPictures, block_y = height / 3;
    for (int y = 0; y < height; ++y) {
      auto n = static_cast<std::size_t>(rng.Integer(0, 65535));
      for (int x = 0; x < width; ++x) {
        const bool inside =
            x >= block_x && x < block_x + side && y >= block_y && y < block_y + side;
        const int scene = inside ? 200 : 40 + (x / 8 + y + (x * y >> 9)) % 120;
        bytes[static_cast<std::size_t>(y) * stride_ + x] =
            static_cast<std::uint8_t>(scene + noise[n++ & 65535]);
      }
    }
  }
}

FrameView BenchClip::View(std::int64_t index) {
  std::vector<std::uint8_t>& bytes = pictures_[index % kPictures];
  FrameView view;
  view.format = PixelFormat::kNV12;
  view.width = width_;
  view.height = height_;
  view.plane[0] = bytes.data();
  view.plane[1] = bytes.data() + static_cast<std::size_t>(stride_) * rows_;
  view.stride[0] = view.stride[1] = stride_;
  return view;
}

}  // namespace cpl::train
