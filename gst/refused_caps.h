// SPDX-License-Identifier: Apache-2.0
//
// Why a stream could not be negotiated, told by the element that refused it: otherwise only the
// source complains, of an "internal data stream error".
#pragma once

#include <gst/gst.h>

namespace cpl {

// From now on, caps that arrive at `sink_pad` of `element` and that it does not accept are an
// element error CORE/NEGOTIATION, with the remedy.
void ExplainRefusedCaps(GstElement* element, GstPad* sink_pad);

}  // namespace cpl
