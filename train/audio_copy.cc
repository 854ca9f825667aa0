// SPDX-License-Identifier: Apache-2.0
#include "train/audio_copy.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <initializer_list>

#include "cpl/error.h"

namespace cpl::train {
namespace {

constexpr GstClockTime kPatience = 5 * GST_SECOND;

// So much of a stream is held back while the muxer waits for another: files are written with their
// streams interleaved, and a demuxer that may not run ahead would never reach the other one.
constexpr guint kQueueBytes = 64u << 20;

// Encoders for what a container cannot take as it is, best first.
std::vector<const char*> EncodersFor(GstElement* muxer) {
  const char* name = gst_plugin_feature_get_name(gst_element_get_factory(muxer));
  if (std::strcmp(name, "avimux") == 0) return {"lamemp3enc"};
  return {"avenc_aac", "voaacenc", "fdkaacenc"};
}

// The muxer's request pad for streams of this kind ("audio") and caps, or null.
GstPadTemplate* FindTemplate(GstElement* muxer, const GstCaps* caps, const char* kind) {
  const GList* list = gst_element_class_get_pad_template_list(GST_ELEMENT_GET_CLASS(muxer));
  for (; list != nullptr; list = list->next) {
    auto* pad_template = GST_PAD_TEMPLATE(list->data);
    const GstPtr<GstCaps> accepted(gst_pad_template_get_caps(pad_template));
    if (GST_PAD_TEMPLATE_DIRECTION(pad_template) == GST_PAD_SINK &&
        GST_PAD_TEMPLATE_PRESENCE(pad_template) == GST_PAD_REQUEST &&
        g_str_has_prefix(GST_PAD_TEMPLATE_NAME_TEMPLATE(pad_template), kind) &&
        gst_caps_can_intersect(accepted.get(), caps)) {
      return pad_template;
    }
  }
  return nullptr;
}

GstPtr<GstPad> StaticPad(GstElement* element, const char* name) {
  return GstPtr<GstPad>(gst_element_get_static_pad(element, name));
}

bool LinkToMuxer(GstElement* last, GstElement* muxer, GstPadTemplate* pad_template) {
  const GstPtr<GstPad> sink(gst_element_request_pad(muxer, pad_template, nullptr, nullptr));
  if (sink == nullptr) return false;
  return GST_PAD_LINK_SUCCESSFUL(gst_pad_link(StaticPad(last, "src").get(), sink.get()));
}

// A stream that nobody takes flows on as if it were taken, so that the others do.
void Discard(GstPad* pad) {
  gst_pad_add_probe(
      pad, static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad*, GstPadProbeInfo*, gpointer) { return GST_PAD_PROBE_DROP; }, nullptr, nullptr);
}

// Parsers settle a stream's caps only with its first data, which are held back until all streams
// are known; until then the demuxer's word counts.
GstPtr<GstCaps> CapsOf(GstPad* pad) {
  GstPtr<GstCaps> caps(gst_pad_get_current_caps(pad));
  if (caps == nullptr) {
    if (GstStream* stream = gst_pad_get_stream(pad)) {
      caps.reset(gst_stream_get_caps(stream));
      gst_object_unref(stream);
    }
  }
  if (caps == nullptr) caps.reset(gst_pad_query_caps(pad, nullptr));
  return caps;
}

}  // namespace

AudioCopy::AudioCopy(GstElement* pipeline, GstElement* muxer, const std::string& path)
    : pipeline_(pipeline), muxer_(muxer), path_(path) {
  GstElement* source = AddElement(pipeline_, "filesrc");
  elements_.push_back(source);
  parser_ = AddElement(pipeline_, "parsebin");
  elements_.push_back(parser_);
  g_object_set(source, "location", path.c_str(), nullptr);
  gst_element_link(source, parser_);
  const auto on_pad =
      +[](GstElement*, GstPad* pad, gpointer self) { static_cast<AudioCopy*>(self)->OnPad(pad); };
  g_signal_connect(parser_, "pad-added", G_CALLBACK(on_pad), this);
}

AudioCopy::~AudioCopy() = default;

void AudioCopy::Adopt(GstElement* element) {
  elements_.push_back(element);
  gst_element_sync_state_with_parent(element);
}

void AudioCopy::OnPad(GstPad* pad) {
  Route(pad);
  ++pads_;
}

void AudioCopy::Route(GstPad* pad) {
  const GstPtr<GstCaps> caps = CapsOf(pad);
  const std::string type = gst_structure_get_name(gst_caps_get_structure(caps.get(), 0));
  if (started_) {
    Discard(pad);
    return;
  }
  bool linked = false;
  try {
    if (type.starts_with("audio/")) {
      linked = LinkDirect(pad, caps.get(), "audio") || LinkEncoded(pad);
    } else if (type.starts_with("text/") || type.starts_with("application/x-ss") ||
               type.starts_with("subpicture/") || type.starts_with("closedcaption/")) {
      linked = LinkDirect(pad, caps.get(), "subtitle");
    } else if (type.starts_with("video/") || type.starts_with("image/")) {
      Discard(pad);
      return;
    }
  } catch (const Error&) {
    linked = false;  // an element that is not installed
  }
  if (!linked) {
    Discard(pad);
    notes_.push_back(path_ + ": a stream of " + type + " was left out: the output's container " +
                     "cannot take it");
  }
}

bool AudioCopy::LinkDirect(GstPad* pad, GstCaps* caps, const char* kind) {
  const GstStructure* s = gst_caps_get_structure(caps, 0);
  int version = 0;
  // aacparse turns AAC with headers (as in .ts files) into AAC without (as in .mp4).
  const bool aac = gst_structure_has_name(s, "audio/mpeg") &&
                   gst_structure_get_int(s, "mpegversion", &version) && version != 1;
  GstPtr<GstCaps> offered(gst_caps_copy(caps));
  if (aac) {
    gst_caps_set_simple(offered.get(), "stream-format", G_TYPE_STRING, "raw", "mpegversion",
                        G_TYPE_INT, 4, nullptr);
  }
  GstPadTemplate* pad_template = FindTemplate(muxer_, offered.get(), kind);
  if (pad_template == nullptr) return false;

  GstElement* queue = AddElement(pipeline_, "queue");
  Adopt(queue);
  g_object_set(queue, "max-size-buffers", 0, "max-size-time", guint64{0}, "max-size-bytes",
               kQueueBytes, nullptr);
  GstElement* last = queue;
  if (aac) {
    last = AddElement(pipeline_, "aacparse");
    Adopt(last);
    gst_element_link(queue, last);
  }
  if (!LinkToMuxer(last, muxer_, pad_template)) return false;
  return LinkHead(pad, queue);
}

// The muxer waits for every pad that it was asked for: one without a stream has to end.
bool AudioCopy::LinkHead(GstPad* pad, GstElement* queue) {
  heads_.push_back(StaticPad(queue, "sink"));
  if (GST_PAD_LINK_SUCCESSFUL(gst_pad_link(pad, heads_.back().get()))) return true;
  gst_pad_send_event(heads_.back().get(), gst_event_new_eos());
  return false;
}

bool AudioCopy::LinkEncoded(GstPad* pad) {
  const std::vector<const char*> encoders = EncodersFor(muxer_);
  const auto found = std::find_if(encoders.begin(), encoders.end(), HaveElement);
  if (found == encoders.end()) return false;
  GstElement* queue = AddElement(pipeline_, "queue");
  GstElement* decoder = AddElement(pipeline_, "decodebin");
  GstElement* convert = AddElement(pipeline_, "audioconvert");
  GstElement* resample = AddElement(pipeline_, "audioresample");
  GstElement* encoder = AddElement(pipeline_, *found);
  g_object_set(queue, "max-size-buffers", 0, "max-size-time", guint64{0}, "max-size-bytes",
               kQueueBytes, nullptr);
  const GstPtr<GstPad> encoded = StaticPad(encoder, "src");
  const GstPtr<GstCaps> caps(gst_pad_get_pad_template_caps(encoded.get()));
  GstPadTemplate* pad_template = FindTemplate(muxer_, caps.get(), "audio");
  if (pad_template == nullptr) return false;
  gst_element_link(queue, decoder);
  gst_element_link_many(convert, resample, encoder, nullptr);
  if (!LinkToMuxer(encoder, muxer_, pad_template)) return false;
  const auto on_decoded = +[](GstElement*, GstPad* decoded, gpointer next) {
    const GstPtr<GstPad> sink = StaticPad(GST_ELEMENT(next), "sink");
    if (!gst_pad_is_linked(sink.get())) gst_pad_link(decoded, sink.get());
  };
  g_signal_connect(decoder, "pad-added", G_CALLBACK(on_decoded), convert);
  for (GstElement* element : {encoder, resample, convert, decoder, queue}) Adopt(element);
  const GstPtr<GstCaps> old = CapsOf(pad);
  if (!LinkHead(pad, queue)) return false;
  notes_.push_back(path_ + ": its audio (" +
                   gst_structure_get_name(gst_caps_get_structure(old.get(), 0)) +
                   ") does not fit the output's container and was encoded anew with " + *found);
  return true;
}

void AudioCopy::Start() {
  const GstPtr<GstBus> bus(gst_element_get_bus(pipeline_));
  const GstClockTime deadline = gst_util_get_timestamp() + kPatience;
  const auto wanted =
      static_cast<GstMessageType>(GST_MESSAGE_STREAM_COLLECTION | GST_MESSAGE_ERROR);
  // parsebin says how many streams there are, and adds a pad for each.
  int expected = -1;
  while (!failed_ && pads_ != expected && gst_util_get_timestamp() < deadline) {
    const GstPtr<GstMessage> message(
        gst_bus_timed_pop_filtered(bus.get(), 10 * GST_MSECOND, wanted));
    if (message == nullptr) continue;
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_STREAM_COLLECTION) {
      GstStreamCollection* collection = nullptr;
      gst_message_parse_stream_collection(message.get(), &collection);
      expected = static_cast<int>(gst_stream_collection_get_size(collection));
      gst_object_unref(collection);
    } else if (!TakeError(message.get())) {
      throw Error(ErrorCode::kCannotWrite, MessageText(message.get()));
    }
  }
  started_ = true;
  if (heads_.empty()) Remove();
}

bool AudioCopy::Owns(GstObject* object) const {
  return std::any_of(elements_.begin(), elements_.end(), [&](GstElement* element) {
    return object == GST_OBJECT(element) || gst_object_has_as_ancestor(object, GST_OBJECT(element));
  });
}

bool AudioCopy::TakeError(GstMessage* message) {
  if (!Owns(GST_MESSAGE_SRC(message))) return false;
  if (!failed_ && !heads_.empty()) {
    notes_.push_back(path_ + ": its audio could not be read to the end: " + MessageText(message));
  }
  failed_ = true;
  for (const GstPtr<GstPad>& head : heads_) gst_pad_send_event(head.get(), gst_event_new_eos());
  return true;
}

void AudioCopy::Remove() {
  for (GstElement* element : elements_) {
    gst_element_set_state(element, GST_STATE_NULL);
    gst_bin_remove(GST_BIN(pipeline_), element);
  }
  elements_.clear();
}

}  // namespace cpl::train
