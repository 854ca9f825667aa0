// SPDX-License-Identifier: Apache-2.0
//
// The properties of cplrestore: their descriptions, ranges and flags, and their way into Settings.
#pragma once

#include <gst/gst.h>

#include "gst/settings.h"

namespace cpl {

enum PropertyId : guint {
  kPropModel = 1,
  kPropDevice,
  kPropCudaDeviceId,
  kPropPrecision,
  kPropThreads,
  kPropPreset,
  kPropDegradation,
  kPropStrength,
  kPropBypass,
  kPropBypassThreshold,
  kPropBypassHysteresis,
  kPropTemporal,
  kPropInterval,
  kPropMaxLatency,
  kPropBatchWindow,
  kPropCompare,
  kPropComparePosition,
  kPropRoi,
  kPropRoiMeta,
  kPropPostMessages,
  kPropAttachMeta,
  kPropStats,
};

void InstallProperties(GObjectClass* object_class);

// Between a GValue and the settings. False when `id` is no setting. Writing `degradation` or
// `preset` leaves Settings::prompt to the caller, who knows the model. Throws Error
// kInvalidArgument for a text that cannot be read, and changes nothing then.
bool WriteSetting(Settings* settings, guint id, const GValue* value);
bool ReadSetting(const Settings& settings, guint id, GValue* value);

}  // namespace cpl
