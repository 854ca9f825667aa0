// SPDX-License-Identifier: Apache-2.0
//
// Mixed precision within a scope; ATen has no guard of its own.
#pragma once

#include <ATen/autocast_mode.h>

namespace cpl::train {

// Runs convolutions and products in bfloat16 while it lives, in the thread that made it, or (`on`
// false) in their own types even inside of another guard.
//
// LibTorch's cache of cast weights is one for all threads, and a thread that leaves its scope
// empties it under the others: how often a weight was cast, and so in which type its gradients were
// added up, would depend on who was first. It stays off.
class Autocast {
 public:
  Autocast(bool on, at::DeviceType device)
      : device_(device),
        on_(on),
        before_(at::autocast::is_autocast_enabled(device)),
        cached_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_enabled(device_, on_);
    if (!on_) return;
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(device_, before_);
    at::autocast::set_autocast_cache_enabled(cached_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool on_, before_, cached_;
};

}  // namespace cpl::train
