// SPDX-License-Identifier: Apache-2.0

/**
 * SECTION:element-cpldegrade
 * @title: cpldegrade
 * @short_description: adds rain, snow, haze and noise to video
 *
 * Spoils video as bad weather and dark scenes do, to try out or measure what comes after it. The
 * same seed gives the same pixels on every machine, and the same as the command `cpl degrade`:
 * frame n of the stream is frame n of its clip. A flush or another stream starts the clip anew.
 *
 * Frames keep their format, size, timestamps and metas. The weather's haze takes the depth of the
 * scene from the first frame that it sees, and anew when a property changes.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc pattern=ball ! videoconvert ! cpldegrade kind=snow level=0.7 ! \
 *     cplrestore compare=split ! videoconvert ! autovideosink
 * ]| Snow, and half of it removed.
 * |[
 * gst-launch-1.0 filesrc location=street.mp4 ! decodebin ! videoconvert ! \
 *     cpldegrade kind=rain+noise seed=7 wind=0.5 ! videoconvert ! x264enc ! mp4mux ! \
 *     filesink location=rainy-street.mp4
 * ]| Slanting rain in a dark street.
 *
 * Since: 0.2
 */

#include "gst/gstcpldegrade.h"

#include <gst/video/video.h>

#include <mutex>
#include <string>

#define GST_CAT_DEFAULT cpl_degrade_debug
#include "gst/debug.h"
#include "gst/degrade_frame.h"
#include "gst/element_error.h"
#include "gst/frame_binding.h"
#include "gst/i18n.h"

using cpl::Guarded;
using cpl::Stage;
using cpl::degrade::Kind;

struct GstCplDegradePrivate {
  // Guards what properties read and write from any thread.
  std::mutex lock;
  cpl::DegradeSettings settings;

  // For the streaming thread.
  cpl::DegradeSettings now;  // of the frame in hand
  cpl::FrameLayout layout{};
  cpl::FrameDegrader degrader;
  bool warned_damaged = false;
};

struct _GstCplDegrade {
  GstBaseTransform parent;
  GstCplDegradePrivate* priv;
};

G_DEFINE_TYPE(GstCplDegrade, gst_cpl_degrade, GST_TYPE_BASE_TRANSFORM)
GST_ELEMENT_REGISTER_DEFINE(cpldegrade, "cpldegrade", GST_RANK_NONE, GST_TYPE_CPL_DEGRADE)

namespace {

enum PropertyId : guint { kPropKind = 1, kPropLevel, kPropSeed, kPropWind };

#define CPL_DEGRADE_CAPS                              \
  "video/x-raw, format = (string) " CPL_VIDEO_FORMATS \
  ", width = (int) [ 1, 16384 ], height = (int) [ 1, 16384 ], framerate = " GST_VIDEO_FPS_RANGE

GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS,
                                                             GST_STATIC_CAPS(CPL_DEGRADE_CAPS));
GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS(CPL_DEGRADE_CAPS));

constexpr guint FlagOf(Kind kind) { return 1u << static_cast<guint>(kind); }

GType KindsType() {
  static const GFlagsValue kValues[] = {
      {FlagOf(Kind::kNoise), "Noise of a dark scene, new in every frame", "noise"},
      {FlagOf(Kind::kRain), "Streaks of rain, new in every frame", "rain"},
      {FlagOf(Kind::kSnow), "Flakes that fall from frame to frame", "snow"},
      {FlagOf(Kind::kHaze), "Haze or fog that drifts, thicker with the distance", "haze"},
      {FlagOf(Kind::kBlur), "A lens out of focus and a camera that moves and shakes", "blur"},
      {FlagOf(Kind::kLowLight), "Too little light: dark, with the noise of the sensor", "lowlight"},
      {0, nullptr, nullptr},
  };
  static const GType type = [] {
    const GType flags = g_flags_register_static("GstCplDegradeKind", kValues);
    gst_type_mark_as_plugin_api(flags, static_cast<GstPluginAPIFlags>(0));
    return flags;
  }();
  return type;
}

guint ToFlags(cpl::degrade::KindSet kinds) {
  guint flags = 0;
  for (const Kind kind : cpl::degrade::kAllKinds) flags |= kinds.Has(kind) ? FlagOf(kind) : 0;
  return flags;
}

cpl::degrade::KindSet FromFlags(guint flags) {
  cpl::degrade::KindSet kinds;
  for (const Kind kind : cpl::degrade::kAllKinds) {
    if (flags & FlagOf(kind)) kinds.Add(kind);
  }
  return kinds;
}

GstCplDegradePrivate* PrivateOf(gpointer self) { return GST_CPL_DEGRADE(self)->priv; }

GstBaseTransformClass* ParentClass() {
  return GST_BASE_TRANSFORM_CLASS(gst_cpl_degrade_parent_class);
}

void Finalize(GObject* object) {
  delete PrivateOf(object);
  G_OBJECT_CLASS(gst_cpl_degrade_parent_class)->finalize(object);
}

void SetProperty(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto* priv = PrivateOf(object);
  const std::lock_guard lock(priv->lock);
  switch (id) {
    case kPropKind:
      priv->settings.kinds = FromFlags(g_value_get_flags(value));
      break;
    case kPropLevel:
      priv->settings.level = g_value_get_double(value);
      break;
    case kPropSeed:
      priv->settings.seed = g_value_get_uint64(value);
      break;
    case kPropWind:
      priv->settings.wind = g_value_get_double(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

void GetProperty(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* priv = PrivateOf(object);
  const std::lock_guard lock(priv->lock);
  switch (id) {
    case kPropKind:
      g_value_set_flags(value, ToFlags(priv->settings.kinds));
      break;
    case kPropLevel:
      g_value_set_double(value, priv->settings.level);
      break;
    case kPropSeed:
      g_value_set_uint64(value, priv->settings.seed);
      break;
    case kPropWind:
      g_value_set_double(value, priv->settings.wind);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

gboolean Start(GstBaseTransform* trans) {
  auto* priv = PrivateOf(trans);
  priv->degrader.Restart();
  priv->warned_damaged = false;
  return TRUE;
}

gboolean SetCaps(GstBaseTransform* trans, GstCaps* in_caps, GstCaps* out_caps) {
  return Guarded(GST_ELEMENT(trans), Stage::kFrame, FALSE, [&] {
    PrivateOf(trans)->layout = cpl::LayoutFromCaps(in_caps);
    return TRUE;
  });
}

gboolean GetUnitSize(GstBaseTransform* trans, GstCaps* caps, gsize* size) {
  GstVideoInfo info;
  if (!gst_video_info_from_caps(&info, caps)) return FALSE;
  *size = GST_VIDEO_INFO_SIZE(&info);
  return TRUE;
}

// Frames go on in the memory in which they came, so that the next element's wishes are ours.
gboolean ProposeAllocation(GstBaseTransform* trans, GstQuery* decide_query, GstQuery* query) {
  return gst_pad_peer_query(GST_BASE_TRANSFORM_SRC_PAD(trans), query);
}

gboolean SinkEvent(GstBaseTransform* trans, GstEvent* event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP ||
      GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START) {
    PrivateOf(trans)->degrader.Restart();
  }
  return ParentClass()->sink_event(trans, event);
}

void BeforeTransform(GstBaseTransform* trans, GstBuffer* buffer) {
  auto* priv = PrivateOf(trans);
  const GstClockTime time =
      gst_segment_to_stream_time(&trans->segment, GST_FORMAT_TIME, GST_BUFFER_TIMESTAMP(buffer));
  if (GST_CLOCK_TIME_IS_VALID(time)) gst_object_sync_values(GST_OBJECT(trans), time);
  {
    const std::lock_guard lock(priv->lock);
    priv->now = priv->settings;
  }
  const bool pass = priv->now.DoNothing();
  gst_base_transform_set_passthrough(trans, pass);
  if (pass) priv->degrader.Skip();
}

GstFlowReturn TransformIp(GstBaseTransform* trans, GstBuffer* buffer) {
  return Guarded(GST_ELEMENT(trans), Stage::kFrame, GST_FLOW_ERROR, [&] {
    auto* priv = PrivateOf(trans);
    cpl::MappedFrame frame;
    const std::string damage = frame.Map(buffer, priv->layout, GST_MAP_READWRITE);
    if (damage.empty()) {
      priv->degrader.Apply(frame.view(), priv->now);
      return GST_FLOW_OK;
    }
    priv->degrader.Skip();
    GST_DEBUG_OBJECT(trans, "passing a bad buffer on: %s", damage.c_str());
    if (!priv->warned_damaged) {
      priv->warned_damaged = true;
      GST_ELEMENT_WARNING(trans, STREAM, WRONG_TYPE,
                          (_("A buffer that does not hold a frame of its caps passes unchanged.")),
                          ("%s; further ones are in the debug log only", damage.c_str()));
    }
    return GST_FLOW_OK;
  });
}

void InstallProperties(GObjectClass* object_class) {
  const cpl::DegradeSettings defaults;
  constexpr auto kFlags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                   GST_PARAM_MUTABLE_PLAYING);
  constexpr auto kControllable = static_cast<GParamFlags>(kFlags | GST_PARAM_CONTROLLABLE);

  /**
   * GstCplDegrade:kind:
   *
   * What to add, one or several: `rain`, `rain+noise`. Several come in the order of nature: rain,
   * snow, haze, noise.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropKind,
      g_param_spec_flags("kind", "Kind",
                         "What to add: one or several joined by +, such as rain+noise", KindsType(),
                         ToFlags(defaults.kinds), kFlags));

  /**
   * GstCplDegrade:level:
   *
   * How bad it is. 0 passes frames as they are, the same buffer.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropLevel,
      g_param_spec_double("level", "Level",
                          "How heavy it is: 0 leaves frames as they are, 0.5 is middling, 1 severe",
                          0.0, 1.0, defaults.level, kControllable));

  /**
   * GstCplDegrade:seed:
   *
   * The same seed gives the same weather on every machine.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropSeed,
      g_param_spec_uint64(
          "seed", "Seed",
          "Number that chooses the weather: the same one gives the same weather on every machine",
          0, G_MAXUINT64, defaults.seed, kFlags));

  /**
   * GstCplDegrade:wind:
   *
   * Wind besides what the seed brings: it slants rain, drives flakes sideways (at 1 as fast as they
   * fall) and moves banks of fog. With 0 the pixels are those of `cpl degrade`.
   *
   * Since: 0.2
   */
  g_object_class_install_property(
      object_class, kPropWind,
      g_param_spec_double("wind", "Wind",
                          "Wind added to what the seed brings: -1 blows hard to the left, 1 to the "
                          "right",
                          -1.0, 1.0, defaults.wind, kControllable));
}

}  // namespace

static void gst_cpl_degrade_class_init(GstCplDegradeClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  auto* trans_class = GST_BASE_TRANSFORM_CLASS(klass);

  object_class->finalize = Finalize;
  object_class->set_property = SetProperty;
  object_class->get_property = GetProperty;
  InstallProperties(object_class);

  gst_element_class_set_static_metadata(
      element_class, "Synthetic weather", "Filter/Effect/Video",
      "Adds rain, snow, haze, blur, low light and noise to video, the same for the same seed: to "
      "test or show what restores it",
      "The cplrestore authors");
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);

  trans_class->passthrough_on_same_caps = FALSE;
  trans_class->transform_ip_on_passthrough = FALSE;
  trans_class->start = GST_DEBUG_FUNCPTR(Start);
  trans_class->set_caps = GST_DEBUG_FUNCPTR(SetCaps);
  trans_class->get_unit_size = GST_DEBUG_FUNCPTR(GetUnitSize);
  trans_class->propose_allocation = GST_DEBUG_FUNCPTR(ProposeAllocation);
  trans_class->sink_event = GST_DEBUG_FUNCPTR(SinkEvent);
  trans_class->before_transform = GST_DEBUG_FUNCPTR(BeforeTransform);
  trans_class->transform_ip = GST_DEBUG_FUNCPTR(TransformIp);
}

static void gst_cpl_degrade_init(GstCplDegrade* self) { self->priv = new GstCplDegradePrivate(); }
