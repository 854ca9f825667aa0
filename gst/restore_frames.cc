// SPDX-License-Identifier: Apache-2.0
//
// What cplrestore does with each frame. A frame goes through RestorePrepareOutputBuffer, which
// decides, and RestoreTransform, which does it and tells.

#include <algorithm>
#include <string>

#include "cpl/error.h"
#include "gst/debug.h"
#include "gst/element_error.h"
#include "gst/i18n.h"
#include "gst/restore_private.h"

namespace cpl {
namespace {

GstCplRestorePrivate* PrivateOf(gpointer self) { return GST_CPL_RESTORE(self)->priv; }

GstClockTime RunningTimeOf(GstBaseTransform* trans, GstBuffer* buffer) {
  return gst_segment_to_running_time(&trans->segment, GST_FORMAT_TIME,
                                     GST_BUFFER_TIMESTAMP(buffer));
}

// The sink waits for this frame already. With qos on, the base class has dropped it.
bool IsLate(GstBaseTransform* trans, GstBuffer* buffer) {
  const GstClockTime earliest = PrivateOf(trans)->earliest;
  if (!GST_CLOCK_TIME_IS_VALID(earliest)) return false;
  const GstClockTime time = RunningTimeOf(trans, buffer);
  return GST_CLOCK_TIME_IS_VALID(time) && time <= earliest;
}

FrameOrder OrderFor(GstBaseTransform* trans, GstBuffer* in) {
  auto* priv = PrivateOf(trans);
  FrameOrder order;
  BypassMode bypass;
  {
    const std::lock_guard lock(priv->lock);
    const Settings& settings = priv->settings;
    order.params = settings.FrameParams();
    order.compare = settings.compare;
    order.roi = settings.roi;
    order.roi_meta = settings.roi_meta;
    bypass = settings.bypass;
    priv->attach_meta = settings.attach_meta;
    priv->post_messages = settings.post_messages;
  }
  priv->strength = order.params.strength;
  if (bypass == BypassMode::kOn) {
    order.pass = PassReason::kBypass;
  } else if (IsLate(trans, in)) {
    order.pass = PassReason::kLate;
  } else {
    const Load load = priv->limit.Next(static_cast<std::uint64_t>(order.params.max_wait_ns));
    if (load == Load::kPassing) order.pass = PassReason::kMaxLatency;
    if (load == Load::kReduced) {
      order.params.interval = std::max(order.params.interval, WorkLimit::kReducedInterval);
    }
  }
  return order;
}

// Once on the bus is enough for a person; a broken source may send thousands.
void WarnOfDamage(GstBaseTransform* trans, const std::string& damage) {
  auto* priv = PrivateOf(trans);
  GST_DEBUG_OBJECT(trans, "passing a bad buffer on: %s", damage.c_str());
  if (priv->warned_damaged) return;
  priv->warned_damaged = true;
  GST_ELEMENT_WARNING(trans, STREAM, WRONG_TYPE,
                      (_("A buffer that does not hold a frame of its caps passes unchanged.")),
                      ("%s; further ones are in the debug log only", damage.c_str()));
}

// Counts a frame against max-latency.
void KeepToTheLimit(GstBaseTransform* trans, const FrameResult& result) {
  auto* priv = PrivateOf(trans);
  if (result.fate != FrameFate::kRestore && !result.report.skipped) return;
  const Load before = priv->limit.load();
  const auto spent = static_cast<std::uint64_t>(result.spent.count());
  priv->limit.Add(result.report.skipped ? 2 * priv->limit.limit() : spent);
  const Load load = priv->limit.load();
  if (load == before) return;
  GST_INFO_OBJECT(trans, "load is now %s", NickOf(load));
  if (load != Load::kPassing || priv->warned_slow) return;
  priv->warned_slow = true;
  GST_ELEMENT_WARNING(
      trans, RESOURCE, BUSY,
      (_("Frames take longer than max-latency allows and pass untouched for now: use a smaller "
         "picture, a faster machine or a larger max-latency.")),
      ("a frame took %" GST_TIME_FORMAT "; further changes are in the element messages",
       GST_TIME_ARGS(spent)));
}

// Takes the frame into the statistics and returns what there is to tell of it.
Observation Observe(GstCplRestorePrivate* priv, const FrameResult& result) {
  const std::lock_guard lock(priv->lock);
  Observation& last = priv->stats.last;
  const FrameReport& report = result.report;
  if (result.looked && report.prompt >= 0 &&
      report.prompt < static_cast<int>(priv->model.prompts.size())) {
    last.degradation = priv->model.prompts[static_cast<std::size_t>(report.prompt)];
    last.confidence = report.confidence;
    last.clean = report.clean;
  }
  last.reason = result.reason;
  last.strength = result.reason == PassReason::kNone ? priv->strength : 0;
  last.load = priv->limit.load();
  last.latency = priv->latency.reported();
  priv->stats.Add(result);
  return last;
}

void Announce(GstBaseTransform* trans, GstBuffer* buffer, const Observation& observation) {
  auto* priv = PrivateOf(trans);
  const GstClockTime time = RunningTimeOf(trans, buffer);
  const bool has_time = GST_CLOCK_TIME_IS_VALID(time);
  const auto now =
      has_time ? time : static_cast<GstClockTime>(g_get_monotonic_time()) * GST_USECOND;
  if (!priv->announcer.IsWorthAMessage(observation, now)) return;
  GstStructure* structure =
      gst_structure_new("cplrestore", "running-time", G_TYPE_UINT64, time, nullptr);
  WriteTo(structure, observation);
  gst_element_post_message(GST_ELEMENT(trans),
                           gst_message_new_element(GST_OBJECT(trans), structure));
}

void UpdateLatency(GstBaseTransform* trans, const FrameResult& result) {
  auto* priv = PrivateOf(trans);
  if (result.reason != PassReason::kNone) return;
  if (!priv->latency.Add(static_cast<std::uint64_t>(result.spent.count())) || !priv->live) return;
  GST_INFO_OBJECT(trans, "latency is now %" GST_TIME_FORMAT,
                  GST_TIME_ARGS(priv->latency.reported()));
  gst_element_post_message(GST_ELEMENT(trans), gst_message_new_latency(GST_OBJECT(trans)));
}

// The GPU's context is current while it lives, if frames lie there.
class OnContext {
 public:
  explicit OnContext(GstCplRestorePrivate* priv)
      : cuda_(priv->stream->on_gpu() && priv->cuda.Enter() ? &priv->cuda : nullptr) {}
  OnContext(const OnContext&) = delete;
  OnContext& operator=(const OnContext&) = delete;
  ~OnContext() {
    if (cuda_) cuda_->Leave();
  }

 private:
  CudaPath* cuda_;
};

// What is on the GPU is brought into our context, and into the stream that it is worked on.
GstBuffer* Import(GstBaseTransform* trans, GstBuffer* in, std::string* damage) {
  auto* priv = PrivateOf(trans);
  gst_clear_buffer(&priv->imported);
  if (!priv->stream->on_gpu()) return in;
  priv->imported = priv->cuda.Import(GST_ELEMENT(trans), in, priv->stream->info(), damage);
  priv->stream->set_cuda_stream(priv->cuda.StreamFor(in));
  return priv->imported;
}

FrameFate Begin(GstBaseTransform* trans, GstBuffer* in, const FrameOrder& order,
                std::string* damage) {
  auto* priv = PrivateOf(trans);
  const OnContext context(priv);
  try {
    GstBuffer* frame = Import(trans, in, damage);
    return frame ? priv->stream->Begin(frame, order, damage) : priv->stream->Refuse();
  } catch (...) {
    if (!GoOnWithCpu(GST_ELEMENT(trans))) throw;
  }
  gst_clear_buffer(&priv->imported);
  return priv->stream->Begin(in, order, damage);
}

FrameResult Finish(GstBaseTransform* trans, GstBuffer* in, GstBuffer* out) {
  auto* priv = PrivateOf(trans);
  const std::chrono::nanoseconds deadline(priv->limit.attempt() ? priv->limit.limit() : 0);
  const OnContext context(priv);
  try {
    return priv->stream->WaitFor(priv->stream->Finish(out, deadline), out);
  } catch (...) {
    if (!GoOnWithCpu(GST_ELEMENT(trans))) throw;
  }
  gst_clear_buffer(&priv->imported);
  // The frame is gone with the GPU's state: once more from the start.
  std::string damage;
  FrameOrder order = OrderFor(trans, in);
  order.params.bypass_clean = false;
  if (priv->stream->Begin(in, order, &damage) == FrameFate::kPass) {
    throw Error(ErrorCode::kDeviceLost,
                Text(_("A frame is lost with the GPU: %s."), damage.c_str()));
  }
  return priv->stream->Finish(out, deadline);
}

void NotePath(GstCplRestorePrivate* priv, GstBuffer* in) {
  const std::lock_guard lock(priv->lock);
  Stats& stats = priv->stats;
  if (priv->stream->on_gpu()) {
    const bool copied = priv->imported && priv->imported != in;
    stats.path = copied ? "device-copy" : "zero-copy";
    ++(copied ? stats.device_copies : stats.zero_copy);
  } else if (priv->stream->device() == DeviceKind::kCuda) {
    stats.path = "upload";
    ++stats.uploads;
  } else {
    stats.path = "cpu";
  }
}

}  // namespace

GstFlowReturn RestorePrepareOutputBuffer(GstBaseTransform* trans, GstBuffer* in, GstBuffer** out) {
  auto* priv = PrivateOf(trans);
  if (!priv->stream) return GST_FLOW_FLUSHING;
  return Guarded(GST_ELEMENT(trans), Stage::kFrame, GST_FLOW_ERROR, [&] {
    TakeRequestedModel(GST_ELEMENT(trans));
    if (GST_BUFFER_IS_DISCONT(in)) priv->stream->Reset();
    std::string damage;
    if (Begin(trans, in, OrderFor(trans, in), &damage) == FrameFate::kPass) {
      if (!damage.empty()) WarnOfDamage(trans, damage);
      // A meta needs a buffer of our own; its memory stays the same.
      const bool copy = priv->attach_meta && !gst_buffer_is_writable(in);
      *out = copy ? gst_buffer_copy(in) : in;
      return GST_FLOW_OK;
    }
    const GstFlowReturn got = RestoreParentClass()->prepare_output_buffer(trans, in, out);
    if (got != GST_FLOW_OK) priv->stream->Drop();
    return got;
  });
}

GstFlowReturn RestoreTransform(GstBaseTransform* trans, GstBuffer* in, GstBuffer* out) {
  return Guarded(GST_ELEMENT(trans), Stage::kFrame, GST_FLOW_ERROR, [&] {
    auto* priv = PrivateOf(trans);
    const FrameResult result = Finish(trans, in, out);
    NotePath(priv, in);
    gst_clear_buffer(&priv->imported);
    KeepToTheLimit(trans, result);
    UpdateLatency(trans, result);
    const Observation observation = Observe(priv, result);
    if (priv->attach_meta) AddFrameMeta(out, observation);
    if (priv->post_messages) Announce(trans, in, observation);
    return GST_FLOW_OK;
  });
}

}  // namespace cpl
