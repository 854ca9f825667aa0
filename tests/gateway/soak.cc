// SPDX-License-Identifier: Apache-2.0
//
// gateway_soak [RECONNECTS]: a camera that ends its stream after a few frames, again and again, and
// the gateway's resident memory and open files over the reconnects, as tab-separated values on
// standard output. Fails when after a fifth of them the memory grows by more than 3 % and 3 MB, or
// files stay open.

#include <gst/gst.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/gateway/fake_camera.h"
#include "tests/gateway/gateway_process.h"
#include "tests/gateway/viewer.h"

int main(int argc, char** argv) {
  using namespace cpl::gateway_test;
  gst_init(&argc, &argv);
  const int reconnects = argc > 1 ? std::atoi(argv[1]) : 1000;
  FakeCamera camera({.extra = "num-buffers=4"}), steady;
  GatewayProcess gateway(
      "[[camera]]\nname = \"flaps\"\nurl = \"" + camera.url() +
      "\"\nreconnect_seconds = 0.02\nreconnect_max_seconds = 0.02\n[[camera]]\nname = \"steady\"\n"
      "url = \"" +
      steady.url() + "\"\n");
  if (!gateway.IsRunning()) {
    std::fprintf(stderr, "%s", gateway.LogText().c_str());
    return 1;
  }
  Viewer viewer(gateway.RtspUrl("flaps"));
  std::printf("reconnects\tresident_kib\topen_files\n");
  double warm = 0, most = 0, files = 0, most_files = 0;
  for (int count = 0; count < reconnects;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (!gateway.IsRunning()) {
      std::fprintf(stderr, "the gateway ended\n%s", gateway.LogText().c_str());
      return 1;
    }
    const int now =
        static_cast<int>(gateway.Metric("cpl_gateway_reconnects_total{camera=\"flaps\""));
    const int step = std::max(1, reconnects / 50);
    if (now / step == count / step) continue;
    count = now;
    const double memory = gateway.Metric("process_resident_memory_bytes") / 1024;
    const double open = gateway.Metric("process_open_fds");
    std::printf("%d\t%.0f\t%.0f\n", count, memory, open);
    std::fflush(stdout);
    if (count <= reconnects / 5) {
      warm = std::max(warm, memory);
      files = std::max(files, open);
    } else {
      most = std::max(most, memory);
      most_files = std::max(most_files, open);
    }
  }
  const double other = gateway.Metric("cpl_gateway_reconnects_total{camera=\"steady\"");
  std::fprintf(
      stderr,
      "resident: at most %.0f KiB in the first fifth, %.0f KiB after it; open files: %.0f, "
      "%.0f; the client got %d frames; the steady camera reconnected %.0f times\n",
      warm, most, files, most_files, viewer.frames(), other);
  const bool flat = most <= warm + std::max(0.03 * warm, 3000.0) && most_files <= files + 8;
  return flat && other == 0 && viewer.Fault().empty() ? 0 : 1;
}
