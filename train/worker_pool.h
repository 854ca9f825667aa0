// SPDX-License-Identifier: Apache-2.0
//
// A few long-lived threads that share the items of a loop.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cpl::train {

class WorkerPool {
 public:
  // `threads` at least 1, the caller's own among them. Each runs `prepare` once before its first
  // item.
  WorkerPool(int threads, std::function<void()> prepare);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls item(0) .. item(count - 1), each once, in any order and thread; returns when all are
  // done. Rethrows the first exception, after which the remaining items are left out. One caller at
  // a time.
  void Run(int count, const std::function<void(int)>& item);

 private:
  void Loop();
  void Work(std::unique_lock<std::mutex>& lock);

  std::function<void()> prepare_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  const std::function<void(int)>* item_ = nullptr;
  int count_ = 0;
  int next_ = 0;
  int running_ = 0;
  bool stop_ = false;
  bool prepared_ = false;  // the caller's thread
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace cpl::train
