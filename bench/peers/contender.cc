// SPDX-License-Identifier: Apache-2.0
//
// Our side of run.py: the live network proper, with one prompt folded in, on given rows.
//
//   peers_contender MODEL PROMPT THREADS fp32|bf16|int8
//
// Reads lines "ACROSS DOWN RUNS X SIDE OUT FIELD": sizes in cells, multiples of the network's
// stride; X and SIDE are files of float32 [DOWN][ACROSS][12] and [16]; OUT and FIELD get what the
// last run made, [DOWN][ACROSS][16] and [DOWN / 4][ACROSS / 4][3], unless they are "-". Answers
// with the milliseconds of each run, on one line. The conditioning vector is zero. In bf16 and
// int8 the rows are rounded before anything is timed, as a stream's blend leaves them.
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "model/combine.h"
#include "model/exec_folded.h"
#include "model/exec_stream.h"
#include "model/model_file.h"

namespace cpl {
namespace {

std::vector<float> ReadFloats(const std::string& path, std::size_t count) {
  std::vector<float> values(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(count * sizeof(float)));
  if (!file) throw Error(ErrorCode::kCannotRead, path + ": is too short");
  return values;
}

void WriteFloats(const std::string& path, const std::vector<float>& values) {
  if (path == "-") return;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(float)));
}

class Rows final : public exec::FrameRows {
 public:
  Rows(int across, int down, std::vector<float> x, std::vector<float> side,
       const exec::Kernels& kernels)
      : across_(across),
        x_(std::move(x)),
        side_(std::move(side)),
        x16_(Rounded(x_)),
        side16_(Rounded(side_)),
        x8_(Bytes(x_, exec::XScale(), kernels)),
        side8_(Bytes(side_, exec::SideScale(), kernels)),
        output(static_cast<std::size_t>(across) * down * kOutputChannels),
        field(static_cast<std::size_t>(across / kMotionScale) * (down / kMotionScale) *
              kFieldChannels) {}

  void Features(int, float*) override {}
  void Keep(int, const float*) override {}
  void Input(int y, float* x, float* side) override {
    Copy(x_, y, kCellChannels, x);
    Copy(side_, y, kSideChannels, side);
  }
  void Input(int y, exec::Bf16* x, exec::Bf16* side) override {
    Copy(x16_, y, kCellChannels, x);
    Copy(side16_, y, kSideChannels, side);
  }
  void Input(int y, std::uint8_t* x, std::uint8_t* side) override {
    Copy(x8_, y, kCellChannels, x);
    Copy(side8_, y, kSideChannels, side);
  }
  void Output(int y, const float* output_row, const float* whole_field) override {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(across_) * kOutputChannels;
    std::copy_n(output_row, row, output.data() + y * row);
    if (y == 0) last_field_ = whole_field;
  }
  // After a run: it is complete only then.
  void TakeField() { std::copy_n(last_field_, field.size(), field.data()); }

 private:
  static std::vector<exec::Bf16> Rounded(const std::vector<float>& values) {
    std::vector<exec::Bf16> rounded(values.size());
    RoundRow(values.data(), static_cast<int>(values.size()), rounded.data());
    return rounded;
  }

  static std::vector<std::uint8_t> Bytes(const std::vector<float>& values,
                                         const exec::ByteScale& scale,
                                         const exec::Kernels& kernels) {
    if (kernels.element != exec::Element::kU8) return {};
    std::vector<std::uint8_t> bytes(values.size());
    exec::Quantiser(kernels, scale)
        .Run(values.data(), static_cast<int>(values.size() / scale.step.size()), bytes.data());
    return bytes;
  }

  template <typename T>
  void Copy(const std::vector<T>& from, int y, int channels, T* to) const {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(across_) * channels;
    std::copy_n(from.data() + y * row, row, to);
  }

  int across_;
  std::vector<float> x_, side_;
  std::vector<exec::Bf16> x16_, side16_;
  std::vector<std::uint8_t> x8_, side8_;
  const float* last_field_ = nullptr;

 public:
  std::vector<float> output, field;
};

const exec::Kernels& KernelsFor(const std::string& precision) {
  if (precision == "fp32") return exec::BestKernels();
  const exec::Kernels* narrow = precision == "bf16" ? exec::Bf16Kernels() : exec::Int8Kernels();
  if (narrow != nullptr) return *narrow;
  throw Error(ErrorCode::kUnsupported,
              "this processor or build has no convolution in " + precision);
}

int Main(const std::string& path, const std::string& prompt, int threads,
         const std::string& precision) {
  const LiveModelFile file = LoadLiveModel(path);
  const auto found = std::find(file.prompts.begin(), file.prompts.end(), prompt);
  if (found == file.prompts.end()) {
    throw Error(ErrorCode::kInvalidArgument, path + ": knows no prompt '" + prompt + "'");
  }
  at::Tensor mix = at::zeros({static_cast<std::int64_t>(file.prompts.size())});
  mix[found - file.prompts.begin()] = 1;
  const exec::Kernels& kernels = KernelsFor(precision);
  const FoldedNet net = Fold(file.config, file.parameters, mix);
  const exec::PackedLive packed = exec::Pack(
      file.config, net, kernels, exec::RangesFor(file.config, file.parameters, net, kernels));
  const std::vector<float> cond(file.config.conditioning);
  ThreadPool pool(threads);
  int across = 0, down = 0, runs = 0;
  std::string x, side, out, field;
  while (std::cin >> across >> down >> runs >> x >> side >> out >> field) {
    const std::size_t cells = static_cast<std::size_t>(across) * down;
    Rows rows(across, down, ReadFloats(x, cells * kCellChannels),
              ReadFloats(side, cells * kSideChannels), kernels);
    exec::LiveExecutor executor(file.config, across, down, threads, kernels);
    for (int i = 0; i < runs; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      executor.Run(packed, cond.data(), rows, pool);
      const std::chrono::duration<double, std::milli> spent =
          std::chrono::steady_clock::now() - begin;
      std::printf("%.3f ", spent.count());
    }
    std::printf("\n");
    rows.TakeField();
    WriteFloats(out, rows.output);
    WriteFloats(field, rows.field);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace cpl

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: peers_contender MODEL PROMPT THREADS fp32|bf16|int8\n");
    return 1;
  }
  try {
    return cpl::Main(argv[1], argv[2], std::atoi(argv[3]), argv[4]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "peers_contender: %s\n", error.what());
    return 1;
  }
}
