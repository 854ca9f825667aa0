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
      {Int(cpl::Device::kAuto), "An NVIDIA GPU where one can be used, else the CPU", "auto"},
      {Int(cpl::Device::kCpu), "The CPU", "cpu"},
      {Int(cpl::Device::kCuda), "An NVIDIA GPU; without one, an error", "cuda"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestoreDevice", kValues);
  return type;
}

GType gst_cpl_restore_precision_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::Precision::kAuto),
       "fp16 on a GPU; on CPUs the fastest of int8 (live models), bf16 and fp32", "auto"},
      {Int(cpl::Precision::kFp32), "32-bit floating point", "fp32"},
      {Int(cpl::Precision::kBf16), "16 bits with the range of fp32 (bfloat16)", "bf16"},
      {Int(cpl::Precision::kFp16), "16-bit floating point, on GPUs only", "fp16"},
      {Int(cpl::Precision::kInt8), "8-bit integers, live models on the CPU only", "int8"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestorePrecision", kValues);
  return type;
}

GType gst_cpl_restore_bypass_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::BypassMode::kAuto), "Clear frames pass, the others are restored", "auto"},
      {Int(cpl::BypassMode::kOff), "None pass: clear frames are restored too", "off"},
      {Int(cpl::BypassMode::kOn), "All pass, and the model does not look", "on"},
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
      {Int(cpl::CompareMode::kSideBySide),
       "Half of the picture twice: original left, restored right", "side-by-side"},
      {0, nullptr, nullptr},
  };
  static const GType type = Register("GstCplRestoreCompare", kValues);
  return type;
}

GType gst_cpl_restore_preset_get_type(void) {
  static const GEnumValue kValues[] = {
      {Int(cpl::Preset::kCustom), "What was set one by one; setting it changes nothing", "custom"},
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
