// SPDX-License-Identifier: Apache-2.0
//
// Turns on the CPUs. A frame's network already spreads over all threads it may use, so that two
// frames at once would only take each other's caches and make both late. Here frames queue instead,
// first come, first served, and run side by side only as far as their threads fit on the CPUs.
//
// They run on the pool's own threads and not on their callers': OpenMP keeps a team of threads for
// every thread that ever called it, and sixteen streams would have sixteen teams.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cpl {

// Thread-safe.
class WorkPool {
 public:
  // `on_thread_start` runs first on each of the pool's threads; it must not throw.
  explicit WorkPool(int cpus, std::function<void()> on_thread_start = {});
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;
  // Nobody may be inside Run.
  ~WorkPool();

  // Runs `work` when its turn has come and `threads` CPUs are free (0, or more than there are: all
  // of them), and returns when it is done. What it throws is thrown here. False if it was not
  // begun within `max_wait`; zero waits as long as it takes. Not to be called from inside `work`.
  bool Run(int threads, std::chrono::nanoseconds max_wait, const std::function<void()>& work);

  int cpus() const { return cpus_; }

 private:
  struct Job;

  void StartWhatFits();  // with mutex_ held
  void WorkerLoop();

  const int cpus_;
  const std::function<void()> on_thread_start_;
  std::mutex mutex_;
  std::condition_variable work_is_there_;
  std::deque<Job*> waiting_;  // in the order in which they came
  std::deque<Job*> started_;  // their CPUs are taken, a worker is on its way
  int free_;
  int idle_ = 0;  // workers that no started job is meant for
  bool closing_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace cpl
