// SPDX-License-Identifier: Apache-2.0

#include "gst/properties.h"

GType gst_cpl_restore_precision_get_type(void) {
  static const GEnumValue kValues[] = {
      {static_cast<gint>(cpl::Precision::kAuto), "bf16 where the CPU multiplies it, else fp32",
       "auto"},
      {static_cast<gint>(cpl::Precision::kFp32), "32-bit floating point", "fp32"},
      {static_cast<gint>(cpl::Precision::kBf16), "bfloat16", "bf16"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstCplRestorePrecision", kValues);
  return type;
}

GType gst_cpl_restore_bypass_get_type(void) {
  static const GEnumValue kValues[] = {
      {static_cast<gint>(cpl::BypassMode::kAuto), "Pass frames on that the model finds clear",
       "auto"},
      {static_cast<gint>(cpl::BypassMode::kOff), "Restore every frame", "off"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstCplRestoreBypass", kValues);
  return type;
}

GType gst_cpl_restore_temporal_get_type(void) {
  static const GEnumValue kValues[] = {
      {static_cast<gint>(cpl::TemporalMode::kOff), "Restore every frame on its own", "off"},
      {static_cast<gint>(cpl::TemporalMode::kOn), "Use what earlier frames showed", "on"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstCplRestoreTemporal", kValues);
  return type;
}

namespace cpl {
namespace {

constexpr guint kMaxThreads = 1024;

constexpr GParamFlags Flags(int more) {
  return static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | more);
}

void SetString(std::string* to, const GValue* value, const char* when_empty) {
  const gchar* text = g_value_get_string(value);
  *to = text && *text ? text : when_empty;
}

}  // namespace

void InstallProperties(GObjectClass* object_class) {
  const Settings defaults;

  /**
   * GstCplRestore:model:
   *
   * The model: the path of a .safetensors file, or the name of one that is installed (`live`,
   * `live-hq`, ...). A name is looked for in the folders of the environment variable
   * CPL_MODEL_PATH and where cplrestore is installed. It is loaded when the element goes to PAUSED.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropModel,
      g_param_spec_string("model", "Model",
                          "Model to restore with: the path of a file, or the name of an installed "
                          "model",
                          kDefaultModel, Flags(GST_PARAM_MUTABLE_READY)));

  /**
   * GstCplRestore:degradation:
   *
   * What to remove. With `auto` the model looks at every frame and chooses; a name (with the
   * shipped models: noise, rain, snow or haze) holds it to that. A name that the model does not
   * know is an error when the element starts, and a warning that lists the known names while it
   * runs (the old value stays in force then).
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropDegradation,
      g_param_spec_string("degradation", "Degradation",
                          "What to remove: auto (the model decides for each frame), or a name that "
                          "the model knows, such as rain, snow, haze or noise",
                          kAutoDegradation, Flags(GST_PARAM_MUTABLE_PLAYING)));

  /**
   * GstCplRestore:strength:
   *
   * How much of the restoration to apply: 1 is the model's own answer, 0.5 goes half the way, and
   * with 0 frames pass as they are.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropStrength,
      g_param_spec_double("strength", "Strength",
                          "How much of the restoration to apply: 0 leaves the video as it is, 1 "
                          "restores fully",
                          0.0, 1.0, defaults.strength,
                          Flags(GST_PARAM_MUTABLE_PLAYING | GST_PARAM_CONTROLLABLE)));

  /**
   * GstCplRestore:precision:
   *
   * The arithmetic of the network.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropPrecision,
      g_param_spec_enum(
          "precision", "Precision",
          "Arithmetic of the network: fp32 is exact, bf16 faster on CPUs that have it",
          GST_TYPE_CPL_RESTORE_PRECISION, static_cast<gint>(defaults.precision),
          Flags(GST_PARAM_MUTABLE_READY)));

  /**
   * GstCplRestore:threads:
   *
   * How many CPU threads work on one frame.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropThreads,
      g_param_spec_uint("threads", "Threads",
                        "CPU threads that work on a frame (0 = as many as the process may use)", 0,
                        kMaxThreads, defaults.threads, Flags(GST_PARAM_MUTABLE_READY)));

  /**
   * GstCplRestore:bypass:
   *
   * With `auto`, a frame in which the model sees nothing to remove is passed on as the same buffer,
   * bit for bit and at next to no cost. It takes #GstCplRestore:degradation `auto` and a model that
   * has learnt what a clear frame is; otherwise every frame is restored.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropBypass,
      g_param_spec_enum("bypass", "Bypass",
                        "Whether clear frames are passed on untouched (takes degradation=auto)",
                        GST_TYPE_CPL_RESTORE_BYPASS, static_cast<gint>(defaults.bypass),
                        Flags(GST_PARAM_MUTABLE_PLAYING)));

  /**
   * GstCplRestore:temporal:
   *
   * Whether earlier frames help to restore the present one. No frame is delayed for it. What is
   * remembered is forgotten at a seek, a discontinuity, a change of caps and a cut of the scene.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropTemporal,
      g_param_spec_enum("temporal", "Temporal",
                        "Whether earlier frames help to restore the present one",
                        GST_TYPE_CPL_RESTORE_TEMPORAL, static_cast<gint>(defaults.temporal),
                        Flags(GST_PARAM_MUTABLE_PLAYING)));

  /**
   * GstCplRestore:stats:
   *
   * What the element has done since it started, as a #GstStructure:
   *
   * * `frames` (guint64): frames that came through
   * * `bypassed` (guint64): those of them that were passed on unchanged
   * * `degradation` (string): what was removed from, or seen in, the last frame
   * * `confidence` (gdouble): how sure the model is of that, 0 to 1
   * * `clean` (gdouble): how sure the model is that the frame is clear, 0 to 1
   * * `network-ms` (gdouble): time in the network, mean of the last ten restored frames
   * * `total-ms` (gdouble): time in the element, mean of the last ten restored frames
   * * `latency` (guint64): what the element adds to the latency of the pipeline, in nanoseconds
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropStats,
      g_param_spec_boxed("stats", "Statistics",
                         "Frames seen and passed on, what the model sees, times and latency",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

  gst_type_mark_as_plugin_api(GST_TYPE_CPL_RESTORE_PRECISION, static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_CPL_RESTORE_BYPASS, static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_CPL_RESTORE_TEMPORAL, static_cast<GstPluginAPIFlags>(0));
}

bool WriteSetting(Settings* settings, guint id, const GValue* value) {
  switch (id) {
    case kPropModel:
      SetString(&settings->model, value, kDefaultModel);
      return true;
    case kPropDegradation:
      SetString(&settings->degradation, value, kAutoDegradation);
      return true;
    case kPropStrength:
      settings->strength = g_value_get_double(value);
      return true;
    case kPropPrecision:
      settings->precision = static_cast<Precision>(g_value_get_enum(value));
      return true;
    case kPropThreads:
      settings->threads = g_value_get_uint(value);
      return true;
    case kPropBypass:
      settings->bypass = static_cast<BypassMode>(g_value_get_enum(value));
      return true;
    case kPropTemporal:
      settings->temporal = static_cast<TemporalMode>(g_value_get_enum(value));
      return true;
    default:
      return false;
  }
}

bool ReadSetting(const Settings& settings, guint id, GValue* value) {
  switch (id) {
    case kPropModel:
      g_value_set_string(value, settings.model.c_str());
      return true;
    case kPropDegradation:
      g_value_set_string(value, settings.degradation.c_str());
      return true;
    case kPropStrength:
      g_value_set_double(value, settings.strength);
      return true;
    case kPropPrecision:
      g_value_set_enum(value, static_cast<gint>(settings.precision));
      return true;
    case kPropThreads:
      g_value_set_uint(value, settings.threads);
      return true;
    case kPropBypass:
      g_value_set_enum(value, static_cast<gint>(settings.bypass));
      return true;
    case kPropTemporal:
      g_value_set_enum(value, static_cast<gint>(settings.temporal));
      return true;
    default:
      return false;
  }
}

}  // namespace cpl
