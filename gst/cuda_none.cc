// SPDX-License-Identifier: Apache-2.0
//
// The element built without GStreamer's CUDA library: frames are in the system's memory.

#include "gst/cuda_path.h"

namespace cpl {

struct CudaPath::State {};

CudaPath::CudaPath() = default;
CudaPath::~CudaPath() = default;

bool CudaPath::IsBuilt() { return false; }
void CudaPath::TakeContext(GstElement*, GstContext*, int) {}
bool CudaPath::AnswerQuery(GstElement*, GstQuery*, int) { return false; }
std::string CudaPath::Open(GstElement*, int) {
  return "this build has no part in GStreamer's CUDA memory";
}
void CudaPath::Close() {}
bool CudaPath::is_open() const { return false; }
bool CudaPath::ProposeAllocation(GstQuery*) { return false; }
bool CudaPath::DecideAllocation(GstQuery*) { return false; }
bool CudaPath::Enter() { return false; }
void CudaPath::Leave() {}
void* CudaPath::StreamFor(GstBuffer*) { return nullptr; }
GstBuffer* CudaPath::Import(GstElement*, GstBuffer* in, const GstVideoInfo&, std::string*) {
  return gst_buffer_ref(in);
}
GstBuffer* CudaPath::Scratch(const GstVideoInfo&) { return nullptr; }
bool CudaPath::Wait() { return true; }
CudaPath::Finished CudaPath::Finish(GstBuffer*) { return Finished::kDone; }

bool CopyOnGpu(const void*, std::ptrdiff_t, void*, std::ptrdiff_t, std::size_t, int, void*) {
  return false;
}
bool FillOnGpu(void*, std::ptrdiff_t, unsigned, int, int, int, void*) { return false; }

}  // namespace cpl
