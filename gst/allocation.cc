// SPDX-License-Identifier: Apache-2.0

#include "gst/allocation.h"

#include <gst/video/gstvideometa.h>
#include <gst/video/gstvideopool.h>
#include <gst/video/video.h>

namespace cpl {

bool ProposeVideoAllocation(GstQuery* query) {
  GstCaps* caps = nullptr;
  GstVideoInfo info;
  gst_query_parse_allocation(query, &caps, nullptr);
  if (!caps || !gst_video_info_from_caps(&info, caps)) return false;

  if (gst_query_get_n_allocation_pools(query) == 0) {
    const auto size = static_cast<guint>(GST_VIDEO_INFO_SIZE(&info));
    GstBufferPool* pool = gst_video_buffer_pool_new();
    GstStructure* config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps, size, 0, 0);
    if (gst_buffer_pool_set_config(pool, config)) {
      gst_query_add_allocation_pool(query, pool, size, 0, 0);
    }
    gst_object_unref(pool);
  }
  if (!gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr)) {
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  }
  return true;
}

bool DecideVideoAllocation(GstQuery* query) {
  GstCaps* caps = nullptr;
  gst_query_parse_allocation(query, &caps, nullptr);
  const bool reads_video_meta =
      gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);

  GstVideoInfo info;
  if (!caps || !gst_video_info_from_caps(&info, caps)) return reads_video_meta;

  GstBufferPool* pool = nullptr;
  auto size = static_cast<guint>(GST_VIDEO_INFO_SIZE(&info));
  guint min = 0;
  guint max = 0;
  const bool offered = gst_query_get_n_allocation_pools(query) > 0;
  if (offered) gst_query_parse_nth_allocation_pool(query, 0, &pool, &size, &min, &max);
  if (!pool) pool = gst_video_buffer_pool_new();
  size = MAX(size, static_cast<guint>(GST_VIDEO_INFO_SIZE(&info)));

  GstStructure* config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, caps, size, min, max);
  if (reads_video_meta) {
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  }
  // A pool that refuses is dealt with by the base class, which sets the same parameters again.
  gst_buffer_pool_set_config(pool, config);
  if (offered) {
    gst_query_set_nth_allocation_pool(query, 0, pool, size, min, max);
  } else {
    gst_query_add_allocation_pool(query, pool, size, min, max);
  }
  gst_object_unref(pool);
  return reads_video_meta;
}

}  // namespace cpl
