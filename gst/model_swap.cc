// SPDX-License-Identifier: Apache-2.0

#include "gst/model_swap.h"

#include <utility>

namespace cpl {

void ModelSwap::Request(const std::string& name, Loader load, Complaint failed) {
  const std::lock_guard thread_lock(thread_lock_);
  {
    const std::lock_guard lock(state_->lock);
    state_->wanted = Order{name, std::move(load), std::move(failed)};
    if (state_->running) return;
  }
  if (thread_.joinable()) thread_.join();  // it has nothing left to do
  const std::lock_guard lock(state_->lock);
  thread_ = std::thread([state = state_] { Work(state); });
  state_->running = true;
}

void ModelSwap::Work(const std::shared_ptr<State>& state) {
  for (;;) {
    std::optional<Order> order;
    {
      const std::lock_guard lock(state->lock);
      order = std::exchange(state->wanted, std::nullopt);
      if (!order) {
        state->running = false;
        return;
      }
    }
    try {
      std::shared_ptr<Model> model = order->load(order->name);
      const std::lock_guard lock(state->lock);
      if (!state->wanted) state->loaded = LoadedModel{order->name, std::move(model)};
    } catch (...) {
      order->failed(order->name);
    }
  }
}

std::optional<LoadedModel> ModelSwap::Take() {
  const std::lock_guard lock(state_->lock);
  return std::exchange(state_->loaded, std::nullopt);
}

void ModelSwap::Cancel() {
  const std::lock_guard thread_lock(thread_lock_);
  {
    const std::lock_guard lock(state_->lock);
    state_->wanted.reset();
  }
  if (thread_.joinable()) {
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();  // a handler of the complaint stops the element
      state_ = std::make_shared<State>();
    } else {
      thread_.join();
    }
  }
  const std::lock_guard lock(state_->lock);
  state_->loaded.reset();
}

}  // namespace cpl
