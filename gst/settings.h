// SPDX-License-Identifier: Apache-2.0
//
// What the user asked for: the values behind the element's writable properties. They exist as long
// as the element does; what exists only while it runs is in restore_stream.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cpl/restorer.h"
#include "gst/compose.h"
#include "gst/regions.h"

namespace cpl {

enum class BypassMode : int { kAuto = 0, kOff = 1, kOn = 2 };

enum class TemporalMode : int { kOff = 0, kOn = 1 };

enum class Device : int { kAuto = 0, kCpu = 1, kCuda = 2 };

inline constexpr char kDefaultModel[] = "live";
inline constexpr char kAutoDegradation[] = "auto";

struct Settings {
  std::string model = kDefaultModel;
  Device device = Device::kAuto;
  int cuda_device_id = -1;
  Precision precision = Precision::kAuto;
  unsigned threads = 0;

  std::string degradation = kAutoDegradation;
  double strength = 1.0;
  BypassMode bypass = BypassMode::kAuto;
  double bypass_threshold = 0.5;
  double bypass_hysteresis = 0.2;
  TemporalMode temporal = TemporalMode::kOn;
  unsigned interval = 1;
  std::uint64_t max_latency = 0;   // ns; 0 = none
  std::uint64_t batch_window = 0;  // ns; 0 = none
  Comparison compare;
  std::shared_ptr<const Regions> roi = std::make_shared<const Regions>();
  std::string roi_meta;  // a type of region metas, "*" for all, empty for none
  bool post_messages = true;
  bool attach_meta = false;

  // `degradation` in the terms of the loaded model; kAutoPrompt while there is none.
  int prompt = kAutoPrompt;

  RestoreParams FrameParams() const {
    return {.strength = static_cast<float>(strength),
            .prompt = prompt,
            .bypass_clean = bypass == BypassMode::kAuto,
            .temporal = temporal == TemporalMode::kOn,
            .clear_threshold = static_cast<float>(bypass_threshold),
            .clear_hysteresis = static_cast<float>(bypass_hysteresis),
            .interval = static_cast<int>(interval),
            .threads = static_cast<int>(threads),
            .max_wait_ns = static_cast<std::int64_t>(max_latency),
            .batch_window_ns = static_cast<std::int64_t>(batch_window)};
  }
};

// Bundles of settings that belong together. A bundle is no setting of its own: it writes others,
// and reading it tells which bundle they make up. So a file of saved properties gives the same
// settings in whatever order it is read, and a user may take a bundle and turn one knob.
enum class Preset : int { kCustom = 0, kLight, kMedium, kStrong, kNight };

void ApplyPreset(Preset preset, Settings* settings);  // kCustom changes nothing
Preset PresetOf(const Settings& settings);

}  // namespace cpl
