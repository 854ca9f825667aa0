// SPDX-License-Identifier: Apache-2.0
//
// Sums gradients over the ranks of a distributed training while the backward pass still runs: they
// are put into buckets from the last parameter to the first, as they come, and a thread of its own
// sends each bucket as soon as it is full (Li et al.: PyTorch Distributed, 2020).
#pragma once

#include <ATen/ATen.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "model/live_net.h"
#include "train/communicator.h"

namespace cpl::train {

class GradientReducer {
 public:
  GradientReducer(const Parameters& parameters, Communicator& communicator);
  ~GradientReducer();

  // Starts a sum over `groups` groups of this rank and what `carried` holds (of each parameter; may
  // be undefined) already. Gradients may then come from several threads.
  void Begin(int groups, std::vector<at::Tensor> carried);

  // The gradient of a group for a parameter is complete. Nothing happens outside of Begin .. End.
  void Add(int group, std::size_t parameter, const at::Tensor& gradient);

  // All groups are done: sends what is left, waits, and returns the sums over all ranks. Groups are
  // added up in their order, so that a sum does not depend on threads. A parameter that had no
  // gradient on any rank has an undefined sum. Throws what the communicator threw.
  std::vector<at::Tensor> End();

  // Gives up a sum that was begun, after a failure; the other ranks wait for this one in vain.
  void Cancel();

 private:
  struct Bucket {
    std::vector<std::size_t> parameters;
    std::int64_t values = 0;
    std::int64_t missing = 0;  // gradients that have not come
  };

  void Send();
  void SendBucket(const Bucket& bucket);

  std::vector<at::Tensor> parameters_;
  Communicator& communicator_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::vector<std::vector<at::Tensor>> gradients_;  // [group][parameter]
  std::vector<at::Tensor> sums_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread sender_;
  bool open_ = false;
  bool complete_ = false;
  bool cancelled_ = false;
  std::exception_ptr failure_;
};

}  // namespace cpl::train
