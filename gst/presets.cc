// SPDX-License-Identifier: Apache-2.0
//
// The presets of cplrestore. They are an enum property rather than a file of GstPreset, because
// `cplrestore preset=night` is what works in a launch line, in a configuration file and without
// anything installed; x264enc and the hardware encoders do the same. GstPreset stays what it is
// good at: saving and loading what users make themselves.

#include "gst/settings.h"

namespace cpl {
namespace {

struct Bundle {
  Preset preset;
  double strength;
  const char* degradation;
  BypassMode bypass;
  double threshold;
  double hysteresis;
};

constexpr Bundle kBundles[] = {
    // For those who fear for detail: a good part of the restoration, and only where it is needed.
    {Preset::kLight, 0.6, kAutoDegradation, BypassMode::kAuto, 0.4, 0.2},
    // The defaults.
    {Preset::kMedium, 1.0, kAutoDegradation, BypassMode::kAuto, 0.5, 0.2},
    // Everything that the model can do, in every frame.
    {Preset::kStrong, 1.0, kAutoDegradation, BypassMode::kOff, 0.5, 0.2},
    // A dark picture is a noisy one, and grain must not be taken for rain or snow; some of it
    // stays, because a picture without any looks smeared.
    {Preset::kNight, 0.85, "noise", BypassMode::kOff, 0.5, 0.2},
};

}  // namespace

void ApplyPreset(Preset preset, Settings* settings) {
  for (const Bundle& bundle : kBundles) {
    if (bundle.preset != preset) continue;
    settings->strength = bundle.strength;
    settings->degradation = bundle.degradation;
    settings->bypass = bundle.bypass;
    settings->bypass_threshold = bundle.threshold;
    settings->bypass_hysteresis = bundle.hysteresis;
  }
}

Preset PresetOf(const Settings& settings) {
  for (const Bundle& bundle : kBundles) {
    if (settings.strength == bundle.strength && settings.degradation == bundle.degradation &&
        settings.bypass == bundle.bypass && settings.bypass_threshold == bundle.threshold &&
        settings.bypass_hysteresis == bundle.hysteresis) {
      return bundle.preset;
    }
  }
  return Preset::kCustom;
}

}  // namespace cpl
