// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gst/base/gstbasetransform.h>

G_BEGIN_DECLS

#define GST_TYPE_CPL_DEGRADE (gst_cpl_degrade_get_type())
G_DECLARE_FINAL_TYPE(GstCplDegrade, gst_cpl_degrade, GST, CPL_DEGRADE, GstBaseTransform)

GST_ELEMENT_REGISTER_DECLARE(cpldegrade)

G_END_DECLS
