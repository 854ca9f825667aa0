// SPDX-License-Identifier: Apache-2.0
//
// The page, the metrics and the probes. Read only: nothing can be changed over HTTP.
//
//   /                     the page          /metrics    for Prometheus
//   /api/cameras          JSON              /healthz    200 while no camera's thread hangs
//   /snapshot/NAME.jpg    before | after    /readyz     200 while RTSP is served
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "examples/gateway/camera.h"
#include "examples/gateway/config.h"

namespace httplib {
class Server;
struct Request;
struct Response;
}  // namespace httplib

namespace cpl::gateway {

// What the page asks; called from several threads at once.
struct WebSource {
  std::function<std::vector<CameraStatus>()> status;
  std::function<std::string(const std::string&)> snapshot;
  std::function<std::string()> metrics;
  std::function<std::vector<std::string>()> hung;
  int rtsp_port = 0;
};

class Web {
 public:
  // Listens until it is destroyed. Throws cpl::Error naming address and port when they cannot be
  // had.
  Web(const ServerConfig& config, WebSource source);
  ~Web();
  Web(const Web&) = delete;
  Web& operator=(const Web&) = delete;

  int port() const { return port_; }
  void SetReady(bool ready) { ready_ = ready; }

 private:
  void AddRoutes();
  bool MayEnter(const httplib::Request& request, httplib::Response& response) const;

  const ServerConfig config_;
  const WebSource source_;
  std::unique_ptr<httplib::Server> server_;
  std::atomic<bool> ready_{false};
  int port_ = 0;
  std::thread thread_;
};

}  // namespace cpl::gateway
