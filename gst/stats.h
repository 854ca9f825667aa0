// SPDX-License-Identifier: Apache-2.0
//
// What the read-only property `stats` tells.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gst/latency.h"
#include "gst/restore_stream.h"

namespace cpl {

// Plain data without a lock of its own.
struct Stats {
  std::uint64_t frames = 0;    // all that came through
  std::uint64_t bypassed = 0;  // those of them that were passed on unchanged
  std::string degradation;     // what the model saw last; empty before the first look
  double confidence = 0;
  double clean = 0;
  RunningMean network_ms;  // of restored frames
  RunningMean total_ms;

  // `prompts`: the names of the model's prompts.
  void Add(const FrameResult& result, const std::vector<std::string>& prompts) {
    const FrameReport& report = result.report;
    ++frames;
    if (result.looked && report.prompt >= 0 && report.prompt < static_cast<int>(prompts.size())) {
      degradation = prompts[static_cast<std::size_t>(report.prompt)];
      confidence = report.confidence;
      clean = report.clean;
    }
    if (result.fate == FrameFate::kRestore) {
      network_ms.Add(report.network_ms);
      total_ms.Add(std::chrono::duration<double, std::milli>(result.spent).count());
    } else {
      ++bypassed;
    }
  }

  // Transfer full. `latency` in nanoseconds.
  GstStructure* ToStructure(std::uint64_t latency) const {
    return gst_structure_new(
        "cplrestore-stats", "frames", G_TYPE_UINT64, static_cast<guint64>(frames), "bypassed",
        G_TYPE_UINT64, static_cast<guint64>(bypassed), "degradation", G_TYPE_STRING,
        degradation.c_str(), "confidence", G_TYPE_DOUBLE, confidence, "clean", G_TYPE_DOUBLE, clean,
        "network-ms", G_TYPE_DOUBLE, network_ms.Mean(), "total-ms", G_TYPE_DOUBLE, total_ms.Mean(),
        "latency", G_TYPE_UINT64, static_cast<guint64>(latency), nullptr);
  }
};

}  // namespace cpl
