// SPDX-License-Identifier: Apache-2.0
//
// Many streams in one process: whoever names the same file shares its weights, and all take turns
// on the CPUs. Torch-free, so that the tests' runtime has it too.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "cpl/restorer.h"
#include "model/work_pool.h"

namespace cpl {

// Thread-safe.
class ModelCache {
 public:
  using Loader = std::function<std::shared_ptr<Model>(const std::string& path, Precision)>;

  explicit ModelCache(Loader load) : load_(std::move(load)) {}

  // The model of this file, as it is now, in this precision: one that somebody still holds, or one
  // that is loaded for this call. While it is loading, others who ask for it wait for the same one.
  // A file is the same while its canonical path, time of change and size are. Throws what the
  // loader throws.
  std::shared_ptr<Model> Get(const std::string& path, Precision precision);

 private:
  struct Entry {
    std::weak_ptr<Model> model;
    std::shared_future<std::shared_ptr<Model>> loading;  // valid while it is
  };

  const Loader load_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

// A model whose streams do their work on the pool, `threads` (0: all) CPUs to a frame. The pool
// must outlive it. It keeps to RestoreParams::max_wait_ns.
std::shared_ptr<Model> TakingTurns(std::shared_ptr<Model> model, int threads, WorkPool* pool);

}  // namespace cpl
