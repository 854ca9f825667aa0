// SPDX-License-Identifier: Apache-2.0
//
// Loads another model beside the one that is at work.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cpl/restorer.h"

namespace cpl {

struct LoadedModel {
  std::string name;  // as it was asked for
  std::shared_ptr<Model> model;
};

// Thread-safe.
class ModelSwap {
 public:
  using Loader = std::function<std::shared_ptr<Model>(const std::string& name)>;
  // Called inside a catch block, on the loading thread.
  using Complaint = std::function<void(const std::string& name)>;

  ModelSwap() = default;
  ModelSwap(const ModelSwap&) = delete;
  ModelSwap& operator=(const ModelSwap&) = delete;
  ~ModelSwap() { Cancel(); }

  // Begins to load a model in the background and returns at once. Of several that are asked for
  // while one is loading the last one counts.
  void Request(const std::string& name, Loader load, Complaint failed);

  // The model that has been loaded since the last call, once.
  std::optional<LoadedModel> Take();

  // Forgets what is asked for and what is there. Returns when nothing is loading any more, except
  // on the loading thread itself.
  void Cancel();

 private:
  struct Order {
    std::string name;
    Loader load;
    Complaint failed;
  };
  // Outlives this object while a model is loading.
  struct State {
    std::mutex lock;
    std::optional<Order> wanted;
    std::optional<LoadedModel> loaded;
    bool running = false;
  };

  static void Work(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::mutex thread_lock_;
  std::thread thread_;
};

}  // namespace cpl
