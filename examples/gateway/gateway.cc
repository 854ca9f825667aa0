// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/gateway.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "cpl/error.h"
#include "examples/gateway/log.h"

namespace cpl::gateway {
namespace {

constexpr double kHungSeconds = 60;

// Stops them side by side: each waits for its network and its disk.
void StopAll(std::vector<std::shared_ptr<Camera>> cameras) {
  std::vector<std::thread> threads;
  for (auto& camera : cameras) {
    threads.emplace_back([one = std::move(camera)]() mutable {
      // A page that asks for a snapshot may hold it for a moment.
      while (one.use_count() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      one.reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

Gateway::Gateway(const Config& config, Shard shard, const std::string& version)
    : metrics_(version), config_(config), shard_(std::move(shard)) {
  for (const CameraConfig& camera : config.cameras) CheckEncoder(camera.output.encoder);
  HoldModel(config.model);
  rtsp_ = std::make_unique<RtspOutput>(config.rtsp);
  ApplyCameras();
}

Gateway::~Gateway() {
  std::vector<std::shared_ptr<Camera>> all;
  {
    const std::lock_guard lock(lock_);
    for (auto& [name, camera] : cameras_) all.push_back(std::move(camera));
    cameras_.clear();
  }
  rtsp_.reset();
  StopAll(std::move(all));
}

void Gateway::HoldModel(const ModelConfig& model) {
  model_ = std::make_unique<Pipeline>("cplrestore name=model ! fakesink async=false");
  const train::GstPtr<GstElement> element = model_->Element("model");
  g_object_set(element.get(), "model", model.name.c_str(), "threads",
               static_cast<guint>(model.threads), nullptr);
  gst_util_set_object_arg(G_OBJECT(element.get()), "device", model.device.c_str());
  gst_util_set_object_arg(G_OBJECT(element.get()), "precision", model.precision.c_str());
  // The element loads its model when it starts, which is on the way to PAUSED.
  if (gst_element_set_state(model_->get(), GST_STATE_PAUSED) != GST_STATE_CHANGE_FAILURE) return;
  const auto message = model_->Poll(GST_MESSAGE_ERROR);
  throw Error(ErrorCode::kUnsupported, message ? train::MessageText(message.get())
                                               : "the element cplrestore does not start");
}

std::string Gateway::Apply(const Config& config) {
  for (const CameraConfig& camera : config.cameras) CheckEncoder(camera.output.encoder);
  std::string waits;
  if (config.rtsp != config_.rtsp) waits += " [rtsp]";
  if (config.http != config_.http) waits += " [http]";
  if (config.model != config_.model) waits += " [model]";
  config_.cameras = config.cameras;
  ApplyCameras();
  return waits.empty() ? waits : waits.substr(1);
}

void Gateway::ApplyCameras() {
  std::map<std::string, CameraConfig> wanted;
  for (const CameraConfig& camera : config_.cameras) {
    if (shard_.Owns(camera.name)) wanted.emplace(camera.name, camera);
  }
  std::vector<std::shared_ptr<Camera>> gone;
  {
    const std::lock_guard lock(lock_);
    std::erase_if(cameras_, [&](auto& entry) {
      auto& [name, camera] = entry;
      const auto found = wanted.find(name);
      if (found != wanted.end() && camera->config() == found->second) return false;
      if (found != wanted.end() && Camera::CanTune(camera->config(), found->second)) {
        camera->Tune(found->second);
        Log(Level::kInfo, name, "settings changed while it runs");
        return false;
      }
      Log(Level::kInfo, name, found == wanted.end() ? "removed" : "starts anew: it was changed");
      rtsp_->Remove(camera->config().output.path);
      gone.push_back(std::move(camera));
      return true;
    });
  }
  StopAll(std::move(gone));  // before the new ones: names of metrics and files are the same
  for (const auto& [name, config] : wanted) {
    {
      const std::lock_guard lock(lock_);
      if (cameras_.count(name) != 0) continue;
    }
    auto camera = std::make_shared<Camera>(config, config_.model, metrics_);
    rtsp_->Add(config.output.path, camera->encoder());
    const std::lock_guard lock(lock_);
    cameras_.emplace(name, std::move(camera));
  }
}

void Gateway::RefreshShard() {
  if (!shard_.Refresh()) return;
  Log(Level::kInfo, "", "there are " + std::to_string(shard_.live().size()) + " gateways now");
  ApplyCameras();
}

void Gateway::CountClients() {
  const std::lock_guard lock(lock_);
  for (auto& [name, camera] : cameras_) {
    camera->metrics().clients.Set(rtsp_->Clients(camera->config().output.path));
  }
}

std::vector<CameraStatus> Gateway::Status() const {
  std::vector<CameraStatus> all;
  const std::lock_guard lock(lock_);
  for (const auto& [name, camera] : cameras_) {
    all.push_back(camera->Status());
    all.back().clients = static_cast<int>(camera->metrics().clients.Value());
  }
  return all;
}

std::string Gateway::Snapshot(const std::string& name) {
  std::shared_ptr<Camera> camera;
  {
    const std::lock_guard lock(lock_);
    const auto found = cameras_.find(name);
    if (found != cameras_.end()) camera = found->second;
  }
  return camera ? camera->Snapshot() : "";
}

std::vector<std::string> Gateway::Hung() const {
  std::vector<std::string> names;
  const std::lock_guard lock(lock_);
  for (const auto& [name, camera] : cameras_) {
    if (camera->SecondsSinceBeat() > kHungSeconds) names.push_back(name);
  }
  return names;
}

}  // namespace cpl::gateway
