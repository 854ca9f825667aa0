// SPDX-License-Identifier: Apache-2.0
//
// Frames from video files and to video files, by GStreamer: the same decoders as in a pipeline.
//
//   VideoReader reader(in, VideoLayout::kNative);
//   VideoWriter writer(out, reader.info(), {.audio_from = in});
//   for (VideoFrame frame; reader.Next(&frame);) writer.Write(frame);
//   writer.Finish();
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "cpl/frame.h"

namespace cpl::train {

enum class VideoLayout : std::uint8_t {
  kRgb,     // packed R, G, B, full range, whatever the file holds
  kNative,  // as the decoder gives it, so that what is not changed comes back bit for bit: I420,
            // NV12, I420_10, Y42B, Y444 or RGB; all else is converted to the nearest of them, where
            // more than 8 bits count for more than 4:2:2 or 4:4:4
};

// One frame with its own pixels. Copying copies them.
struct VideoFrame {
  PixelFormat format = PixelFormat::kRGB;
  ColorMatrix matrix = ColorMatrix::kBT709;
  ColorRange range = ColorRange::kFull;
  int width = 0;
  int height = 0;
  std::int64_t pts_ns = 0;       // from the beginning of the file, always rising
  std::int64_t duration_ns = 0;  // until the next frame; 0 if the file does not tell
  std::vector<std::uint8_t> pixels;
  std::size_t offset[3] = {0, 0, 0};  // of the planes in `pixels`
  std::ptrdiff_t stride[3] = {0, 0, 0};

  // Lays the planes out for this format (one of VideoLayout::kNative) and size, rows padded to 4
  // bytes. Keeps memory that fits; what the pixels hold then is not specified.
  void Allocate(PixelFormat format, int width, int height);

  FrameView View();
  ConstFrameView View() const;

  // A copy as CV_8UC3. Throws Error(kInvalidArgument) unless the format is kRGB.
  cv::Mat ToRgb() const;
};

// What a file says of its video, and what a writer needs to say the same.
struct VideoInfo {
  PixelFormat format = PixelFormat::kRGB;
  int width = 0;
  int height = 0;
  int fps_num = 0;  // 0 if the rate varies or is not known
  int fps_den = 1;
  int par_num = 1;  // shape of a pixel
  int par_den = 1;
  std::string colorimetry;  // of the coded 4:2:0 video, as in GStreamer's caps; may be empty
  std::string chroma_site;
  std::string interlace_mode;
  std::string orientation;       // GStreamer's image-orientation tag: "rotate-90"; empty: upright
  std::int64_t duration_ns = 0;  // 0 if not known
  std::int64_t frames = 0;       // estimated from duration and rate; 0 if not known
};

// Reads the first video stream of a file from its beginning to its end. Decodes ahead in threads of
// its own. One thread at a time.
class VideoReader {
 public:
  // Waits for the first frame. Throws Error that names the file: kNotFound, kCannotRead, kBadFormat
  // (no media file, no video in it, nothing of it decodes), kUnsupported (no decoder installed).
  explicit VideoReader(const std::string& path, VideoLayout layout = VideoLayout::kRgb);
  ~VideoReader();
  VideoReader(const VideoReader&) = delete;
  VideoReader& operator=(const VideoReader&) = delete;

  const VideoInfo& info() const;

  // Puts the next frame into `frame` (its memory is used again) or returns false at the end. A
  // damaged file gives the frames that decode, then ends; damage() tells. Throws
  // Error(kUnsupported) where the frame size changes, and Interrupted (train/interrupt.h).
  bool Next(VideoFrame* frame);

  // One sentence that names the file and what is wrong with it, empty for a sound one. Complete
  // once Next has returned false.
  const std::string& damage() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct VideoWriterOptions {
  // Exact coding of the 4:2:0 samples instead of high quality. Large files.
  bool lossless = false;
  // A media file whose audio and subtitle streams go along, as they are where the container can
  // take them, else encoded anew. Empty: none.
  std::string audio_from;
};

// Writes H.264 video; the container follows from the extension: .mp4, .m4v, .mov, .mkv, .avi. The
// file appears under its name in Finish(). One thread at a time.
class VideoWriter {
 public:
  // For frames of info's format and size; RGB is coded as 4:2:0 of info's colorimetry. Throws
  // Error: kUnsupported (extension, no encoder or muxer installed), kCannotWrite, kCannotRead
  // (audio_from).
  VideoWriter(const std::string& path, const VideoInfo& info, const VideoWriterOptions& options);
  // Without Finish() nothing is left behind.
  ~VideoWriter();
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  // Appends a frame at its pts (moved by as little as needed where it does not rise). Waits while
  // the encoder is behind. Throws Error: kInvalidArgument (another format or size), kCannotWrite,
  // kUnsupported (a frame rate that varies, in .avi), and Interrupted.
  void Write(const VideoFrame& frame);

  // Ends the streams and gives the file its name. Throws as Write does.
  void Finish();

  // What differs from a faithful copy, each a sentence for a person: an encoder that stands in for
  // x264enc, audio that was encoded anew or dropped, a picture turned because the container has no
  // rotation tag. Complete after Finish().
  const std::vector<std::string>& notes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cpl::train
