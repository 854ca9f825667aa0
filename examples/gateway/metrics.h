// SPDX-License-Identifier: Apache-2.0
//
// What Prometheus scrapes. All functions may be called from any thread.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace cpl::gateway {

// Why a camera's connection ended, as the label `reason` tells it.
inline constexpr const char* kReasons[] = {"unreachable", "credentials", "stalled",
                                           "ended",       "stream",      "restorer"};

class Metrics {
 public:
  explicit Metrics(const std::string& version);

  // In Prometheus' text format.
  std::string Text();

 private:
  friend class CameraMetrics;
  template <typename T>
  using Family = prometheus::Family<T>;

  prometheus::Registry registry_;
  prometheus::Gauge& resident_bytes_;
  prometheus::Gauge& open_files_;
  Family<prometheus::Gauge>& up_;
  Family<prometheus::Gauge>& fps_;
  Family<prometheus::Gauge>& clients_;
  Family<prometheus::Gauge>& degradation_;
  Family<prometheus::Gauge>& recording_;
  Family<prometheus::Counter>& frames_;
  Family<prometheus::Counter>& passed_;
  Family<prometheus::Counter>& seen_;
  Family<prometheus::Counter>& dropped_;
  Family<prometheus::Counter>& reconnects_;
  Family<prometheus::Counter>& recording_errors_;
  Family<prometheus::Histogram>& restore_;
  Family<prometheus::Histogram>& latency_;
};

// Those of one camera, from its start until it is removed.
class CameraMetrics {
 public:
  CameraMetrics(Metrics& metrics, const std::string& camera);
  ~CameraMetrics();
  CameraMetrics(const CameraMetrics&) = delete;
  CameraMetrics& operator=(const CameraMetrics&) = delete;

  // `reason` as in the element's stats: "none", or why the frame passed untouched.
  void CountFrame(const std::string& degradation, const std::string& reason, double restore_seconds,
                  double latency_seconds);
  void CountReconnect(const char* reason);
  void CountRecordingError(const std::string& which);
  void SetRecording(const std::string& which, bool on);
  // `degradation` is empty when the camera is away.
  void SetDegradation(const std::string& degradation);

  prometheus::Gauge& up;
  prometheus::Gauge& fps;
  prometheus::Gauge& clients;
  prometheus::Counter& frames;
  prometheus::Counter& dropped;
  prometheus::Histogram& restore;
  prometheus::Histogram& latency;

 private:
  template <typename T>
  using Labelled = std::map<std::string, T*>;
  template <typename T>
  T& Get(prometheus::Family<T>& family, Labelled<T>& known, const char* label,
         const std::string& value);

  Metrics& metrics_;
  const std::string camera_;
  std::mutex lock_;
  Labelled<prometheus::Counter> passed_, seen_, reconnects_, recording_errors_;
  Labelled<prometheus::Gauge> degradation_, recording_;
};

}  // namespace cpl::gateway
