// SPDX-License-Identifier: Apache-2.0
//
// The sound of one file on its way into another: a part of VideoWriter's pipeline.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "train/gst_util.h"

namespace cpl::train {

// Reads `path` beside the video's own way, with a reader of its own, so that neither waits for the
// other's queues. Streams that the muxer can take pass as they are; other audio is decoded and
// encoded anew; what then remains is left out. One thread, the one that owns the pipeline, calls
// the functions; pads are linked in GStreamer's threads before Start returns.
class AudioCopy {
 public:
  // Adds its elements to `pipeline`, which must outlive this. `muxer` must have its video pad.
  AudioCopy(GstElement* pipeline, GstElement* muxer, const std::string& path);
  ~AudioCopy();
  AudioCopy(const AudioCopy&) = delete;
  AudioCopy& operator=(const AudioCopy&) = delete;

  // Call with the pipeline PLAYING and before the first video frame: waits until all streams are
  // linked. A file that cannot be read gives a note and no sound.
  void Start();

  // Whether an ERROR came from here. If so it is noted, and the streams are ended where they are.
  bool TakeError(GstMessage* message);

  // What was changed or left out, each a sentence.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void OnPad(GstPad* pad);
  void Route(GstPad* pad);
  bool LinkDirect(GstPad* pad, GstCaps* caps, const char* kind);
  bool LinkEncoded(GstPad* pad);
  bool LinkHead(GstPad* pad, GstElement* queue);
  void Adopt(GstElement* element);
  void Remove();
  bool Owns(GstObject* object) const;

  GstElement* pipeline_;
  GstElement* muxer_;
  GstElement* parser_ = nullptr;
  std::string path_;
  std::vector<GstElement*> elements_;  // the pipeline's
  std::vector<GstPtr<GstPad>> heads_;  // where streams enter: an EOS sent here ends them
  std::vector<std::string> notes_;
  std::atomic<int> pads_{0};  // routed so far
  std::atomic<bool> started_{false};
  bool failed_ = false;
};

}  // namespace cpl::train
