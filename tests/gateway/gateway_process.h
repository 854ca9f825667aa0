// SPDX-License-Identifier: Apache-2.0
//
// cpl-gateway as a process of its own, and what can be seen of it from outside.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cpl::gateway_test {

// A machine that is busy with other tests may take long; what is waited for ends the wait.
inline constexpr int kPatience = 60;

// Polls until `condition` holds; false when it does not within `seconds`.
bool WaitFor(const std::function<bool()>& condition, int seconds = kPatience);

// A folder that goes with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class GatewayProcess {
 public:
  // Writes `cameras` (TOML, without [rtsp] and [http], which get free ports) and starts. `server`
  // is added to [rtsp]. Ready when the constructor returns, unless it ended.
  explicit GatewayProcess(const std::string& cameras,
                          const std::map<std::string, std::string>& env = {},
                          const std::string& server = "");
  // SIGKILL, where it still runs.
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // Another configuration; read at SIGHUP.
  void Write(const std::string& cameras) const;
  void Signal(int signal) const;
  // Exit status, or -1 when it does not end.
  int WaitForEnd();
  bool IsRunning();
  pid_t pid() const { return pid_; }

  std::string LogText() const;
  int rtsp_port() const { return rtsp_port_; }
  int http_port() const { return http_port_; }
  std::string RtspUrl(const std::string& camera) const;

  // Body of the answer; empty and `status` 0 where there is none.
  std::string Get(const std::string& path, int* status = nullptr) const;
  // One camera of /api/cameras; null where there is none.
  nlohmann::json Camera(const std::string& name) const;
  // The sum of all metrics whose line begins with `start`, such as a name with some labels.
  double Metric(const std::string& start) const;

  bool WaitForState(const std::string& camera, const std::string& state) const;
  // Waits until `more` further frames came.
  bool WaitForFrames(const std::string& camera, int more = 10) const;

 private:
  TempFolder folder_;
  std::string server_;
  pid_t pid_ = -1;
  int rtsp_port_ = 0;
  int http_port_ = 0;
};

// Runs the program with these arguments until it ends; returns what it wrote to stderr.
std::string RunGateway(const std::vector<std::string>& arguments, int* status);

// How often `part` occurs in `text`.
int Count(const std::string& text, const std::string& part);

}  // namespace cpl::gateway_test
