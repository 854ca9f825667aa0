// SPDX-License-Identifier: Apache-2.0

#include "gst/refused_caps.h"

#include "gst/debug.h"
#include "gst/frame_binding.h"
#include "gst/i18n.h"

namespace cpl {
namespace {

struct Listener {
  GstElement* element;
  guint32 complained = GST_SEQNUM_INVALID;  // refused caps are sent again with the next buffer
};

// A pad refuses caps before its element's event function sees them; only a probe comes earlier.
GstPadProbeReturn OnEvent(GstPad* pad, GstPadProbeInfo* probe, gpointer data) {
  auto* listener = static_cast<Listener*>(data);
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(probe);
  if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS) return GST_PAD_PROBE_OK;
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  if (gst_pad_query_accept_caps(pad, caps)) return GST_PAD_PROBE_OK;

  const guint32 number = gst_event_get_seqnum(event);
  if (number == listener->complained) return GST_PAD_PROBE_OK;
  listener->complained = number;
  GST_ELEMENT_ERROR(
      listener->element, CORE, NEGOTIATION,
      (_("This video cannot be restored: put videoconvert in front of cplrestore, and "
         "videoscale where a side is shorter than 16 or longer than 16384 pixels.")),
      ("caps %" GST_PTR_FORMAT " are not in " CPL_VIDEO_FORMATS
       " of 16x16 to 16384x16384 in system memory",
       caps));
  return GST_PAD_PROBE_OK;
}

}  // namespace

void ExplainRefusedCaps(GstElement* element, GstPad* sink_pad) {
  gst_pad_add_probe(sink_pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, OnEvent, new Listener{element},
                    [](gpointer data) { delete static_cast<Listener*>(data); });
}

}  // namespace cpl
