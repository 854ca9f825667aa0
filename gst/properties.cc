// SPDX-License-Identifier: Apache-2.0

#include "gst/properties.h"

#include "gst/enums.h"

namespace cpl {
namespace {

constexpr guint kMaxThreads = 1024;
constexpr guint kMaxInterval = 10000;
constexpr guint64 kMostLatency = 60 * GST_SECOND;
constexpr guint64 kMostWindow = GST_SECOND;

constexpr GParamFlags Flags(int more) {
  return static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | more);
}

constexpr GParamFlags kInReady = Flags(GST_PARAM_MUTABLE_READY);
constexpr GParamFlags kInPlaying = Flags(GST_PARAM_MUTABLE_PLAYING);
constexpr GParamFlags kControllable = Flags(GST_PARAM_MUTABLE_PLAYING | GST_PARAM_CONTROLLABLE);

template <typename Enum>
constexpr gint Int(Enum value) {
  return static_cast<gint>(value);
}

// What runs, and on what.
void InstallModelProperties(GObjectClass* object_class, const Settings& defaults) {
  /**
   * GstCplRestore:model:
   *
   * The model: the path of a .safetensors file, or the name of one that is installed (`live`, ...).
   * A name is looked for in the folders of the environment variable CPL_MODEL_PATH and where
   * cplrestore is installed. It is loaded when the element goes to PAUSED; one that is set later is
   * loaded in the background and takes over between two frames. If it cannot be loaded, there is a
   * warning, the old one goes on and the property is what it was. Setting the same name again loads
   * the file anew if it has changed. Elements of one process that name the same file and precision
   * share its memory.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropModel,
      g_param_spec_string("model", "Model",
                          "Model to restore with: the name of an installed one, or the path of a "
                          ".safetensors file; may be changed while playing",
                          kDefaultModel, kInPlaying));

  /**
   * GstCplRestore:device:
   *
   * What the network runs on. With `auto` it is an NVIDIA GPU where there is one that can be used,
   * else the CPU, and the CPU goes on when the GPU fails or has too little memory. With `cuda` the
   * element does not go to READY without a GPU and says what is missing. On a GPU, frames in its
   * memory (memory:CUDAMemory) are restored there, without a copy; others are copied there and
   * back.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropDevice,
      g_param_spec_enum("device", "Device", "Processor that the neural network runs on",
                        GST_TYPE_CPL_RESTORE_DEVICE, Int(defaults.device), kInReady));

  /**
   * GstCplRestore:cuda-device-id:
   *
   * Which GPU: its number in the order of CUDA_VISIBLE_DEVICES; -1 is the first.
   *
   * Since: 0.2
   */
  g_object_class_install_property(object_class, kPropCudaDeviceId,
                                  g_param_spec_int("cuda-device-id", "CUDA device ID",
                                                   "Number of the GPU to use (-1 = the first)", -1,
                                                   G_MAXINT, defaults.cuda_device_id, kInReady));

  /**
   * GstCplRestore:precision:
   *
   * The arithmetic of the network.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropPrecision,
      g_param_spec_enum("precision", "Precision",
                        "Numbers that the network computes with: fp32 is exact, the others are "
                        "faster where the processor has instructions for them",
                        GST_TYPE_CPL_RESTORE_PRECISION, Int(defaults.precision), kInReady));

  /**
   * GstCplRestore:threads:
   *
   * How many CPU threads work on one frame. Frames of all elements in the process queue for the
   * CPUs, and run side by side only as far as their threads fit on them.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropThreads,
      g_param_spec_uint("threads", "Threads",
                        "CPU threads that work on one frame (0 = as many as the process may use)",
                        0, kMaxThreads, defaults.threads, kInReady));
}

// What is done to the picture.
void InstallPictureProperties(GObjectClass* object_class, const Settings& defaults) {
  /**
   * GstCplRestore:preset:
   *
   * Sets strength, degradation, bypass, bypass-threshold and bypass-hysteresis together; what is
   * set after it counts. Reads as `custom` when these make up none of the presets.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropPreset,
      g_param_spec_enum(
          "preset", "Preset",
          "Sets strength, degradation, bypass, bypass-threshold and bypass-hysteresis "
          "together; what is set after it counts",
          GST_TYPE_CPL_RESTORE_PRESET, Int(PresetOf(defaults)), kInPlaying));

  /**
   * GstCplRestore:degradation:
   *
   * What to remove. With `auto` the model looks at the frames and chooses; a name (with the
   * shipped models: noise, rain, snow or haze) holds it to that. A name that the model does not
   * know is an error when the element starts, and a warning that lists the known names while it
   * runs (the old value stays in force then).
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropDegradation,
      g_param_spec_string("degradation", "Degradation",
                          "What to remove: auto (the model decides), or a name that the model "
                          "knows, such as rain, snow, haze or noise",
                          kAutoDegradation, kInPlaying));

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
                          0.0, 1.0, defaults.strength, kControllable));

  /**
   * GstCplRestore:bypass:
   *
   * With `auto`, a frame in which the model sees nothing to remove is passed on as the same buffer,
   * bit for bit and at next to no cost. It takes #GstCplRestore:degradation `auto` and a model that
   * has learnt what a clear frame is; otherwise every frame is restored. With `on` every frame is
   * passed on and the model does not even look.
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropBypass,
      g_param_spec_enum("bypass", "Bypass",
                        "Which frames pass untouched, as the same buffer; auto works with "
                        "degradation=auto only",
                        GST_TYPE_CPL_RESTORE_BYPASS, Int(defaults.bypass), kInPlaying));

  /**
   * GstCplRestore:bypass-threshold:
   *
   * How sure the model must be that frames are clear before they are passed on. Lower passes more.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropBypassThreshold,
      g_param_spec_double("bypass-threshold", "Bypass threshold",
                          "How sure the model must be that frames are clear before bypass=auto "
                          "passes them: lower passes more",
                          0.0, 1.0, defaults.bypass_threshold, kInPlaying));

  /**
   * GstCplRestore:bypass-hysteresis:
   *
   * How far that certainty must fall below the threshold before frames are restored again, so that
   * light weather does not switch the restoration on and off.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropBypassHysteresis,
      g_param_spec_double("bypass-hysteresis", "Bypass hysteresis",
                          "How far below bypass-threshold the model's certainty that frames are "
                          "clear must fall before they are restored again",
                          0.0, 1.0, defaults.bypass_hysteresis, kInPlaying));

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
                        "Whether earlier frames help to restore the present one; none is delayed "
                        "for it",
                        GST_TYPE_CPL_RESTORE_TEMPORAL, Int(defaults.temporal), kInPlaying));

  /**
   * GstCplRestore:compare:
   *
   * Shows before and after in one frame. The restoration itself does not change.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropCompare,
      g_param_spec_enum("compare", "Compare", "Show original and restored picture in one frame",
                        GST_TYPE_CPL_RESTORE_COMPARE, Int(defaults.compare.mode), kInPlaying));

  /**
   * GstCplRestore:compare-position:
   *
   * With compare=split, where the dividing line stands; with side-by-side, which half of the
   * picture is shown: 0 is the left end, 1 the right one.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropComparePosition,
      g_param_spec_double("compare-position", "Compare position",
                          "Where the dividing line of compare=split stands, or which half "
                          "side-by-side shows: 0 is left, 1 right",
                          0.0, 1.0, defaults.compare.position, kControllable));

  /**
   * GstCplRestore:roi:
   *
   * Rectangles that stay as they came, such as a clock or a name that the camera writes into the
   * picture: `x,y,width,height`, several with semicolons between, each number in pixels or with a %
   * of the picture's width or height.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropRoi,
      g_param_spec_string("roi", "Regions to leave alone",
                          "Rectangles to leave as they came, such as on-screen text: "
                          "\"x,y,width,height; ...\" in pixels or percent, such as "
                          "\"0,92%,100%,8%\"",
                          "", kInPlaying));

  /**
   * GstCplRestore:roi-meta:
   *
   * Leaves the regions alone that earlier elements have marked with #GstVideoRegionOfInterestMeta
   * of this type; `*` stands for all types. Off when empty: most elements mark what they found, not
   * what is to be left alone.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropRoiMeta,
      g_param_spec_string(
          "roi-meta", "Region metas to leave alone",
          "Leave the regions as they came that earlier elements marked with a "
          "GstVideoRegionOfInterestMeta of this type (* = every type, empty = none)",
          "", kInPlaying));
}

// How much work, and what is told of it.
void InstallWorkProperties(GObjectClass* object_class, const Settings& defaults) {
  /**
   * GstCplRestore:interval:
   *
   * The model looks for the kind of weather in every n-th frame and holds to it between. A cut of
   * the scene has it look at once.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropInterval,
      g_param_spec_uint("interval", "Interval",
                        "Look for the kind of weather in every n-th frame only, and hold to it "
                        "between (1 = in every frame)",
                        1, kMaxInterval, defaults.interval, kInPlaying));

  /**
   * GstCplRestore:max-latency:
   *
   * How long a frame may take. When frames take longer, the element first has the model look for
   * the kind of weather less often, then passes frames on untouched and tries again from time to
   * time. It says so in a warning, in its messages and in `stats`. Set it on live sources to the
   * time between two frames.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropMaxLatency,
      g_param_spec_uint64("max-latency", "Maximum latency",
                          "Longest time in nanoseconds that a frame may take; when frames take "
                          "longer, the element first does less, then passes them untouched (0 = no "
                          "limit)",
                          0, kMostLatency, defaults.max_latency, kInPlaying));

  /**
   * GstCplRestore:batch-window:
   *
   * On a GPU, how long a frame may wait for frames of other elements of the process that have the
   * same model, size and kind of weather, so that they go through the network together. That is for
   * many small streams, whose frames come at about the same time; it does not change the picture.
   * An element that is alone waits for nobody, and neither does one that is flushed or stopped.
   * Without effect on the CPU.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropBatchWindow,
      g_param_spec_uint64("batch-window", "Batch window",
                          "Longest time that a frame waits for frames of other streams to share "
                          "the GPU with, in nanoseconds (0 = none does)",
                          0, kMostWindow, defaults.batch_window, kInPlaying));

  /**
   * GstCplRestore:post-messages:
   *
   * Whether to post an element message `cplrestore` when what the model sees or what the element
   * does changes, at most once a second. Its fields are the first eight of #GstCplRestore:stats;
   * there `bypassed` is a gboolean.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropPostMessages,
      g_param_spec_boolean(
          "post-messages", "Post messages",
          "Post an element message \"cplrestore\" when what the model sees or what "
          "the element does changes, at most once a second",
          defaults.post_messages, kInPlaying));

  /**
   * GstCplRestore:attach-meta:
   *
   * Whether every frame carries what the messages tell, as a #GstCustomMeta `GstCplRestoreMeta`.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropAttachMeta,
      g_param_spec_boolean(
          "attach-meta", "Attach meta",
          "Attach to every frame what the model saw in it and what the element did, "
          "as a GstCustomMeta \"GstCplRestoreMeta\"",
          defaults.attach_meta, kInPlaying));

  /**
   * GstCplRestore:stats:
   *
   * What the element has done since it started, as a #GstStructure:
   *
   * * `degradation` (string): what was removed from, or seen in, the last frame
   * * `confidence` (gdouble): how sure the model is of that, 0 to 1
   * * `clean` (gdouble): how sure the model is that the frame is clear, 0 to 1
   * * `strength` (gdouble): the strength that was applied to the last frame
   * * `reason` (string): why the last frame passed untouched: none (it was restored), clear,
   *   strength, bypass, interlaced, damaged, late or max-latency
   * * `load` (string): full, reduced or passing, see #GstCplRestore:max-latency
   * * `latency` (guint64): what the element adds to the latency of the pipeline, in nanoseconds
   * * `bypassed` (guint64): frames that were passed on unchanged
   * * `frames` (guint64): all frames
   * * `late`, `over-limit` (guint64): frames that were passed on because the sink was waiting, or
   *   because of #GstCplRestore:max-latency
   * * `models-swapped` (guint64): models that took over while playing
   * * `network-ms` (gdouble): time in the network, mean of the last ten restored frames
   * * `total-ms` (gdouble): time in the element, mean of the last ten restored frames
   * * `path` (string): the way of the last frame through memory: none, cpu, zero-copy (it was
   *   restored where it lay in the GPU's memory), device-copy (it belonged to another CUDA context
   *   and was copied on the GPU) or upload (it was copied from system memory and back)
   * * `zero-copy`, `device-copies`, `uploads` (guint64): frames that took each of these ways
   *
   * Since: 0.1
   */
  g_object_class_install_property(
      object_class, kPropStats,
      g_param_spec_boxed("stats", "Statistics",
                         "What happened since the start: frames restored and passed, why, what the "
                         "model sees, times and latency",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

}  // namespace

void InstallProperties(GObjectClass* object_class) {
  const Settings defaults;
  InstallModelProperties(object_class, defaults);
  InstallPictureProperties(object_class, defaults);
  InstallWorkProperties(object_class, defaults);
}

}  // namespace cpl
