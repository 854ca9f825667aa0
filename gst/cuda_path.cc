// SPDX-License-Identifier: Apache-2.0

#include "gst/cuda_path.h"

#include <atomic>
#include <mutex>

#include "gst/cuda_compat.h"
#include "gst/cuda_context.h"
#include "gst/debug.h"
#include "gst/i18n.h"

namespace cpl {
namespace {

struct PoolSize {
  guint size = 0, min = 0, max = 0;
};

// The pool rewrites the size: rows have the GPU's pitch.
bool Configure(GstBufferPool* pool, GstCaps* caps, const gstcuda::ElementStream& stream,
               PoolSize* size) {
  GstStructure* config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_set_params(config, caps, size->size, size->min, size->max);
  gstcuda::SetPoolStream(config, stream);
  if (!gst_buffer_pool_set_config(pool, config)) return false;
  config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_get_params(config, nullptr, &size->size, nullptr, nullptr);
  gst_structure_free(config);
  return true;
}

// The one memory of a frame in the GPU's memory, or null.
GstCudaMemory* MemoryOf(GstBuffer* buffer) {
  if (gst_buffer_n_memory(buffer) != 1) return nullptr;
  GstMemory* memory = gst_buffer_peek_memory(buffer, 0);
  return gst_is_cuda_memory(memory) ? GST_CUDA_MEMORY_CAST(memory) : nullptr;
}

bool IsSame(GstCudaContext* a, GstCudaContext* b) {
  return a == b || gst_cuda_context_get_handle(a) == gst_cuda_context_get_handle(b);
}

}  // namespace

struct CudaPath::State {
  mutable std::mutex lock;
  GstCudaContext* given = nullptr;    // by the pipeline or its application
  GstCudaContext* context = nullptr;  // that is used: the primary one, or one that wraps it too
  gstcuda::ElementStream stream;
  gstcuda::HeldStream held;
  bool open = false;
  bool warned = false;

  // For the streaming thread.
  GstBufferPool* frames = nullptr;  // of our own
  GstVideoInfo frames_info{};
  CUstream now = nullptr;  // what the frame in hand is worked on

  ~State() {
    DropFrames();
    stream.Close();
    gst_clear_object(&given);
    gst_clear_object(&context);
  }

  void DropFrames() {
    if (frames) gst_buffer_pool_set_active(frames, FALSE);
    gst_clear_object(&frames);
  }

  // With the lock held.
  bool Ensure(int device_id, std::string* why) {
    if (context) return true;
    GstCudaContext* primary = gstcuda::PrimaryContext(MAX(device_id, 0), why);
    if (!primary) return false;
    const bool same = given && IsSame(given, primary);
    context = GST_CUDA_CONTEXT(gst_object_ref(same ? given : primary));
    return true;
  }

  bool OpenFrames(const GstVideoInfo& info) {
    if (frames && gst_video_info_is_equal(&frames_info, &info)) return true;
    DropFrames();
    GstCaps* caps = gst_video_info_to_caps(&info);
    gst_caps_set_features(caps, 0, gst_caps_features_new(kCudaMemoryFeature, nullptr));
    frames = gst_cuda_buffer_pool_new(context);
    PoolSize size{static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)), 0, 0};
    const bool usable =
        Configure(frames, caps, stream, &size) && gst_buffer_pool_set_active(frames, TRUE);
    gst_caps_unref(caps);
    frames_info = info;
    if (!usable) DropFrames();
    return usable;
  }
};

CudaPath::CudaPath() : state_(std::make_unique<State>()) {}
CudaPath::~CudaPath() = default;

bool CudaPath::IsBuilt() { return true; }

void CudaPath::TakeContext(GstElement* element, GstContext* context, int device_id) {
  if (!gst_context_has_context_type(context, GST_CUDA_CONTEXT_TYPE)) return;
  const std::lock_guard lock(state_->lock);
  gst_cuda_handle_set_context(element, context, device_id, &state_->given);
}

bool CudaPath::AnswerQuery(GstElement* element, GstQuery* query, int device_id) {
  const gchar* type = nullptr;
  if (!gst_query_parse_context_type(query, &type) || g_strcmp0(type, GST_CUDA_CONTEXT_TYPE) != 0) {
    return false;
  }
  GstCudaContext* context = nullptr;
  {
    const std::lock_guard lock(state_->lock);
    std::string why;
    if (!state_->Ensure(device_id, &why)) {
      GST_DEBUG_OBJECT(element, "no CUDA context to share: %s", why.c_str());
      return false;
    }
    context = GST_CUDA_CONTEXT(gst_object_ref(state_->context));
  }
  const bool answered = gst_cuda_handle_context_query(element, query, context);
  gst_object_unref(context);
  return answered;
}

std::string CudaPath::Open(GstElement* element, int device_id) {
  GstContext* shared = nullptr;
  {
    const std::lock_guard lock(state_->lock);
    if (state_->open) return {};
    std::string why;
    gst_cuda_memory_init_once();
    if (!state_->Ensure(device_id, &why)) return why;
    if (!state_->stream.Open(state_->context)) return "no stream can be made on the GPU";
    state_->open = true;
    state_->warned = false;
    shared = gst_context_new_cuda_context(state_->context);
  }
  // Without the lock: both come back through TakeContext.
  gst_element_set_context(element, shared);
  gst_element_post_message(element, gst_message_new_have_context(GST_OBJECT(element), shared));
  return {};
}

void CudaPath::Close() {
  const std::lock_guard lock(state_->lock);
  state_->DropFrames();
  state_->held.Drop();
  state_->stream.Close();
  state_->open = false;
  gst_clear_object(&state_->context);
}

bool CudaPath::is_open() const {
  const std::lock_guard lock(state_->lock);
  return state_->open;
}

bool CudaPath::ProposeAllocation(GstQuery* query) {
  GstCaps* caps = nullptr;
  GstVideoInfo info;
  gst_query_parse_allocation(query, &caps, nullptr);
  if (!caps || !gst_video_info_from_caps(&info, caps)) return false;
  if (gst_query_get_n_allocation_pools(query) == 0) {
    GstBufferPool* pool = gst_cuda_buffer_pool_new(state_->context);
    PoolSize size{static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)), 0, 0};
    const bool usable = Configure(pool, caps, state_->stream, &size);
    if (usable) gst_query_add_allocation_pool(query, pool, size.size, 0, 0);
    gst_object_unref(pool);
    if (!usable) return false;
  }
  if (!gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr)) {
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  }
  return true;
}

bool CudaPath::DecideAllocation(GstQuery* query) {
  GstCaps* caps = nullptr;
  GstVideoInfo info;
  gst_query_parse_allocation(query, &caps, nullptr);
  if (!caps || !gst_video_info_from_caps(&info, caps)) return false;

  GstBufferPool* pool = nullptr;
  PoolSize size{static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)), 0, 0};
  const bool offered = gst_query_get_n_allocation_pools(query) > 0;
  if (offered) {
    gst_query_parse_nth_allocation_pool(query, 0, &pool, &size.size, &size.min, &size.max);
    // One of another context would cost its owner a copy through the system's memory.
    if (pool && (!GST_IS_CUDA_BUFFER_POOL(pool) ||
                 !IsSame(GST_CUDA_BUFFER_POOL(pool)->context, state_->context))) {
      gst_clear_object(&pool);
    }
  }
  if (!pool) pool = gst_cuda_buffer_pool_new(state_->context);
  const bool usable = Configure(pool, caps, state_->stream, &size);
  if (usable && offered) {
    gst_query_set_nth_allocation_pool(query, 0, pool, size.size, size.min, size.max);
  } else if (usable) {
    gst_query_add_allocation_pool(query, pool, size.size, size.min, size.max);
  }
  gst_object_unref(pool);
  return usable;
}

bool CudaPath::Enter() { return gst_cuda_context_push(state_->context); }

void CudaPath::Leave() { gst_cuda_context_pop(nullptr); }

void* CudaPath::StreamFor(GstBuffer* in) {
  GstCudaMemory* memory = MemoryOf(in);
  state_->now = memory && IsSame(memory->context, state_->context)
                    ? gstcuda::StreamOf(GST_MEMORY_CAST(memory), state_->stream, &state_->held)
                    : state_->stream.handle();
  return state_->now;
}

GstBuffer* CudaPath::Import(GstElement* element, GstBuffer* in, const GstVideoInfo& info,
                            std::string* why) {
  GstCudaMemory* memory = MemoryOf(in);
  if (!memory) {
    *why = "it is not in one piece of the GPU's memory, as its caps say";
    return nullptr;
  }
  if (IsSame(memory->context, state_->context)) return gst_buffer_ref(in);

  if (!state_->warned) {
    state_->warned = true;
    GST_ELEMENT_WARNING(
        element, RESOURCE, SETTINGS,
        (_("Frames come from another CUDA context and are copied on the GPU: put cplrestore into "
           "the pipeline before it starts, or have the application share the primary context "
           "(gst_cuda_context_new_wrapped).")),
        ("context %p, the primary one is %p", gst_cuda_context_get_handle(memory->context),
         gst_cuda_context_get_handle(state_->context)));
  }
  GstBuffer* copy = Scratch(info);
  if (copy == nullptr) {
    *why = "there is no memory on the GPU for a copy of it";
    return nullptr;
  }
  gstcuda::WaitForForeign(GST_MEMORY_CAST(memory));
  GstVideoFrame from, to;
  const auto read = static_cast<GstMapFlags>(GST_MAP_READ | GST_MAP_CUDA);
  const auto write = static_cast<GstMapFlags>(GST_MAP_WRITE | GST_MAP_CUDA);
  bool copied = false;
  if (gst_video_frame_map(&from, &info, in, read)) {
    if (gst_video_frame_map(&to, &info, copy, write)) {
      copied = true;
      for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(&from); ++p) {
        gint component[GST_VIDEO_MAX_COMPONENTS];
        gst_video_format_info_component(info.finfo, p, component);
        const auto address = [p](const GstVideoFrame& frame) {
          return reinterpret_cast<CUdeviceptr>(GST_VIDEO_FRAME_PLANE_DATA(&frame, p));
        };
        const gstcuda::PlaneCopy plane = {
            address(from),
            address(to),
            static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&from, p)),
            static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&to, p)),
            static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_WIDTH(&from, component[0]) *
                                     GST_VIDEO_FRAME_COMP_PSTRIDE(&from, component[0])),
            static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_HEIGHT(&from, component[0]))};
        copied = copied && gstcuda::CopyBetweenContexts(plane, memory->context, state_->context,
                                                        state_->stream.handle());
      }
      gst_video_frame_unmap(&to);
    }
    gst_video_frame_unmap(&from);
  }
  if (copied) return copy;
  gst_buffer_unref(copy);
  *why = "it cannot be copied from the other CUDA context";
  return nullptr;
}

GstBuffer* CudaPath::Scratch(const GstVideoInfo& info) {
  GstBuffer* buffer = nullptr;
  const bool made = state_->OpenFrames(info) &&
                    gst_buffer_pool_acquire_buffer(state_->frames, &buffer, nullptr) == GST_FLOW_OK;
  return made ? buffer : nullptr;
}

bool CudaPath::Wait() {
  if (!gst_cuda_context_push(state_->context)) return false;
  const CUresult status = CuStreamSynchronize(state_->now);
  gst_cuda_context_pop(nullptr);
  return status == CUDA_SUCCESS;
}

CudaPath::Finished CudaPath::Finish(GstBuffer* out) {
  GstCudaMemory* memory = out ? MemoryOf(out) : nullptr;
  if (memory && gstcuda::IsFollowed(GST_MEMORY_CAST(memory), state_->now)) {
    return Finished::kFollowed;
  }
  if (!Wait()) return Finished::kFailed;
  if (memory) gstcuda::MarkFinished(GST_MEMORY_CAST(memory));
  return Finished::kDone;
}

bool CopyOnGpu(const void* from, std::ptrdiff_t from_stride, void* to, std::ptrdiff_t to_stride,
               std::size_t row_bytes, int rows, void* stream) {
  CUDA_MEMCPY2D copy = {};
  copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = reinterpret_cast<CUdeviceptr>(from);
  copy.srcPitch = static_cast<std::size_t>(from_stride);
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = reinterpret_cast<CUdeviceptr>(to);
  copy.dstPitch = static_cast<std::size_t>(to_stride);
  copy.WidthInBytes = row_bytes;
  copy.Height = static_cast<std::size_t>(rows);
  return CuMemcpy2DAsync(&copy, static_cast<CUstream>(stream)) == CUDA_SUCCESS;
}

bool FillOnGpu(void* to, std::ptrdiff_t stride, unsigned value, int sample_bytes, int samples,
               int rows, void* stream) {
  return gstcuda::Fill(reinterpret_cast<CUdeviceptr>(to), static_cast<std::size_t>(stride), value,
                       sample_bytes, static_cast<std::size_t>(samples),
                       static_cast<std::size_t>(rows), static_cast<CUstream>(stream));
}

}  // namespace cpl
