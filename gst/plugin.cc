// SPDX-License-Identifier: Apache-2.0
//
// Registers the elements. Scanning a plugin must be quick and must not fail: nothing here touches
// the runtime or LibTorch, an element opens them when it goes to READY.

#include "gst/debug.h"
#include "gst/gstcpldegrade.h"
#include "gst/gstcplrestore.h"
#include "gst/i18n.h"

GST_DEBUG_CATEGORY(cpl_restore_debug);
GST_DEBUG_CATEGORY(cpl_runtime_debug);
GST_DEBUG_CATEGORY(cpl_degrade_debug);

static gboolean plugin_init(GstPlugin* plugin) {
  cpl::BindTranslations();
  GST_DEBUG_CATEGORY_INIT(cpl_restore_debug, "cplrestore", 0, "video restoration");
  GST_DEBUG_CATEGORY_INIT(cpl_runtime_debug, "cplrestore-runtime", 0,
                          "what cplrestore's runtime and LibTorch say");
  GST_DEBUG_CATEGORY_INIT(cpl_degrade_debug, "cpldegrade", 0, "synthetic weather and noise");
  const gboolean restore = GST_ELEMENT_REGISTER(cplrestore, plugin);
  const gboolean degrade = GST_ELEMENT_REGISTER(cpldegrade, plugin);
  return restore && degrade;
}

// The name has to be that of the file, libgstcplrestore.so, or the registry refuses the plugin.
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, cplrestore,
                  "Removes rain, snow, haze and noise from live video, or adds them", plugin_init,
                  VERSION, "Apache 2.0", PACKAGE, ORIGIN)
