// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "cpl/error.h"
#include "gst/debug.h"
#include "gst/restore_private.h"

namespace cpl {
namespace {

GstCplRestorePrivate* PrivateOf(gpointer self) { return GST_CPL_RESTORE(self)->priv; }

Device DeviceOf(GstCplRestorePrivate* priv) {
  const std::lock_guard lock(priv->lock);
  return priv->settings.device;
}

}  // namespace

int CudaDeviceId(GstCplRestorePrivate* priv) {
  const std::lock_guard lock(priv->lock);
  return priv->settings.cuda_device_id;
}

bool MayUseCuda(GstCplRestorePrivate* priv) { return DeviceOf(priv) != Device::kCpu; }

bool IsOnGpu(const GstCaps* caps) {
  if (!caps || gst_caps_is_empty(caps) || gst_caps_is_any(caps)) return false;
  const GstCapsFeatures* features = gst_caps_get_features(caps, 0);
  return features && gst_caps_features_contains(features, kCudaMemoryFeature);
}

void ChooseDevice(GstElement* element) {
  auto* priv = PrivateOf(element);
  const Device device = DeviceOf(priv);
  priv->use_cuda = false;
  if (device == Device::kCpu) return;
  const int id = CudaDeviceId(priv);
  try {
    priv->runtime->check_cuda(id);
  } catch (const Error& error) {
    if (device == Device::kCuda) throw;
    GST_INFO_OBJECT(element, "on the CPU: %s", error.what());
    return;
  }
  priv->use_cuda = true;
  const std::string why = priv->cuda.Open(element, id);
  if (!why.empty()) {
    GST_INFO_OBJECT(element, "frames in system memory only: %s", why.c_str());
  }
}

GstCaps* RestoreTransformCaps(GstBaseTransform* trans, GstPadDirection, GstCaps* caps,
                              GstCaps* filter) {
  auto* priv = PrivateOf(trans);
  GstCaps* ours = gst_caps_copy(caps);
  if (!priv->cuda.is_open() || !MayUseCuda(priv)) {
    gst_caps_filter_and_map_in_place(
        ours,
        [](GstCapsFeatures* features, GstStructure*, gpointer) -> gboolean {
          return !gst_caps_features_contains(features, kCudaMemoryFeature);
        },
        nullptr);
  }
  if (!filter) return ours;
  GstCaps* both = gst_caps_intersect_full(filter, ours, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref(ours);
  return both;
}

}  // namespace cpl
