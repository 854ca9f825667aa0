// SPDX-License-Identifier: Apache-2.0
#include "train/worker_pool.h"

namespace cpl::train {

WorkerPool::WorkerPool(int threads, std::function<void()> prepare) : prepare_(std::move(prepare)) {
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { Loop(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Work(std::unique_lock<std::mutex>& lock) {
  while (next_ < count_) {
    const int i = next_++;
    ++running_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      (*item_)(i);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --running_;
    if (failure && !failure_) {
      failure_ = failure;
      next_ = count_;
    }
  }
  if (running_ == 0) done_.notify_all();
}

void WorkerPool::Loop() {
  if (prepare_) prepare_();
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || next_ < count_; });
    if (stop_) return;
    Work(lock);
  }
}

void WorkerPool::Run(int count, const std::function<void(int)>& item) {
  if (!prepared_ && prepare_) prepare_();
  prepared_ = true;
  std::unique_lock<std::mutex> lock(mutex_);
  item_ = &item;
  count_ = count;
  next_ = 0;
  failure_ = nullptr;
  wake_.notify_all();
  Work(lock);
  done_.wait(lock, [this] { return running_ == 0 && next_ >= count_; });
  count_ = next_ = 0;
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace cpl::train
