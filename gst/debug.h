// SPDX-License-Identifier: Apache-2.0
//
// The plugin's debug categories: GST_DEBUG=cplrestore*:5 shows what the elements do and what the
// runtime and LibTorch say. Defined and registered in plugin.cc.
#pragma once

#include <gst/gst.h>

GST_DEBUG_CATEGORY_EXTERN(cpl_restore_debug);
GST_DEBUG_CATEGORY_EXTERN(cpl_runtime_debug);
GST_DEBUG_CATEGORY_EXTERN(cpl_degrade_debug);
#ifndef GST_CAT_DEFAULT
#define GST_CAT_DEFAULT cpl_restore_debug
#endif
