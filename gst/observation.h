// SPDX-License-Identifier: Apache-2.0
//
// What the element tells about a frame: on the bus, in `stats` and as frame meta.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <string>

#include "gst/work_limit.h"

namespace cpl {

// Why a frame was passed on untouched.
enum class PassReason : int {
  kNone,      // it was restored
  kClear,     // the model sees nothing to remove
  kStrength,  // strength is 0
  kBypass,    // bypass is on
  kInterlaced,
  kDamaged,     // the buffer holds no frame of its caps
  kLate,        // the sink waits for it already
  kMaxLatency,  // restoring it would take longer than max-latency
};
const char* NickOf(PassReason reason);
const char* NickOf(Load load);

struct Observation {
  std::string degradation;  // what was removed or seen; empty before the first look
  double confidence = 0;
  double clean = 0;
  double strength = 0;  // that was used; 0 when the frame passed
  PassReason reason = PassReason::kNone;
  Load load = Load::kFull;
  std::uint64_t latency = 0;  // ns, that the element reports

  // Whether somebody who was told the other one should hear of this one.
  bool DiffersFrom(const Observation& told) const {
    return degradation != told.degradation || reason != told.reason || load != told.load;
  }
};

// Sets the fields that docs/elements.md lists.
void WriteTo(GstStructure* structure, const Observation& observation);

// Decides when to post: on a change, and at most once a second of the stream.
class Announcer {
 public:
  // `now` in nanoseconds of a clock that runs with the stream.
  bool IsWorthAMessage(const Observation& observation, std::uint64_t now);

  void Restart() { *this = Announcer(); }

 private:
  static constexpr std::uint64_t kInterval = GST_SECOND;

  bool has_told_ = false;
  Observation told_;
  std::uint64_t told_at_ = 0;
};

// The frame meta "GstCplRestoreMeta". Once for the process, before the first is added.
void RegisterFrameMeta();
// `buffer` is writable. Takes the place of one that an element before has left.
void AddFrameMeta(GstBuffer* buffer, const Observation& observation);

}  // namespace cpl
