// SPDX-License-Identifier: Apache-2.0
//
// GstCplRestore, the element `cplrestore`. See the SECTION block in gstcplrestore.cc.
#pragma once

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS

#define GST_TYPE_CPL_RESTORE (gst_cpl_restore_get_type())
G_DECLARE_FINAL_TYPE(GstCplRestore, gst_cpl_restore, GST, CPL_RESTORE, GstBaseTransform)

GST_ELEMENT_REGISTER_DECLARE(cplrestore)

G_END_DECLS
