// SPDX-License-Identifier: Apache-2.0
//
// What the gateway is told: one TOML file. docs/gateway.md explains each key for users; this header
// is the list. Passwords come from the environment and are never in the file.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace cpl::gateway {

struct Credentials {
  std::string user;
  std::string password;
  bool empty() const { return user.empty() && password.empty(); }
  bool operator==(const Credentials&) const = default;
};

// Where something listens, and who may come in (anyone where `credentials` is empty).
struct ServerConfig {
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any free one, which the log tells
  int max_clients = 64;
  Credentials credentials;
  bool operator==(const ServerConfig&) const = default;
};

struct ModelConfig {
  std::string name = "live";  // a file, or the name of an installed model
  std::string device = "auto";
  std::string precision = "auto";
  int threads = 0;
  bool operator==(const ModelConfig&) const = default;
};

struct OutputConfig {
  std::string path;              // of the RTSP mount; "/NAME" unless told otherwise
  std::string encoder = "x264";  // x264, openh264, nvh264
  int bitrate_kbps = 4000;
  double keyframe_seconds = 2;
  bool operator==(const OutputConfig&) const = default;
};

struct RecordConfig {
  bool before = false;  // the camera's own stream, not encoded anew
  bool after = false;   // what RTSP clients see
  std::string folder;   // NAME/before and NAME/after are made in it
  double segment_seconds = 600;
  double max_gigabytes = 20;  // of each of the two
  double max_days = 7;
  double min_free_gigabytes = 1;  // nothing is written where less is free
  double retry_seconds = 30;      // after an error
  bool operator==(const RecordConfig&) const = default;
};

struct CameraConfig {
  std::string name;  // letters, digits, '-', '_', '.'
  std::string url;   // rtsp:// or rtsps://, without user or password
  Credentials credentials;
  std::string transport = "tcp";  // tcp, udp, auto
  bool tls_verify = true;
  int latency_ms = 200;          // of the jitter buffer
  double stall_seconds = 10;     // without a frame: reconnect
  double reconnect_seconds = 1;  // first pause; doubles
  double reconnect_max_seconds = 60;
  std::string degradation = "auto";
  double strength = 1;
  std::string bypass = "auto";
  std::string compare = "none";
  int max_latency_ms = 1000;  // of the element; 0: no limit
  OutputConfig output;
  RecordConfig record;
  bool operator==(const CameraConfig&) const = default;
};

struct Config {
  ServerConfig rtsp{.port = 8554};
  ServerConfig http{.port = 9554};
  ModelConfig model;
  std::vector<CameraConfig> cameras;  // names and output paths are unique
};

// Returns the value of an environment variable, or null.
using Environment = std::function<const char*(const char*)>;

// Throws cpl::Error with one sentence that names the file, the key and the remedy. Passwords that
// were read are known to WithoutSecrets (log.h) when this returns or throws.
Config LoadConfig(const std::string& path, const Environment& environment);

// Host and port of a URL, for people to see; neither its path nor its query, which may hold
// secrets.
std::string HostOf(const std::string& url);

// True for 127.0.0.0/8, ::1 and localhost.
bool IsLoopback(const std::string& address);

}  // namespace cpl::gateway
