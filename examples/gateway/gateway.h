// SPDX-License-Identifier: Apache-2.0
//
// All cameras of this process, the RTSP server in front of them and what is told about them.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "examples/gateway/camera.h"
#include "examples/gateway/config.h"
#include "examples/gateway/metrics.h"
#include "examples/gateway/pipeline.h"
#include "examples/gateway/rtsp_output.h"
#include "examples/gateway/shard.h"

namespace cpl::gateway {

class Gateway {
 public:
  // Loads the model, listens for RTSP and starts the cameras of this shard. Throws cpl::Error when
  // model, encoders or port cannot be had. Belongs to the thread of the default main context.
  Gateway(const Config& config, Shard shard, const std::string& version);
  ~Gateway();

  // Makes the cameras those of `config`. Cameras that did not change are not touched; what may
  // change while frames run changes so; the others start anew. Returns what else has changed, and
  // counts only after a restart; empty where there is nothing.
  std::string Apply(const Config& config);

  // For a dynamic shard, now and then: looks for peers, on a thread of its own, and applies.
  void RefreshShard();

  // Counts clients, once a second.
  void CountClients();

  int rtsp_port() const { return rtsp_->port(); }

  // The rest may be called from any thread.
  Metrics& metrics() { return metrics_; }
  std::vector<CameraStatus> Status() const;
  // Empty where there is no such camera, or no picture.
  std::string Snapshot(const std::string& camera);
  // The cameras whose thread hangs.
  std::vector<std::string> Hung() const;

 private:
  void HoldModel(const ModelConfig& model);
  void ApplyCameras();

  Metrics metrics_;
  Config config_;
  Shard shard_;
  // An element that has started, and so keeps the shared weights while all cameras are away.
  std::unique_ptr<Pipeline> model_;
  std::unique_ptr<RtspOutput> rtsp_;

  mutable std::mutex lock_;
  std::map<std::string, std::shared_ptr<Camera>> cameras_;
};

}  // namespace cpl::gateway
