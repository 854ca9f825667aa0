// SPDX-License-Identifier: Apache-2.0
//
// What the user asked for: the values behind the element's writable properties. They exist as long
// as the element does; what exists only while it runs is in restore_stream.h.
#pragma once

#include <string>

#include "cpl/restorer.h"

namespace cpl {

// 2 is kept for a mode that passes every frame.
enum class BypassMode : int { kAuto = 0, kOff = 1 };

enum class TemporalMode : int { kOff = 0, kOn = 1 };

inline constexpr char kDefaultModel[] = "live";
inline constexpr char kAutoDegradation[] = "auto";

struct Settings {
  std::string model = kDefaultModel;
  std::string degradation = kAutoDegradation;
  double strength = 1.0;
  Precision precision = Precision::kAuto;
  unsigned threads = 0;
  BypassMode bypass = BypassMode::kAuto;
  TemporalMode temporal = TemporalMode::kOn;

  // `degradation` in the terms of the loaded model; kAutoPrompt while there is none.
  int prompt = kAutoPrompt;

  RestoreParams FrameParams() const {
    return {.strength = static_cast<float>(strength),
            .prompt = prompt,
            .bypass_clean = bypass == BypassMode::kAuto,
            .temporal = temporal == TemporalMode::kOn};
  }
};

}  // namespace cpl
