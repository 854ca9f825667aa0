// SPDX-License-Identifier: Apache-2.0
//
// The instance of cplrestore, for the files that its virtual functions are in.
#pragma once

#include <gst/base/gstbasetransform.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

#include "gst/cuda_path.h"
#include "gst/gstcplrestore.h"
#include "gst/latency.h"
#include "gst/model_swap.h"
#include "gst/observation.h"
#include "gst/restore_stream.h"
#include "gst/runtime_loader.h"
#include "gst/settings.h"
#include "gst/stats.h"
#include "gst/work_limit.h"

struct GstCplRestorePrivate {
  // Guards what properties read and write from any thread.
  std::mutex lock;
  cpl::Settings settings;
  cpl::Stats stats;
  cpl::ModelInfo model;        // of the loaded model; has no prompts while there is none
  std::string model_name;      // as it was asked for
  std::exception_ptr unheard;  // what was wrong with a property before anybody could be told

  cpl::ModelSwap swap;
  cpl::LatencyEstimate latency;
  std::atomic<bool> live{false};
  // Of the last QoS event: frames of this running time and earlier ones come too late.
  std::atomic<GstClockTime> earliest{GST_CLOCK_TIME_NONE};

  cpl::CudaPath cuda;
  // From NULL->READY on: models are loaded on the GPU, and frames in its memory are welcome.
  bool use_cuda = false;
  // The frame in hand as it was mapped, if that is not the frame itself.
  GstBuffer* imported = nullptr;

  // From NULL->READY on; never closed.
  const cpl::Runtime* runtime = nullptr;

  // Between start and stop, for the streaming thread.
  std::unique_ptr<cpl::RestoreStream> stream;
  cpl::WorkLimit limit;
  cpl::Announcer announcer;
  bool attach_meta = false;  // to the frame in hand
  bool post_messages = true;
  float strength = 1;  // of the frame in hand
  bool warned_damaged = false;
  bool warned_slow = false;
};

struct _GstCplRestore {
  GstBaseTransform parent;
  GstCplRestorePrivate* priv;
};

namespace cpl {

GstBaseTransformClass* RestoreParentClass();

// restore_settings.cc: the properties.
void RestoreSetProperty(GObject* object, guint id, const GValue* value, GParamSpec* pspec);
void RestoreGetProperty(GObject* object, guint id, GValue* value, GParamSpec* pspec);
void PostUnheardComplaint(GstElement* element);  // at NULL->READY

// restore_cuda.cc: what the element has to do with GPUs.
void ChooseDevice(GstElement* element);  // at NULL->READY; throws Error
int CudaDeviceId(GstCplRestorePrivate* priv);
bool MayUseCuda(GstCplRestorePrivate* priv);
bool IsOnGpu(const GstCaps* caps);
GstCaps* RestoreTransformCaps(GstBaseTransform* trans, GstPadDirection direction, GstCaps* caps,
                              GstCaps* filter);

// restore_frames.cc: what happens to each frame.
GstFlowReturn RestorePrepareOutputBuffer(GstBaseTransform* trans, GstBuffer* in, GstBuffer** out);
GstFlowReturn RestoreTransform(GstBaseTransform* trans, GstBuffer* in, GstBuffer* out);

// restore_model.cc: the model, at the start and while playing.
void StartModel(GstElement* element);  // throws Error
void RequestModel(GstElement* element, const std::string& name);
// In a catch block: if a GPU that was not asked for by name has failed, or has too little memory,
// loads the model on the CPU, with a warning. False: the exception stands.
bool GoOnWithCpu(GstElement* element);
// Takes over what RequestModel has brought, between two frames.
void TakeRequestedModel(GstElement* element);

}  // namespace cpl
