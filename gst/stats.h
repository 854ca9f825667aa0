// SPDX-License-Identifier: Apache-2.0
//
// What the read-only property `stats` tells.
#pragma once

#include <gst/gst.h>

#include <cstdint>

#include "gst/latency.h"
#include "gst/observation.h"
#include "gst/restore_stream.h"

namespace cpl {

// Plain data without a lock of its own.
struct Stats {
  std::uint64_t frames = 0;      // all that came through
  std::uint64_t bypassed = 0;    // those of them that were passed on unchanged, for any reason
  std::uint64_t late = 0;        // those that were because the sink waited
  std::uint64_t over_limit = 0;  // those that were because of max-latency
  std::uint64_t models = 0;      // that were swapped in while playing
  Observation last;
  RunningMean network_ms;  // of restored frames
  RunningMean total_ms;
  // What way the last frame took through memory, and how many took each.
  const char* path = "none";
  std::uint64_t zero_copy = 0, device_copies = 0, uploads = 0;

  void Add(const FrameResult& result) {
    ++frames;
    if (result.reason == PassReason::kNone) {
      network_ms.Add(result.report.network_ms);
      total_ms.Add(std::chrono::duration<double, std::milli>(result.spent).count());
      return;
    }
    ++bypassed;
    if (result.reason == PassReason::kLate) ++late;
    if (result.reason == PassReason::kMaxLatency) ++over_limit;
  }

  // Transfer full.
  GstStructure* ToStructure() const {
    const auto count = [](std::uint64_t n) { return static_cast<guint64>(n); };
    GstStructure* structure = gst_structure_new_empty("cplrestore-stats");
    WriteTo(structure, last);
    gst_structure_set(structure, "frames", G_TYPE_UINT64, count(frames), "bypassed", G_TYPE_UINT64,
                      count(bypassed), "late", G_TYPE_UINT64, count(late), "over-limit",
                      G_TYPE_UINT64, count(over_limit), "models-swapped", G_TYPE_UINT64,
                      count(models), "network-ms", G_TYPE_DOUBLE, network_ms.Mean(), "total-ms",
                      G_TYPE_DOUBLE, total_ms.Mean(), "path", G_TYPE_STRING, path, "zero-copy",
                      G_TYPE_UINT64, count(zero_copy), "device-copies", G_TYPE_UINT64,
                      count(device_copies), "uploads", G_TYPE_UINT64, count(uploads), nullptr);
    return structure;
  }
};

}  // namespace cpl
