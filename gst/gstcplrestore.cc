// SPDX-License-Identifier: Apache-2.0

/**
 * SECTION:element-cplrestore
 * @title: cplrestore
 * @short_description: removes rain, snow, haze and noise from live video
 *
 * Restores video that bad weather or a dark scene has spoilt. One network removes rain, snow, haze
 * and noise; it looks at every frame to see which of them there is, and a frame that is clear goes
 * on untouched, as the same buffer. It needs no property set.
 *
 * Frames keep their format, size, timestamps and metas, and none is delayed. Interlaced frames pass
 * unchanged (put `deinterlace` in front), and so do buffers that do not hold a frame of their caps,
 * with a warning. Caps may leave out the framerate.
 *
 * Frames that come too late for the sink pass untouched, and are dropped only with qos=true. On a
 * machine that is too slow, #GstCplRestore:max-latency bounds the time that frames take. What the
 * element sees and does is told in element messages, in #GstCplRestore:stats and, on demand, with
 * every frame. Elements of one process share the weights of their models and take turns on the
 * CPUs.
 *
 * The element opens the restoration runtime, with LibTorch, when it goes to READY, and loads the
 * model when it goes to PAUSED; another one may be set while playing. The environment variable
 * CPL_RUNTIME names another runtime.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 filesrc location=rain.mp4 ! decodebin ! videoconvert ! cplrestore ! \
 *     videoconvert ! autovideosink
 * ]| Restores a file; the model finds out what is wrong with it.
 * |[
 * gst-launch-1.0 rtspsrc location=rtsp://camera/stream ! decodebin ! videoconvert ! \
 *     queue leaky=downstream max-size-buffers=2 ! cplrestore degradation=snow strength=0.8 ! \
 *     videoconvert ! autovideosink sync=false
 * ]| Removes snow, and a little less than all of it, from a camera. The leaky queue drops frames
 * while the machine cannot keep up.
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! cplrestore model=/srv/models/yard.safetensors \
 *     bypass=off ! videoconvert ! autovideosink
 * ]| Uses a model of your own, on clear frames too.
 * |[
 * gst-launch-1.0 v4l2src ! videoconvert ! cplrestore preset=night compare=split \
 *     roi="0,92%,100%,8%" max-latency=33000000 ! videoconvert ! autovideosink
 * ]| Shows before and after of a dark scene, leaves the clock at the bottom of the picture alone,
 * and passes frames on where restoring one takes longer than 33 ms.
 *
 * Since: 0.1
 */

#include "gst/gstcplrestore.h"

#include <gst/video/video.h>

#include <mutex>

#include "gst/allocation.h"
#include "gst/debug.h"
#include "gst/element_error.h"
#include "gst/i18n.h"
#include "gst/properties.h"
#include "gst/refused_caps.h"
#include "gst/restore_private.h"

using cpl::Guarded;
using cpl::Stage;

G_DEFINE_TYPE_WITH_CODE(GstCplRestore, gst_cpl_restore, GST_TYPE_BASE_TRANSFORM,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_PRESET, nullptr))
GST_ELEMENT_REGISTER_DEFINE(cplrestore, "cplrestore", GST_RANK_NONE, GST_TYPE_CPL_RESTORE)

GstBaseTransformClass* cpl::RestoreParentClass() {
  return GST_BASE_TRANSFORM_CLASS(gst_cpl_restore_parent_class);
}

namespace {

// The first that both sides know is taken: frames on the GPU stay there.
#ifdef CPL_GST_CUDA
#define CPL_GPU_CAPS                                                        \
  "video/x-raw(memory:CUDAMemory), format = (string) " CPL_CUDA_FORMATS     \
  ", width = (int) [ 16, 16384 ], height = (int) [ 16, 16384 ], framerate " \
  "= " GST_VIDEO_FPS_RANGE "; "
#else
#define CPL_GPU_CAPS
#endif
#define CPL_CAPS                                                      \
  CPL_GPU_CAPS "video/x-raw, format = (string) " CPL_VIDEO_FORMATS    \
               ", width = (int) [ 16, 16384 ], height = (int) [ 16, " \
               "16384 ], framerate = " GST_VIDEO_FPS_RANGE

GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS(CPL_CAPS));
GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS(CPL_CAPS));

GstCplRestorePrivate* PrivateOf(gpointer self) { return GST_CPL_RESTORE(self)->priv; }

GstBaseTransformClass* ParentClass() { return cpl::RestoreParentClass(); }

void Finalize(GObject* object) {
  delete PrivateOf(object);
  G_OBJECT_CLASS(gst_cpl_restore_parent_class)->finalize(object);
}

void LogFromRuntime(cpl::LogLevel level, const char* text) {
  GST_CAT_LEVEL_LOG(cpl_runtime_debug,
                    level == cpl::LogLevel::kWarning ? GST_LEVEL_WARNING : GST_LEVEL_INFO, nullptr,
                    "%s", text);
}

// Whether frames wait for those of other streams; any thread may say so.
void Hurry(gpointer element, bool on) {
  auto* priv = PrivateOf(element);
  const std::lock_guard lock(priv->lock);
  if (priv->stream) priv->stream->Hurry(on);
}

GstStateChangeReturn ChangeState(GstElement* element, GstStateChange change) {
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) Hurry(element, true);
  if (change == GST_STATE_CHANGE_NULL_TO_READY) {
    auto* priv = PrivateOf(element);
    const bool opened = Guarded(element, Stage::kRuntime, false, [&] {
      priv->runtime = &cpl::OpenRuntime();
      priv->runtime->set_log(&LogFromRuntime);
      GST_INFO_OBJECT(element, "runtime %s, %s", priv->runtime->name, priv->runtime->version);
      return true;
    });
    const bool usable = opened && Guarded(element, Stage::kModel, false, [&] {
                          cpl::ChooseDevice(element);
                          return true;
                        });
    if (!usable) return GST_STATE_CHANGE_FAILURE;
    cpl::PostUnheardComplaint(element);
  }
  const GstStateChangeReturn changed =
      GST_ELEMENT_CLASS(gst_cpl_restore_parent_class)->change_state(element, change);
  if (change == GST_STATE_CHANGE_READY_TO_NULL) PrivateOf(element)->cuda.Close();
  return changed;
}

void SetContext(GstElement* element, GstContext* context) {
  auto* priv = PrivateOf(element);
  if (cpl::MayUseCuda(priv)) {
    priv->cuda.TakeContext(element, context, cpl::CudaDeviceId(priv));
  }
  GST_ELEMENT_CLASS(gst_cpl_restore_parent_class)->set_context(element, context);
}

gboolean Start(GstBaseTransform* trans) {
  return Guarded(GST_ELEMENT(trans), Stage::kModel, FALSE, [&] {
    auto* priv = PrivateOf(trans);
    priv->latency.Clear();
    priv->limit.Restart();
    priv->announcer.Restart();
    priv->earliest = GST_CLOCK_TIME_NONE;
    priv->warned_damaged = false;
    priv->warned_slow = false;
    cpl::StartModel(GST_ELEMENT(trans));
    return TRUE;
  });
}

gboolean Stop(GstBaseTransform* trans) {
  return Guarded(GST_ELEMENT(trans), Stage::kModel, FALSE, [&] {
    auto* priv = PrivateOf(trans);
    priv->swap.Cancel();
    std::unique_ptr<cpl::RestoreStream> stream;
    {
      const std::lock_guard lock(priv->lock);
      stream = std::move(priv->stream);
    }
    stream.reset();
    gst_clear_buffer(&priv->imported);
    const std::lock_guard lock(priv->lock);
    priv->model = {};
    priv->settings.prompt = cpl::kAutoPrompt;
    return TRUE;
  });
}

gboolean SetCaps(GstBaseTransform* trans, GstCaps* in_caps, GstCaps* out_caps) {
  return Guarded(GST_ELEMENT(trans), Stage::kFrame, FALSE, [&]() -> gboolean {
    auto* priv = PrivateOf(trans);
    if (!priv->stream) return FALSE;
    cpl::FrameLayout layout = cpl::LayoutFromCaps(in_caps);
    layout.on_gpu = cpl::IsOnGpu(in_caps) && priv->cuda.is_open() &&
                    priv->stream->device() == cpl::DeviceKind::kCuda;
    if (!priv->stream->SetLayout(layout)) return TRUE;
    GST_DEBUG_OBJECT(trans, "caps %" GST_PTR_FORMAT, in_caps);
    priv->latency.Restart();
    priv->limit.Restart();
    const auto mode = GST_VIDEO_INFO_INTERLACE_MODE(&layout.info);
    if (mode != GST_VIDEO_INTERLACE_MODE_PROGRESSIVE && mode != GST_VIDEO_INTERLACE_MODE_MIXED) {
      GST_ELEMENT_WARNING(trans, STREAM, FORMAT,
                          (_("Interlaced video passes unchanged: put the deinterlace element in "
                             "front of cplrestore.")),
                          ("caps %" GST_PTR_FORMAT, in_caps));
    }
    return TRUE;
  });
}

gboolean GetUnitSize(GstBaseTransform* trans, GstCaps* caps, gsize* size) {
  GstVideoInfo info;
  if (!gst_video_info_from_caps(&info, caps)) return FALSE;
  *size = GST_VIDEO_INFO_SIZE(&info);
  return TRUE;
}

// Padded input has another size than its caps say; output has not.
gboolean TransformSize(GstBaseTransform* trans, GstPadDirection direction, GstCaps* caps,
                       gsize size, GstCaps* other_caps, gsize* other_size) {
  return GetUnitSize(trans, other_caps, other_size);
}

gboolean ProposeAllocation(GstBaseTransform* trans, GstQuery* decide_query, GstQuery* query) {
  if (!ParentClass()->propose_allocation(trans, decide_query, query)) return FALSE;
  if (decide_query == nullptr) return TRUE;
  GstCaps* caps = nullptr;
  gst_query_parse_allocation(query, &caps, nullptr);
  return cpl::IsOnGpu(caps) ? PrivateOf(trans)->cuda.ProposeAllocation(query)
                            : cpl::ProposeVideoAllocation(query);
}

gboolean DecideAllocation(GstBaseTransform* trans, GstQuery* query) {
  auto* priv = PrivateOf(trans);
  GstCaps* caps = nullptr;
  gst_query_parse_allocation(query, &caps, nullptr);
  const bool on_gpu = cpl::IsOnGpu(caps);
  if (on_gpu && !priv->cuda.DecideAllocation(query)) return FALSE;
  // Who takes frames of the GPU's memory knows that their rows are longer than the picture.
  const bool reads_video_meta = on_gpu || cpl::DecideVideoAllocation(query);
  if (priv->stream) priv->stream->set_video_meta_is_read(reads_video_meta);
  return ParentClass()->decide_allocation(trans, query);
}

gboolean Query(GstBaseTransform* trans, GstPadDirection direction, GstQuery* query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_CONTEXT) {
    auto* priv = PrivateOf(trans);
    if (cpl::MayUseCuda(priv) &&
        priv->cuda.AnswerQuery(GST_ELEMENT(trans), query, cpl::CudaDeviceId(priv))) {
      return TRUE;
    }
  }
  if (!ParentClass()->query(trans, direction, query)) return FALSE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY || direction != GST_PAD_SRC) return TRUE;

  auto* priv = PrivateOf(trans);
  gboolean live = FALSE;
  GstClockTime min = 0;
  GstClockTime max = GST_CLOCK_TIME_NONE;
  gst_query_parse_latency(query, &live, &min, &max);
  const GstClockTime own = priv->latency.reported();
  min += own;
  if (GST_CLOCK_TIME_IS_VALID(max)) max += own;
  gst_query_set_latency(query, live, min, max);
  priv->live = live;
  return TRUE;
}

// Another stream, or another place in it, has no past in common with what came before.
bool BreaksWithThePast(GstBaseTransform* trans, GstEvent* event) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START:
    case GST_EVENT_FLUSH_STOP:
      return true;
    case GST_EVENT_SEGMENT: {
      const GstSegment* next = nullptr;
      gst_event_parse_segment(event, &next);
      GstSegment now = trans->segment;
      now.position = next->position;
      return trans->have_segment && !gst_segment_is_equal(&now, next);
    }
    default:
      return false;
  }
}

gboolean SrcEvent(GstBaseTransform* trans, GstEvent* event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_QOS) {
    GstClockTimeDiff diff = 0;
    GstClockTime time = GST_CLOCK_TIME_NONE;
    gst_event_parse_qos(event, nullptr, nullptr, &diff, &time);
    const bool usable = GST_CLOCK_TIME_IS_VALID(time) && (diff >= 0 || GstClockTime(-diff) < time);
    PrivateOf(trans)->earliest = usable ? time + diff : GST_CLOCK_TIME_NONE;
  }
  return ParentClass()->src_event(trans, event);
}

gboolean SinkEvent(GstBaseTransform* trans, GstEvent* event) {
  auto* priv = PrivateOf(trans);
  if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP) priv->earliest = GST_CLOCK_TIME_NONE;
  if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_START) Hurry(trans, true);
  if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP) Hurry(trans, false);
  if (priv->stream && BreaksWithThePast(trans, event)) {
    Guarded(GST_ELEMENT(trans), Stage::kFrame, FALSE, [&] {
      GST_DEBUG_OBJECT(trans, "%s: starting anew", GST_EVENT_TYPE_NAME(event));
      priv->stream->Reset();
      return TRUE;
    });
  }
  return ParentClass()->sink_event(trans, event);
}

void BeforeTransform(GstBaseTransform* trans, GstBuffer* buffer) {
  const GstClockTime time =
      gst_segment_to_stream_time(&trans->segment, GST_FORMAT_TIME, GST_BUFFER_TIMESTAMP(buffer));
  if (GST_CLOCK_TIME_IS_VALID(time)) gst_object_sync_values(GST_OBJECT(trans), time);
}

// Neither geometry nor colours nor orientation change, so that metas about them stay true.
gboolean TransformMeta(GstBaseTransform* trans, GstBuffer* out, GstMeta* meta, GstBuffer* in) {
  static const char* const kStaysTrue[] = {
      GST_META_TAG_VIDEO_STR, GST_META_TAG_VIDEO_COLORSPACE_STR, GST_META_TAG_VIDEO_SIZE_STR,
      GST_META_TAG_VIDEO_ORIENTATION_STR, nullptr};
  const gchar* const* tags = gst_meta_api_type_get_tags(meta->info->api);
  bool keep = true;
  for (; tags && *tags && keep; ++tags) keep = g_strv_contains(kStaysTrue, *tags);
  return keep || ParentClass()->transform_meta(trans, out, meta, in);
}

}  // namespace

static void gst_cpl_restore_class_init(GstCplRestoreClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  auto* trans_class = GST_BASE_TRANSFORM_CLASS(klass);

  object_class->finalize = Finalize;
  object_class->set_property = cpl::RestoreSetProperty;
  object_class->get_property = cpl::RestoreGetProperty;
  cpl::InstallProperties(object_class);
  cpl::RegisterFrameMeta();

  gst_element_class_set_static_metadata(element_class, "Video restoration", "Filter/Effect/Video",
                                        "Removes rain, snow, haze and noise from live video with "
                                        "one neural network; clear frames pass "
                                        "untouched",
                                        "The cplrestore authors");
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  element_class->change_state = GST_DEBUG_FUNCPTR(ChangeState);
  element_class->set_context = GST_DEBUG_FUNCPTR(SetContext);

  trans_class->passthrough_on_same_caps = FALSE;
  trans_class->start = GST_DEBUG_FUNCPTR(Start);
  trans_class->stop = GST_DEBUG_FUNCPTR(Stop);
  trans_class->set_caps = GST_DEBUG_FUNCPTR(SetCaps);
  trans_class->get_unit_size = GST_DEBUG_FUNCPTR(GetUnitSize);
  trans_class->transform_caps = GST_DEBUG_FUNCPTR(cpl::RestoreTransformCaps);
  trans_class->transform_size = GST_DEBUG_FUNCPTR(TransformSize);
  trans_class->propose_allocation = GST_DEBUG_FUNCPTR(ProposeAllocation);
  trans_class->decide_allocation = GST_DEBUG_FUNCPTR(DecideAllocation);
  trans_class->query = GST_DEBUG_FUNCPTR(Query);
  trans_class->src_event = GST_DEBUG_FUNCPTR(SrcEvent);
  trans_class->sink_event = GST_DEBUG_FUNCPTR(SinkEvent);
  trans_class->before_transform = GST_DEBUG_FUNCPTR(BeforeTransform);
  trans_class->prepare_output_buffer = GST_DEBUG_FUNCPTR(cpl::RestorePrepareOutputBuffer);
  trans_class->transform = GST_DEBUG_FUNCPTR(cpl::RestoreTransform);
  trans_class->transform_meta = GST_DEBUG_FUNCPTR(TransformMeta);
}

static void gst_cpl_restore_init(GstCplRestore* self) {
  self->priv = new GstCplRestorePrivate();
  cpl::ExplainRefusedCaps(GST_ELEMENT(self), GST_BASE_TRANSFORM_SINK_PAD(self));
}
