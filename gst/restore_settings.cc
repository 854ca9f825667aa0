// SPDX-License-Identifier: Apache-2.0
//
// cplrestore's properties, as GObject writes and reads them.

#include <exception>
#include <string>
#include <utility>

#include "cpl/error.h"
#include "gst/debug.h"
#include "gst/element_error.h"
#include "gst/i18n.h"
#include "gst/properties.h"
#include "gst/restore_private.h"

namespace cpl {
namespace {

GstCplRestorePrivate* PrivateOf(gpointer self) { return GST_CPL_RESTORE(self)->priv; }

// Settings that writing another one changes.
const char* const kPartsOfPreset[] = {"strength", "degradation", "bypass", "bypass-threshold",
                                      "bypass-hysteresis"};

// Throws Error when the value cannot be taken; nothing has changed then.
void ApplySetting(GObject* object, guint id, const GValue* value) {
  auto* priv = PrivateOf(object);
  std::string other_model;
  {
    const std::lock_guard lock(priv->lock);
    Settings settings = priv->settings;
    if (!WriteSetting(&settings, id, value)) {
      throw Error(ErrorCode::kInvalidArgument, _("This property cannot be set."));
    }
    const bool runs = !priv->model.prompts.empty();
    if (runs && settings.degradation != priv->settings.degradation) {
      settings.prompt = PromptByName(priv->model, settings.degradation);
    }
    if (runs && id == kPropModel) other_model = settings.model;
    priv->settings = std::move(settings);
  }
  if (!other_model.empty()) RequestModel(GST_ELEMENT(object), other_model);
}

// In NULL there is no bus yet, as when gst-launch-1.0 reads its command line, or one that throws
// everything away: what is wrong is told when the element starts.
bool NobodyHears(GstElement* element) {
  GST_OBJECT_LOCK(element);
  const bool is_null =
      GST_STATE(element) == GST_STATE_NULL && GST_STATE_NEXT(element) == GST_STATE_VOID_PENDING;
  GST_OBJECT_UNLOCK(element);
  return is_null;
}

}  // namespace

void RestoreSetProperty(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  GstElement* element = GST_ELEMENT(object);
  try {
    ApplySetting(object, id, value);
    GST_DEBUG_OBJECT(object, "%s changed", pspec->name);
    if (id != kPropPreset) return;
    for (const char* part : kPartsOfPreset) g_object_notify(object, part);
  } catch (...) {
    if (!NobodyHears(element)) {
      PostCurrentException(element, Stage::kSettings, GST_MESSAGE_WARNING);
      return;
    }
    auto* priv = PrivateOf(object);
    const std::lock_guard lock(priv->lock);
    priv->unheard = std::current_exception();
  }
}

void PostUnheardComplaint(GstElement* element) {
  auto* priv = PrivateOf(element);
  std::exception_ptr unheard;
  {
    const std::lock_guard lock(priv->lock);
    unheard.swap(priv->unheard);
  }
  try {
    if (unheard) std::rethrow_exception(unheard);
  } catch (...) {
    PostCurrentException(element, Stage::kSettings, GST_MESSAGE_WARNING);
  }
}

void RestoreGetProperty(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* priv = PrivateOf(object);
  const std::lock_guard lock(priv->lock);
  if (id == kPropStats) {
    priv->stats.last.latency = priv->latency.reported();
    g_value_take_boxed(value, priv->stats.ToStructure());
  } else if (!ReadSetting(priv->settings, id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

}  // namespace cpl
