// SPDX-License-Identifier: Apache-2.0
//
// The RTSP server for restored streams. Each mount has one media for all of its clients, fed by the
// camera's encoder. Clients get what they can take: one that does not read is cut off by the server
// when its backlog is full, and nobody waits for it meanwhile.
#pragma once

#include <gst/rtsp-server/rtsp-server.h>

#include <map>
#include <memory>
#include <string>

#include "examples/gateway/config.h"
#include "examples/gateway/encoder.h"

namespace cpl::gateway {

class RtspOutput {
 public:
  // Listens, on the default main context, which has to run in the thread that makes this object.
  // Throws cpl::Error naming address and port when they cannot be had.
  explicit RtspOutput(const ServerConfig& config);
  // Closes all clients.
  ~RtspOutput();
  RtspOutput(const RtspOutput&) = delete;
  RtspOutput& operator=(const RtspOutput&) = delete;

  int port() const;

  void Add(const std::string& path, std::shared_ptr<Encoder> encoder);
  // Clients of the path are closed.
  void Remove(const std::string& path);

  // Clients that play the stream at this moment.
  int Clients(const std::string& path) const;

 private:
  struct Mount;

  static void OnClient(GstRTSPServer*, GstRTSPClient* client, gpointer self);
  static void OnMedia(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer mount);
  // Closes the clients that play `path`; all of them where it is null.
  void CloseClients(const char* path);

  const ServerConfig config_;
  GstRTSPServer* server_;
  guint source_ = 0;
  guint cleanup_ = 0;
  std::map<std::string, std::shared_ptr<Mount>> mounts_;
};

}  // namespace cpl::gateway
