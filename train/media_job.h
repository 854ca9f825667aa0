// SPDX-License-Identifier: Apache-2.0
//
// A picture, a folder of pictures or a video in; the same kind out, each frame changed by somebody.
#pragma once

#include <cstdint>
#include <string>

#include "cpl/frame.h"
#include "train/video_io.h"

namespace cpl::train {

class FrameProcessor {
 public:
  virtual ~FrameProcessor() = default;

  // The next frame has nothing to do with those before: a picture, or the first of a clip.
  virtual void Start(int width, int height) = 0;

  // Changes frame `index` (0, 1, ... since Start) in place. RGB or RGBA of pictures, and what
  // `layout` asks for of videos.
  virtual void Process(const FrameView& frame, std::int64_t index) = 0;
};

struct MediaJob {
  std::string in;
  std::string out;
  std::string verb;  // what is done, for the progress line: "restoring"
  VideoLayout layout = VideoLayout::kNative;
  bool lossless = false;
  bool clip = false;  // the pictures of a folder are frames of one clip
};

// What IN is, is told by its content. A folder's pictures go to OUT, a folder too, under their own
// names; sub-folders and other files are left alone. A picture or video may go into a folder that
// exists. Pictures are read upright and keep their alpha.
//
// Pictures of a folder that cannot be done are named on stderr and left out, and an Error that
// counts them is thrown at the end. So is one for a video that breaks off, after what was read of
// it has been written. Throws also what reading, writing and the processor throw, with the file
// named, and Interrupted; nothing unfinished is left behind.
void RunMediaJob(const MediaJob& job, FrameProcessor& processor);

}  // namespace cpl::train
