// SPDX-License-Identifier: Apache-2.0

#include "gst/observation.h"

namespace cpl {
namespace {

constexpr char kMetaName[] = "GstCplRestoreMeta";

}  // namespace

const char* NickOf(PassReason reason) {
  switch (reason) {
    case PassReason::kNone:
      return "none";
    case PassReason::kClear:
      return "clear";
    case PassReason::kStrength:
      return "strength";
    case PassReason::kBypass:
      return "bypass";
    case PassReason::kInterlaced:
      return "interlaced";
    case PassReason::kDamaged:
      return "damaged";
    case PassReason::kLate:
      return "late";
    case PassReason::kMaxLatency:
      return "max-latency";
  }
  return "unknown";
}

const char* NickOf(Load load) {
  switch (load) {
    case Load::kFull:
      return "full";
    case Load::kReduced:
      return "reduced";
    case Load::kPassing:
      return "passing";
  }
  return "unknown";
}

void WriteTo(GstStructure* structure, const Observation& observation) {
  gst_structure_set(structure, "degradation", G_TYPE_STRING, observation.degradation.c_str(),
                    "confidence", G_TYPE_DOUBLE, observation.confidence, "clean", G_TYPE_DOUBLE,
                    observation.clean, "strength", G_TYPE_DOUBLE, observation.strength, "bypassed",
                    G_TYPE_BOOLEAN, observation.reason != PassReason::kNone, "reason",
                    G_TYPE_STRING, NickOf(observation.reason), "load", G_TYPE_STRING,
                    NickOf(observation.load), "latency", G_TYPE_UINT64,
                    static_cast<guint64>(observation.latency), nullptr);
}

bool Announcer::IsWorthAMessage(const Observation& observation, std::uint64_t now) {
  if (has_told_) {
    if (!observation.DiffersFrom(told_)) return false;
    // A clock that went back is that of another part of the stream.
    if (now >= told_at_ && now - told_at_ < kInterval) return false;
  }
  has_told_ = true;
  told_ = observation;
  told_at_ = now;
  return true;
}

void RegisterFrameMeta() {
  static const gchar* no_tags[] = {nullptr};
  if (!gst_meta_get_info(kMetaName)) {
    gst_meta_register_custom(kMetaName, no_tags, nullptr, nullptr, nullptr);
  }
}

void AddFrameMeta(GstBuffer* buffer, const Observation& observation) {
  GstCustomMeta* meta = gst_buffer_get_custom_meta(buffer, kMetaName);
  if (!meta) meta = gst_buffer_add_custom_meta(buffer, kMetaName);
  WriteTo(gst_custom_meta_get_structure(meta), observation);
}

}  // namespace cpl
