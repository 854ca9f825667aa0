// SPDX-License-Identifier: Apache-2.0
//
// The enumerations of cplrestore's properties as GObject types.
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_CPL_RESTORE_DEVICE (gst_cpl_restore_device_get_type())
GType gst_cpl_restore_device_get_type(void);

#define GST_TYPE_CPL_RESTORE_PRECISION (gst_cpl_restore_precision_get_type())
GType gst_cpl_restore_precision_get_type(void);

#define GST_TYPE_CPL_RESTORE_BYPASS (gst_cpl_restore_bypass_get_type())
GType gst_cpl_restore_bypass_get_type(void);

#define GST_TYPE_CPL_RESTORE_TEMPORAL (gst_cpl_restore_temporal_get_type())
GType gst_cpl_restore_temporal_get_type(void);

#define GST_TYPE_CPL_RESTORE_COMPARE (gst_cpl_restore_compare_get_type())
GType gst_cpl_restore_compare_get_type(void);

#define GST_TYPE_CPL_RESTORE_PRESET (gst_cpl_restore_preset_get_type())
GType gst_cpl_restore_preset_get_type(void);

G_END_DECLS
