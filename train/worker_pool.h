// SPDX-License-Identifier: Apache-2.0
//
// A few long-lived threads that share the items of a loop, and in idle times those of another.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cpl::train {

// All calls come from one thread.
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
  // done. Rethrows the first exception, after which the remaining items are left out.
  void Run(int count, const std::function<void(int)>& item);

  // The same for later: returns at once; threads that have nothing of Run's to do, and would wait,
  // begin with items of this. One offer at a time: Finish or Withdraw comes before the next.
  void Offer(int count, std::function<void(int)> item);
  // Does what is left of the offer, with all threads, as Run does. Nothing without an offer.
  void Finish();
  // Drops what nobody began of the offer, and what it threw, and waits for the rest.
  void Withdraw();

 private:
  struct Loop {
    std::function<void(int)> item;
    int count = 0;
    int next = 0;
    int running = 0;
    std::exception_ptr failure;
    bool open() const { return next < count; }
    bool done() const { return !open() && running == 0; }
  };

  void Serve();
  void WorkOn(Loop& loop, std::unique_lock<std::mutex>& lock);
  void RunLoop(Loop& loop, std::unique_lock<std::mutex>& lock);

  std::function<void()> prepare_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  Loop now_, spare_;
  bool stop_ = false;
  bool prepared_ = false;  // the caller's thread
  std::vector<std::thread> threads_;
};

}  // namespace cpl::train
