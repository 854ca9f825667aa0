// SPDX-License-Identifier: Apache-2.0
//
// What differs between the versions of GStreamer's CUDA library, which promises no stability: built
// for 1.22, where a buffer that is pushed is finished, and for 1.24 and later, where it carries the
// stream that will finish it.
#pragma once

#define GST_USE_UNSTABLE_API
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>

namespace cpl::gstcuda {

// One stream of an element. Its context must be pushed when it is made.
class ElementStream {
 public:
  ElementStream() = default;
  ElementStream(const ElementStream&) = delete;
  ElementStream& operator=(const ElementStream&) = delete;
  ~ElementStream() { Close(); }

#if GST_CHECK_VERSION(1, 24, 0)
  bool Open(GstCudaContext* context) {
    stream_ = gst_cuda_stream_new(context);
    return stream_ != nullptr;
  }
  void Close() { gst_clear_cuda_stream(&stream_); }
  CUstream handle() const { return gst_cuda_stream_get_handle(stream_); }
  GstCudaStream* stream() const { return stream_; }

 private:
  GstCudaStream* stream_ = nullptr;
#else
  bool Open(GstCudaContext* context) {
    if (!gst_cuda_context_push(context)) return false;
    const bool made = CuStreamCreate(&handle_, CU_STREAM_DEFAULT) == CUDA_SUCCESS;
    gst_cuda_context_pop(nullptr);
    context_ = made ? GST_CUDA_CONTEXT(gst_object_ref(context)) : nullptr;
    return made;
  }
  void Close() {
    if (context_ == nullptr) return;
    if (gst_cuda_context_push(context_)) {
      CuStreamDestroy(handle_);
      gst_cuda_context_pop(nullptr);
    }
    gst_clear_object(&context_);
    handle_ = nullptr;
  }
  CUstream handle() const { return handle_; }

 private:
  GstCudaContext* context_ = nullptr;
  CUstream handle_ = nullptr;
#endif
};

// Somebody else's stream that work was put into: it must outlive whoever waits for that work. Who
// goes over to another one waits for the one before, which is therefore held until the next change.
class HeldStream {
 public:
  HeldStream() = default;
  HeldStream(const HeldStream&) = delete;
  HeldStream& operator=(const HeldStream&) = delete;
  ~HeldStream() { Drop(); }

#if GST_CHECK_VERSION(1, 24, 0)
  void Hold(GstCudaStream* stream) {
    if (stream == stream_) return;
    gst_clear_cuda_stream(&before_);
    before_ = stream_;
    stream_ = gst_cuda_stream_ref(stream);
  }
  void Drop() {
    gst_clear_cuda_stream(&before_);
    gst_clear_cuda_stream(&stream_);
  }

 private:
  GstCudaStream* stream_ = nullptr;
  GstCudaStream* before_ = nullptr;
#else
  void Drop() {}
#endif
};

// The stream on which to work on a frame: the one that it comes with, else the element's own. Waits
// for nothing; frames of 1.22 are finished.
inline CUstream StreamOf(GstMemory* memory, const ElementStream& own, HeldStream* held) {
#if GST_CHECK_VERSION(1, 24, 0)
  if (GstCudaStream* stream = gst_cuda_memory_get_stream(GST_CUDA_MEMORY_CAST(memory))) {
    held->Hold(stream);
    return gst_cuda_stream_get_handle(stream);
  }
  gst_cuda_memory_sync(GST_CUDA_MEMORY_CAST(memory));
#endif
  return own.handle();
}

// Waits until a frame of another context, whose stream means nothing in ours, is finished.
inline void WaitForForeign(GstMemory* memory) {
#if GST_CHECK_VERSION(1, 24, 0)
  gst_cuda_memory_sync(GST_CUDA_MEMORY_CAST(memory));
#endif
}

// Whether whoever gets this memory next waits for `stream` by itself.
inline bool IsFollowed(GstMemory* memory, CUstream stream) {
#if GST_CHECK_VERSION(1, 24, 0)
  GstCudaStream* own = gst_cuda_memory_get_stream(GST_CUDA_MEMORY_CAST(memory));
  return own != nullptr && gst_cuda_stream_get_handle(own) == stream;
#else
  return false;
#endif
}

// `stream` has been waited for: nobody has to any more.
inline void MarkFinished(GstMemory* memory) {
#if GST_CHECK_VERSION(1, 24, 0)
  GST_MEMORY_FLAG_UNSET(memory, GST_CUDA_MEMORY_TRANSFER_NEED_SYNC);
#endif
}

// Buffers of a pool are to carry the element's stream.
inline void SetPoolStream(GstStructure* config, const ElementStream& own) {
#if GST_CHECK_VERSION(1, 24, 0)
  gst_buffer_pool_config_set_cuda_stream(config, own.stream());
#endif
}

}  // namespace cpl::gstcuda
