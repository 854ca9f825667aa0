// SPDX-License-Identifier: Apache-2.0
#include "train/gradient_reducer.h"

#include <c10/core/GradMode.h>

namespace cpl::train {
namespace {

// Large enough that a message's latency is little beside its transfer, small enough that the last
// one, which nothing overlaps, is short.
constexpr std::int64_t kBucketValues = 128 * 1024;

}  // namespace

GradientReducer::GradientReducer(const Parameters& parameters, Communicator& communicator)
    : communicator_(communicator) {
  for (const auto& item : parameters.items()) parameters_.push_back(item.second.detach());
  bucket_of_.resize(parameters_.size());
  for (std::size_t p = parameters_.size(); p-- > 0;) {
    if (buckets_.empty() || buckets_.back().values >= kBucketValues) buckets_.emplace_back();
    buckets_.back().parameters.push_back(p);
    buckets_.back().values += parameters_[p].numel();
    bucket_of_[p] = buckets_.size() - 1;
  }
}

GradientReducer::~GradientReducer() { Cancel(); }

void GradientReducer::Cancel() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
    cancelled_ = true;
  }
  changed_.notify_all();
  if (sender_.joinable()) sender_.join();
}

void GradientReducer::Begin(int groups, std::vector<at::Tensor> carried) {
  const std::lock_guard<std::mutex> lock(mutex_);
  gradients_.assign(groups, std::vector<at::Tensor>(parameters_.size()));
  sums_ = std::move(carried);
  sums_.resize(parameters_.size());
  for (Bucket& bucket : buckets_) {
    bucket.missing = static_cast<std::int64_t>(bucket.parameters.size()) * groups;
  }
  complete_ = false;
  failure_ = nullptr;
  open_ = true;
  sender_ = std::thread([this] { Send(); });
}

void GradientReducer::Add(int group, std::size_t parameter, const at::Tensor& gradient) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!open_) return;
  gradients_[group][parameter] = gradient.detach();
  if (--buckets_[bucket_of_[parameter]].missing == 0) changed_.notify_all();
}

void GradientReducer::Send() {
  const c10::NoGradGuard no_grad;
  try {
    for (const Bucket& bucket : buckets_) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return bucket.missing == 0 || complete_ || cancelled_; });
        if (cancelled_) return;
      }
      SendBucket(bucket);
    }
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    failure_ = std::current_exception();
  }
}

void GradientReducer::SendBucket(const Bucket& bucket) {
  // Behind the gradients, for each parameter: on how many ranks it had one.
  const auto count = static_cast<std::int64_t>(bucket.parameters.size());
  at::Tensor flat = at::zeros({bucket.values + count}, parameters_.front().options());
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t p = bucket.parameters[i];
    const std::int64_t values = parameters_[p].numel();
    at::Tensor part = flat.narrow(0, at, values);
    bool any = sums_[p].defined();
    if (any) part.copy_(sums_[p].reshape({-1}));
    for (const auto& group : gradients_) {
      if (!group[p].defined()) continue;
      part.add_(group[p].reshape({-1}));
      any = true;
    }
    if (any) flat[bucket.values + i] = 1;
    at += values;
  }
  communicator_.SumGradients(flat.data_ptr<float>(), static_cast<std::size_t>(flat.numel()));
  const at::Tensor counts = flat.narrow(0, bucket.values, count).to(at::kCPU);
  at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t p = bucket.parameters[i];
    const std::int64_t values = parameters_[p].numel();
    sums_[p] = counts.data_ptr<float>()[i] > 0
                   ? flat.narrow(0, at, values).view(parameters_[p].sizes())
                   : at::Tensor();
    at += values;
  }
}

std::vector<at::Tensor> GradientReducer::End() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
    complete_ = true;
  }
  changed_.notify_all();
  sender_.join();
  gradients_.clear();
  if (failure_) std::rethrow_exception(failure_);
  return std::move(sums_);
}

}  // namespace cpl::train
