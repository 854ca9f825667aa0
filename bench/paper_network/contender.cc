// SPDX-License-Identifier: Apache-2.0
//
// The C++ side of run.py: restores one picture again and again, whenever it is told to.
//
//   contender MODEL THREADS PRECISION SCRATCH_MB
//
// Reads lines "WIDTH HEIGHT IN OUT" and answers each with the milliseconds of one run; IN and OUT
// are files of float32 [3, HEIGHT, WIDTH], OUT may be "-".
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "model/paper_model_file.h"
#include "model/sparse_prompt_ir_strips.h"

namespace {

void Run(const std::string& path, int threads, bool bf16, std::int64_t scratch_mb) {
  const cpl::PaperModelFile model = cpl::ReadPaperModel(cpl::TensorFile::Open(path));
  at::set_num_threads(threads);
  cpl::StripOptions options{.threads = threads};
  if (scratch_mb > 0) options.scratch_bytes = scratch_mb << 20;
  cpl::SparsePromptIrStrips network(
      std::make_shared<cpl::StripWeights>(model.config, model.parameters,
                                          bf16 ? at::kBFloat16 : at::kFloat),
      options);
  std::int64_t width, height;
  std::string in, out;
  while (std::cin >> width >> height >> in >> out) {
    at::Tensor image = at::empty({1, 3, height, width}, at::kFloat);
    std::ifstream(in, std::ios::binary)
        .read(static_cast<char*>(image.data_ptr()), static_cast<std::streamsize>(image.nbytes()));
    const auto begin = std::chrono::steady_clock::now();
    const at::Tensor restored = image + network.Run(image);
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - begin;
    if (out != "-") {
      std::ofstream(out, std::ios::binary)
          .write(static_cast<const char*>(restored.data_ptr()),
                 static_cast<std::streamsize>(restored.nbytes()));
    }
    std::printf("%.3f\n", spent.count());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: contender MODEL THREADS fp32|bf16 SCRATCH_MB\n");
    return 1;
  }
  try {
    Run(argv[1], std::atoi(argv[2]), std::string(argv[3]) == "bf16", std::atoi(argv[4]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "contender: %s\n", error.what());
    return 1;
  }
}
