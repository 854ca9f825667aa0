// SPDX-License-Identifier: Apache-2.0
#include "model/work_pool.h"

#include <algorithm>
#include <exception>

namespace cpl {

// Lives on its caller's stack.
struct WorkPool::Job {
  int cpus;
  const std::function<void()>* work;
  bool begun = false;
  bool done = false;
  std::exception_ptr failure;
  std::condition_variable changed;
};

WorkPool::WorkPool(int cpus, std::function<void()> on_thread_start)
    : cpus_(std::max(1, cpus)), on_thread_start_(std::move(on_thread_start)), free_(cpus_) {}

WorkPool::~WorkPool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_is_there_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool WorkPool::Run(int threads, std::chrono::nanoseconds max_wait,
                   const std::function<void()>& work) {
  Job job{.cpus = threads > 0 ? std::min(threads, cpus_) : cpus_, .work = &work};
  std::unique_lock lock(mutex_);
  waiting_.push_back(&job);
  try {
    StartWhatFits();
  } catch (...) {  // no worker could be made, and the job has stayed where it was
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &job));
    throw;
  }
  if (max_wait > std::chrono::nanoseconds::zero()) {
    job.changed.wait_for(lock, max_wait, [&] { return job.begun; });
    if (!job.begun) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &job));
      StartWhatFits();  // what stood behind it may be smaller
      return false;
    }
  }
  job.changed.wait(lock, [&] { return job.done; });
  if (job.failure) std::rethrow_exception(job.failure);
  return true;
}

void WorkPool::StartWhatFits() {
  // Strictly in order: a job that needs many CPUs would never run if smaller ones could overtake.
  while (!waiting_.empty() && waiting_.front()->cpus <= free_) {
    if (idle_ == 0) {
      workers_.emplace_back([this] { WorkerLoop(); });
      ++idle_;
    }
    Job* job = waiting_.front();
    waiting_.pop_front();
    started_.push_back(job);
    job->begun = true;
    job->changed.notify_all();
    free_ -= job->cpus;
    --idle_;
    work_is_there_.notify_one();
  }
}

void WorkPool::WorkerLoop() {
  if (on_thread_start_) on_thread_start_();
  std::unique_lock lock(mutex_);
  for (;;) {
    work_is_there_.wait(lock, [&] { return closing_ || !started_.empty(); });
    if (started_.empty()) return;
    Job* job = started_.front();
    started_.pop_front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      (*job->work)();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    free_ += job->cpus;
    ++idle_;
    job->failure = failure;
    job->done = true;
    job->changed.notify_all();  // the job is gone once the lock is
    try {
      StartWhatFits();
    } catch (...) {
      // No further worker could be made; this one takes what is next in its turn.
    }
  }
}

}  // namespace cpl
