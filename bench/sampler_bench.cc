// SPDX-License-Identifier: Apache-2.0
//
// How fast training samples are made, on one thread: each kind of sample, with and without what a
// recipe may add (layers out of a bank, H.264), as a ratio to plain ones of the first kind.
// Times are the processor's, so that other work on the machine counts little.
//
//   ninja -C build bench/sampler_bench && build/bench/sampler_bench DIR [SECONDS [PROMPT...]]
//
// DIR is a folder of clean photos. With PROMPTs, only those, and without H.264: for a profile. The
// share of a whole step is what `data_share` in a run's log.jsonl says.
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cpl/error.h"
#include "train/sampler.h"

namespace {

using cpl::train::Recipe;
using cpl::train::Sampler;
using cpl::train::Stage;
using cpl::train::WorkerPool;

double Seconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Milliseconds for one sample of the prompt.
double Measure(const Sampler& sampler, int frames, const std::string& prompt, double seconds) {
  WorkerPool pool(1, nullptr);
  Stage stage;
  stage.frames = frames;
  stage.mixed = 0.25;
  stage.batch = {{prompt, 4}};
  sampler.Make(stage, 0, pool);
  const double start = Seconds();
  int samples = 0;
  for (std::int64_t step = 1; Seconds() - start < seconds; ++step, samples += 4) {
    sampler.Make(stage, step, pool);
  }
  return 1e3 * (Seconds() - start) / samples;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: sampler_bench DIR [SECONDS for each figure [PROMPT...]]\n");
    return 1;
  }
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  try {
    Recipe recipe;
    recipe.sources = {{argv[1]}};
    recipe.prompts = {"clean", "noise", "rain", "snow", "haze", "blur", "lowlight"};
    const bool some = argc > 3;
    if (some) recipe.prompts.assign(argv + 3, argv + argc);
    Recipe banked = recipe;
    banked.bank = 64;
    Recipe coded = recipe;
    coded.h264_share = 1;
    const Sampler plain(recipe), bank(banked), h264(coded);
    std::printf("milliseconds a sample of 128x128 on one thread\n");
    std::printf("%-8s %-10s %8s %8s %8s %8s\n", "frames", "prompt", "plain", "bank", "h264",
                "/first");
    for (int frames : {1, 5}) {
      double clean = 0;
      for (const std::string& prompt : recipe.prompts) {
        const double a = Measure(plain, frames, prompt, seconds);
        const double b = Measure(bank, frames, prompt, seconds);
        const double c = some ? 0 : Measure(h264, frames, prompt, seconds);
        if (prompt == recipe.prompts[0]) clean = a;
        std::printf("%-8d %-10s %8.2f %8.2f %8.2f %8.1f\n", frames, prompt.c_str(), a, b, c,
                    a / clean);
      }
    }
  } catch (const cpl::Error& error) {
    std::fprintf(stderr, "sampler_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
