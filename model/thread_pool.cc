// SPDX-License-Identifier: Apache-2.0
#include "model/thread_pool.h"

#include <utility>

namespace cpl {

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(static_cast<std::size_t>(std::max(0, threads - 1)));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Loop(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunErased(Call call, const void* object) {
  if (workers_.empty()) {
    call(object);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    call_ = call;
    object_ = object;
    ++run_;
  }
  wake_.notify_all();
  std::exception_ptr failure;
  try {
    call(object);
  } catch (...) {
    failure = std::current_exception();
  }
  std::unique_lock lock(mutex_);
  call_ = nullptr;  // whoever wakes up now is too late
  idle_.wait(lock, [this] { return inside_ == 0; });
  if (!failure) failure = failure_;
  failure_ = nullptr;
  lock.unlock();
  if (failure) std::rethrow_exception(failure);
}

void ThreadPool::Loop() {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || (call_ != nullptr && run_ != seen); });
    if (stop_) return;
    seen = run_;
    const Call call = call_;
    const void* const object = object_;
    ++inside_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      call(object);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && !failure_) failure_ = failure;
    if (--inside_ == 0 && call_ == nullptr) idle_.notify_one();
  }
}

}  // namespace cpl
