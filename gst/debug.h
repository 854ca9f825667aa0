// SPDX-License-Identifier: Apache-2.0
//
// The plugin's debug category: GST_DEBUG=cplrestore:5 shows what the element does. Defined and
// registered in plugin.cc.
#pragma once

#include <gst/gst.h>

GST_DEBUG_CATEGORY_EXTERN(cpl_restore_debug);
#define GST_CAT_DEFAULT cpl_restore_debug
