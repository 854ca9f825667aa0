// SPDX-License-Identifier: Apache-2.0

#include "gst/enums.h"

#include "gst/settings.h"

namespace {

template <typename Enum>
constexpr gint Int(Enum value) {
  return static_cast<gint>(value);
}

// The tables must last as long as the process: GObject keeps pointers to them.
GType Register(const char* name, const GEnumValue* values) {
  const GType type = g_enum_register_static(name, values);
  gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
  return type;
}

}  // namespace

GType gst_cpl_restore_device_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::Device::kAuto), "An NVIDIA GPU where there is one, else the CPU", "auto"},
      {Int(cpl::Device::kCpu), "CPU", "cpu"},
      {Int(cpl::Device::kCuda), "NVIDIA GPU", "cuda"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestoreDevice", kValues);
  return type;
}

GType gst_cpl_restore_precision_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::Precision::kAuto), "bf16 where the CPU multiplies it, fp16 on a GPU, else fp32",
       "auto"},
      {Int(cpl::Precision::kFp32), "32-bit floating point", "fp32"},
      {Int(cpl::Precision::kBf16), "bfloat16", "bf16"},
      {Int(cpl::Precision::kFp16), "16-bit floating point, on a GPU", "fp16"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestorePrecision", kValues);
  return type;
}

GType gst_cpl_restore_bypass_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::BypassMode::kAuto), "Pass frames on that the model finds clear", "auto"},
      {Int(cpl::BypassMode::kOff), "Restore every frame", "off"},
      {Int(cpl::BypassMode::kOn), "Pass every frame on", "on"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestoreBypass", kValues);
  return type;
}

GType gst_cpl_restore_temporal_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::TemporalMode::kOff), "Restore every frame on its own", "off"},
      {Int(cpl::TemporalMode::kOn), "Use what earlier frames showed", "on"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestoreTemporal", kValues);
  return type;
}

GType gst_cpl_restore_compare_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::CompareMode::kNone), "Restored frames only", "none"},
      {Int(cpl::CompareMode::kSplit), "Original left of a line, restored right of it", "split"},
      {Int(cpl::CompareMode::kSideBySide), "The same half of the picture twice: original, restored",
       "side-by-side"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestoreCompare", kValues);
  return type;
}

GType gst_cpl_restore_preset_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::Preset::kCustom), "Settings of your own", "custom"},
      {Int(cpl::Preset::kLight), "Gentle: 60 % strength, leaves nearly clear frames alone",
       "light"},
      {Int(cpl::Preset::kMedium), "The defaults", "medium"},
      {Int(cpl::Preset::kStrong), "Full strength in every frame", "strong"},
      {Int(cpl::Preset::kNight), "Dark scenes: removes noise, in every frame", "night"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestorePreset", kValues);
  return type;
}
