// SPDX-License-Identifier: Apache-2.0
//
// gst_soak [FRAMES]: pushes frames of 64x64 through cplrestore and writes
// the resident memory to standard output as it goes. Fails when it has grown by more than one per
// cent between the end of the warm-up (a tenth of the frames) and the end.

#include <gst/gst.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/gst/harness_util.h"

namespace {

long ResidentKib() {
  long total = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (!file || std::fscanf(file, "%ld %ld", &total, &resident) != 2) std::abort();
  std::fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

}  // namespace

int main(int argc, char** argv) {
  using cpl::gst_test::FrameKind;
  gst_init(&argc, &argv);
  const int frames = argc > 1 ? std::atoi(argv[1]) : 100000;
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 64};
  const std::string model = std::getenv("CPL_SOAK_MODEL") ? std::getenv("CPL_SOAK_MODEL") : "live";
  long warm = 0, most = 0;
  {
    cpl::gst_test::Filter filter{{"model", model}, {"bypass", "auto"}, {"attach-meta", "true"}};
    filter.SetCaps(kind);
    std::printf("frame\tresident_kib\n");
    for (int i = 0; i < frames; ++i) {
      // What users do now and then, all of which allocates.
      if (i % 1000 == 500) filter.Set("compare", i % 2000 == 500 ? "split" : "none");
      if (i % 5000 == 2500) {
        gst_harness_push_event(filter.harness(), gst_event_new_gap(0, GST_SECOND));
      }
      if (!filter.Push(cpl::gst_test::MakeFrame(kind, i))) {
        std::fprintf(stderr, "frame %d did not come out\n", i);
        return 1;
      }
      while (filter.Message(GST_MESSAGE_ELEMENT)) {
      }
      if (i % (frames / 100 > 0 ? frames / 100 : 1) == 0 || i == frames - 1) {
        const long now = ResidentKib();
        std::printf("%d\t%ld\n", i, now);
        if (i <= frames / 10) warm = now;
        if (i > frames / 10 && now > most) most = now;
      }
    }
  }
  std::fprintf(stderr, "resident after the warm-up %ld KiB, most after it %ld KiB\n", warm, most);
  return most > warm + warm / 100 ? 1 : 0;
}
