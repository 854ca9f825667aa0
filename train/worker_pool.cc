// SPDX-License-Identifier: Apache-2.0
#include "train/worker_pool.h"

#include <utility>

namespace cpl::train {

WorkerPool::WorkerPool(int threads, std::function<void()> prepare) : prepare_(std::move(prepare)) {
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { Serve(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

// One item.
void WorkerPool::WorkOn(Loop& loop, std::unique_lock<std::mutex>& lock) {
  const int i = loop.next++;
  ++loop.running;
  lock.unlock();
  std::exception_ptr failure;
  try {
    loop.item(i);
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  --loop.running;
  if (failure && !loop.failure) {
    loop.failure = failure;
    loop.next = loop.count;
  }
  if (loop.done()) done_.notify_all();
}

void WorkerPool::Serve() {
  if (prepare_) prepare_();
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || now_.open() || spare_.open(); });
    if (stop_) return;
    WorkOn(now_.open() ? now_ : spare_, lock);
  }
}

void WorkerPool::RunLoop(Loop& loop, std::unique_lock<std::mutex>& lock) {
  if (!prepared_ && prepare_) prepare_();
  prepared_ = true;
  while (loop.open()) WorkOn(loop, lock);
  // The others are busy still. An item of the offer is short beside those of Run.
  while (!loop.done()) {
    if (&loop != &spare_ && spare_.open()) {
      WorkOn(spare_, lock);
    } else {
      done_.wait(lock);
    }
  }
  const std::exception_ptr failure = std::exchange(loop, {}).failure;
  if (failure) std::rethrow_exception(failure);
}

void WorkerPool::Run(int count, const std::function<void(int)>& item) {
  std::unique_lock<std::mutex> lock(mutex_);
  now_ = {.item = item, .count = count};
  wake_.notify_all();
  RunLoop(now_, lock);
}

void WorkerPool::Offer(int count, std::function<void(int)> item) {
  const std::lock_guard<std::mutex> lock(mutex_);
  spare_ = {.item = std::move(item), .count = count};
  wake_.notify_all();
}

void WorkerPool::Finish() {
  std::unique_lock<std::mutex> lock(mutex_);
  RunLoop(spare_, lock);
}

void WorkerPool::Withdraw() {
  std::unique_lock<std::mutex> lock(mutex_);
  spare_.next = spare_.count;
  done_.wait(lock, [this] { return spare_.done(); });
  spare_ = {};
}

}  // namespace cpl::train
