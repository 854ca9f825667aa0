// SPDX-License-Identifier: Apache-2.0
//
// Registers the elements. Scanning a plugin must be quick and must not fail: nothing here touches
// the runtime or LibTorch, an element opens them when it goes to READY.

#include "gst/debug.h"
#include "gst/gstcplrestore.h"

GST_DEBUG_CATEGORY(cpl_restore_debug);

static gboolean plugin_init(GstPlugin* plugin) {
  GST_DEBUG_CATEGORY_INIT(cpl_restore_debug, "cplrestore", 0, "video restoration");
  return GST_ELEMENT_REGISTER(cplrestore, plugin);
}

// The name has to be that of the file, libgstcplrestore.so, or the registry refuses the plugin.
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, cplrestore,
                  "Removes rain, snow, haze and noise from live video", plugin_init, VERSION,
                  "Apache 2.0", PACKAGE, ORIGIN)
