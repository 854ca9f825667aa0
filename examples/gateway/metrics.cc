// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/metrics.h"

#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace cpl::gateway {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

// Seconds: a frame of 1080p30 has 0.033.
const Histogram::BucketBoundaries kBuckets = {0.005, 0.01, 0.02, 0.033, 0.05, 0.075, 0.1,
                                              0.15,  0.2,  0.3,  0.5,   0.75, 1,     2};

double ResidentBytes() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double OpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  return error ? 0 : static_cast<double>(std::distance(begin(files), end(files)));
}

}  // namespace

Metrics::Metrics(const std::string& version)
    : resident_bytes_(BuildGauge()
                          .Name("process_resident_memory_bytes")
                          .Help("Resident memory size in bytes.")
                          .Register(registry_)
                          .Add({})),
      open_files_(BuildGauge()
                      .Name("process_open_fds")
                      .Help("Number of open file descriptors.")
                      .Register(registry_)
                      .Add({})),
      up_(BuildGauge()
              .Name("cpl_gateway_camera_up")
              .Help("1 while frames of the camera arrive.")
              .Register(registry_)),
      fps_(BuildGauge()
               .Name("cpl_gateway_frames_per_second")
               .Help("Frames that left the element, mean of the last seconds.")
               .Register(registry_)),
      clients_(BuildGauge()
                   .Name("cpl_gateway_clients")
                   .Help("RTSP clients that take the camera's stream.")
                   .Register(registry_)),
      degradation_(BuildGauge()
                       .Name("cpl_gateway_degradation")
                       .Help("1 for the degradation that the model sees now.")
                       .Register(registry_)),
      recording_(BuildGauge()
                     .Name("cpl_gateway_recording")
                     .Help("1 while the stream (before, after) is being recorded.")
                     .Register(registry_)),
      frames_(BuildCounter()
                  .Name("cpl_gateway_frames_total")
                  .Help("Frames that left the element, restored or not.")
                  .Register(registry_)),
      passed_(BuildCounter()
                  .Name("cpl_gateway_frames_bypassed_total")
                  .Help("Frames that passed untouched, by reason.")
                  .Register(registry_)),
      seen_(BuildCounter()
                .Name("cpl_gateway_degradation_frames_total")
                .Help("Frames in which the model saw this degradation.")
                .Register(registry_)),
      dropped_(BuildCounter()
                   .Name("cpl_gateway_frames_dropped_total")
                   .Help("Frames that were dropped in front of the element, which was busy.")
                   .Register(registry_)),
      reconnects_(BuildCounter()
                      .Name("cpl_gateway_reconnects_total")
                      .Help("Connections to the camera that ended, by reason.")
                      .Register(registry_)),
      recording_errors_(BuildCounter()
                            .Name("cpl_gateway_recording_errors_total")
                            .Help("Failures of the recording (before, after).")
                            .Register(registry_)),
      restore_(BuildHistogram()
                   .Name("cpl_gateway_restore_seconds")
                   .Help("Time of a frame in the element.")
                   .Register(registry_)),
      latency_(BuildHistogram()
                   .Name("cpl_gateway_latency_seconds")
                   .Help("Time of a frame from its arrival to the element's end, the jitter "
                         "buffer and decoding included.")
                   .Register(registry_)) {
  BuildGauge()
      .Name("cpl_gateway_build_info")
      .Help("1, with the version as a label.")
      .Register(registry_)
      .Add({{"version", version}})
      .Set(1);
}

std::string Metrics::Text() {
  resident_bytes_.Set(ResidentBytes());
  open_files_.Set(OpenFiles());
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

CameraMetrics::CameraMetrics(Metrics& metrics, const std::string& camera)
    : up(metrics.up_.Add({{"camera", camera}})),
      fps(metrics.fps_.Add({{"camera", camera}})),
      clients(metrics.clients_.Add({{"camera", camera}})),
      frames(metrics.frames_.Add({{"camera", camera}})),
      dropped(metrics.dropped_.Add({{"camera", camera}})),
      restore(metrics.restore_.Add({{"camera", camera}}, kBuckets)),
      latency(metrics.latency_.Add({{"camera", camera}}, kBuckets)),
      metrics_(metrics),
      camera_(camera) {
  for (const char* reason : kReasons) Get(metrics_.reconnects_, reconnects_, "reason", reason);
}

CameraMetrics::~CameraMetrics() {
  metrics_.up_.Remove(&up);
  metrics_.fps_.Remove(&fps);
  metrics_.clients_.Remove(&clients);
  metrics_.frames_.Remove(&frames);
  metrics_.dropped_.Remove(&dropped);
  metrics_.restore_.Remove(&restore);
  metrics_.latency_.Remove(&latency);
  for (const auto& [label, metric] : passed_) metrics_.passed_.Remove(metric);
  for (const auto& [label, metric] : seen_) metrics_.seen_.Remove(metric);
  for (const auto& [label, metric] : reconnects_) metrics_.reconnects_.Remove(metric);
  for (const auto& [label, metric] : recording_errors_) metrics_.recording_errors_.Remove(metric);
  for (const auto& [label, metric] : degradation_) metrics_.degradation_.Remove(metric);
  for (const auto& [label, metric] : recording_) metrics_.recording_.Remove(metric);
}

template <typename T>
T& CameraMetrics::Get(prometheus::Family<T>& family, Labelled<T>& known, const char* label,
                      const std::string& value) {
  const std::lock_guard lock(lock_);
  T*& metric = known[value];
  if (metric == nullptr) metric = &family.Add({{"camera", camera_}, {label, value}});
  return *metric;
}

void CameraMetrics::CountFrame(const std::string& degradation, const std::string& reason,
                               double restore_seconds, double latency_seconds) {
  frames.Increment();
  restore.Observe(restore_seconds);
  latency.Observe(latency_seconds);
  if (reason != "none") Get(metrics_.passed_, passed_, "reason", reason).Increment();
  if (!degradation.empty()) {
    Get(metrics_.seen_, seen_, "degradation", degradation).Increment();
    SetDegradation(degradation);
  }
}

void CameraMetrics::SetDegradation(const std::string& degradation) {
  if (!degradation.empty()) Get(metrics_.degradation_, degradation_, "degradation", degradation);
  const std::lock_guard lock(lock_);
  for (const auto& [name, gauge] : degradation_) gauge->Set(name == degradation ? 1 : 0);
}

void CameraMetrics::CountReconnect(const char* reason) {
  Get(metrics_.reconnects_, reconnects_, "reason", reason).Increment();
}

void CameraMetrics::CountRecordingError(const std::string& which) {
  Get(metrics_.recording_errors_, recording_errors_, "stream", which).Increment();
}

void CameraMetrics::SetRecording(const std::string& which, bool on) {
  Get(metrics_.recording_, recording_, "stream", which).Set(on ? 1 : 0);
}

}  // namespace cpl::gateway
