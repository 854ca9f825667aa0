// SPDX-License-Identifier: Apache-2.0
//
// A few threads that work on one thing at a time and sleep in between. Nobody waits by spinning,
// and a thread that the system has not woken in time is not waited for: on a busy machine the
// others do its part.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace cpl {

class ThreadPool {
 public:
  // `threads` counts the caller's own; fewer than 1 is 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body() on the caller's thread and, as they wake up, on the others; returns when all that
  // began have come back. Between them, however few, they must do the whole work. Throws what one
  // of them threw. One caller at a time, not from inside a body. Allocates nothing.
  template <typename Body>
  void Run(const Body& body) {
    RunErased([](const void* object) { (*static_cast<const Body*>(object))(); }, &body);
  }

  // Calls body(begin, end) for pieces of [0, count) of at most `grain`.
  template <typename Body>
  void For(int count, int grain, const Body& body) {
    std::atomic<int> next = 0;
    Run([&] {
      for (int begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < count;) {
        body(begin, std::min(begin + grain, count));
      }
    });
  }

 private:
  using Call = void (*)(const void* object);

  void RunErased(Call call, const void* object);
  void Loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  Call call_ = nullptr;  // null between runs
  const void* object_ = nullptr;
  std::uint64_t run_ = 0;
  int inside_ = 0;  // workers in the body
  bool stop_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> workers_;
};

}  // namespace cpl
