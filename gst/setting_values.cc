// SPDX-License-Identifier: Apache-2.0

#include "gst/properties.h"

namespace cpl {
namespace {

std::string TextOf(const GValue* value, const char* when_empty) {
  const gchar* text = g_value_get_string(value);
  return text && *text ? text : when_empty;
}

template <typename Enum>
Enum EnumOf(const GValue* value) {
  return static_cast<Enum>(g_value_get_enum(value));
}

}  // namespace

bool WriteSetting(Settings* settings, guint id, const GValue* value) {
  switch (id) {
    case kPropModel:
      settings->model = TextOf(value, kDefaultModel);
      return true;
    case kPropDevice:
      settings->device = EnumOf<Device>(value);
      return true;
    case kPropCudaDeviceId:
      settings->cuda_device_id = g_value_get_int(value);
      return true;
    case kPropPrecision:
      settings->precision = EnumOf<Precision>(value);
      return true;
    case kPropThreads:
      settings->threads = g_value_get_uint(value);
      return true;
    case kPropPreset:
      ApplyPreset(EnumOf<Preset>(value), settings);
      return true;
    case kPropDegradation:
      settings->degradation = TextOf(value, kAutoDegradation);
      return true;
    case kPropStrength:
      settings->strength = g_value_get_double(value);
      return true;
    case kPropBypass:
      settings->bypass = EnumOf<BypassMode>(value);
      return true;
    case kPropBypassThreshold:
      settings->bypass_threshold = g_value_get_double(value);
      return true;
    case kPropBypassHysteresis:
      settings->bypass_hysteresis = g_value_get_double(value);
      return true;
    case kPropTemporal:
      settings->temporal = EnumOf<TemporalMode>(value);
      return true;
    case kPropInterval:
      settings->interval = g_value_get_uint(value);
      return true;
    case kPropMaxLatency:
      settings->max_latency = g_value_get_uint64(value);
      return true;
    case kPropBatchWindow:
      settings->batch_window = g_value_get_uint64(value);
      return true;
    case kPropCompare:
      settings->compare.mode = EnumOf<CompareMode>(value);
      return true;
    case kPropComparePosition:
      settings->compare.position = g_value_get_double(value);
      return true;
    case kPropRoi:
      settings->roi = std::make_shared<const Regions>(TextOf(value, ""));
      return true;
    case kPropRoiMeta:
      settings->roi_meta = TextOf(value, "");
      return true;
    case kPropPostMessages:
      settings->post_messages = g_value_get_boolean(value);
      return true;
    case kPropAttachMeta:
      settings->attach_meta = g_value_get_boolean(value);
      return true;
    default:
      return false;
  }
}

bool ReadSetting(const Settings& settings, guint id, GValue* value) {
  const auto set_enum = [&](auto member) { g_value_set_enum(value, static_cast<gint>(member)); };
  switch (id) {
    case kPropModel:
      g_value_set_string(value, settings.model.c_str());
      return true;
    case kPropDevice:
      set_enum(settings.device);
      return true;
    case kPropCudaDeviceId:
      g_value_set_int(value, settings.cuda_device_id);
      return true;
    case kPropPrecision:
      set_enum(settings.precision);
      return true;
    case kPropThreads:
      g_value_set_uint(value, settings.threads);
      return true;
    case kPropPreset:
      set_enum(PresetOf(settings));
      return true;
    case kPropDegradation:
      g_value_set_string(value, settings.degradation.c_str());
      return true;
    case kPropStrength:
      g_value_set_double(value, settings.strength);
      return true;
    case kPropBypass:
      set_enum(settings.bypass);
      return true;
    case kPropBypassThreshold:
      g_value_set_double(value, settings.bypass_threshold);
      return true;
    case kPropBypassHysteresis:
      g_value_set_double(value, settings.bypass_hysteresis);
      return true;
    case kPropTemporal:
      set_enum(settings.temporal);
      return true;
    case kPropInterval:
      g_value_set_uint(value, settings.interval);
      return true;
    case kPropMaxLatency:
      g_value_set_uint64(value, settings.max_latency);
      return true;
    case kPropBatchWindow:
      g_value_set_uint64(value, settings.batch_window);
      return true;
    case kPropCompare:
      set_enum(settings.compare.mode);
      return true;
    case kPropComparePosition:
      g_value_set_double(value, settings.compare.position);
      return true;
    case kPropRoi:
      g_value_set_string(value, settings.roi->text().c_str());
      return true;
    case kPropRoiMeta:
      g_value_set_string(value, settings.roi_meta.c_str());
      return true;
    case kPropPostMessages:
      g_value_set_boolean(value, settings.post_messages);
      return true;
    case kPropAttachMeta:
      g_value_set_boolean(value, settings.attach_meta);
      return true;
    default:
      return false;
  }
}

}  // namespace cpl
