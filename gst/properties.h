// SPDX-License-Identifier: Apache-2.0
//
// The properties of cplrestore: their descriptions, ranges and flags, and their way into Settings.
#pragma once

#include <gst/gst.h>

#include "gst/settings.h"

G_BEGIN_DECLS

#define GST_TYPE_CPL_RESTORE_PRECISION (gst_cpl_restore_precision_get_type())
GType gst_cpl_restore_precision_get_type(void);

#define GST_TYPE_CPL_RESTORE_BYPASS (gst_cpl_restore_bypass_get_type())
GType gst_cpl_restore_bypass_get_type(void);

#define GST_TYPE_CPL_RESTORE_TEMPORAL (gst_cpl_restore_temporal_get_type())
GType gst_cpl_restore_temporal_get_type(void);

G_END_DECLS

namespace cpl {

enum PropertyId : guint {
  kPropModel = 1,
  kPropDegradation,
  kPropStrength,
  kPropPrecision,
  kPropThreads,
  kPropBypass,
  kPropTemporal,
  kPropStats,
};

void InstallProperties(GObjectClass* object_class);

// Between a GValue and the settings. False when `id` is no setting. Writing `degradation` leaves
// Settings::prompt to the caller, who knows the model.
bool WriteSetting(Settings* settings, guint id, const GValue* value);
bool ReadSetting(const Settings& settings, guint id, GValue* value);

}  // namespace cpl
