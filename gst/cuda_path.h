// SPDX-License-Identifier: Apache-2.0
//
// What the element has to do with GPUs: a context that everyone around it shares, buffer pools in
// the GPU's memory, and frames from elsewhere. Built without GStreamer's CUDA library, nothing of
// it is there (cuda_none.cc).
//
// Why contexts: LibTorch works in the device's primary context, while GStreamer's elements make
// ones of their own unless somebody offers them one, and compare GstCudaContext objects by pointer.
// So the primary context is wrapped once per process and device and offered to whoever asks, even
// before the element has left NULL: the encoder below opens first.
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

#include <memory>
#include <string>

namespace cpl {

inline constexpr char kCudaMemoryFeature[] = "memory:CUDAMemory";

// Formats of frames in the GPU's memory.
#define CPL_CUDA_FORMATS                                       \
  "{ NV12, P010_10LE, I420, YV12, NV21, I420_10LE, Y444, RGB," \
  " BGR, RGBA, BGRA, RGBx, BGRx, RGBP, GBR }"

class CudaPath {
 public:
  CudaPath();
  CudaPath(const CudaPath&) = delete;
  CudaPath& operator=(const CudaPath&) = delete;
  ~CudaPath();

  // Whether frames in the GPU's memory can be taken at all in this build.
  static bool IsBuilt();

  // From GstElement::set_context; `device_id` -1 is the first GPU. Thread-safe.
  void TakeContext(GstElement* element, GstContext* context, int device_id);
  // Answers a query for the context, in any state. False: not answered. Thread-safe.
  bool AnswerQuery(GstElement* element, GstQuery* query, int device_id);

  // Makes the context and tells the pipeline of it. Empty, or why there is none.
  std::string Open(GstElement* element, int device_id);
  void Close();
  bool is_open() const;

  // For the caps of a stream of frames in the GPU's memory. Both are called where the functions of
  // allocation.h are for the system's memory; false: the query names no usable caps.
  bool ProposeAllocation(GstQuery* query);
  bool DecideAllocation(GstQuery* query);

  // Between them the context is this thread's current one. False: it cannot be had.
  bool Enter();
  void Leave();

  // The stream on which the next frame is worked on, a CUstream.
  void* StreamFor(GstBuffer* in);

  // The frame as memory of our context: `in` itself (a new reference), or a copy on the device when
  // it belongs to another context, which is warned of once. Null with a reason if neither can be.
  GstBuffer* Import(GstElement* element, GstBuffer* in, const GstVideoInfo& info, std::string* why);

  // A frame of our own with undefined contents, transfer full; null if there is no memory.
  GstBuffer* Scratch(const GstVideoInfo& info);

  // Waits until what is in the stream is done. False: the GPU has failed.
  bool Wait();

  // The frame has been read and, where `out` is not null, written by what is in the stream: returns
  // when others may have it. kFollowed: whoever gets it waits for the stream by itself.
  enum class Finished { kDone, kFollowed, kFailed };
  Finished Finish(GstBuffer* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Copies a part of a plane to another place on the GPU, on `stream`. False if it cannot.
bool CopyOnGpu(const void* from, std::ptrdiff_t from_stride, void* to, std::ptrdiff_t to_stride,
               std::size_t row_bytes, int rows, void* stream);

// Writes `samples` equal samples of one or two bytes side by side, in so many rows, on `stream`.
bool FillOnGpu(void* to, std::ptrdiff_t stride, unsigned value, int sample_bytes, int samples,
               int rows, void* stream);

}  // namespace cpl
