// SPDX-License-Identifier: Apache-2.0
#include "model/device_batch.h"

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <exception>

#include "model/batch_net.h"
#include "model/device_weights.h"

namespace cpl {
namespace {

using Clock = std::chrono::steady_clock;

// In a catch block.
bool IsOutOfMemory() {
  try {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

// Frames of one kind. `net` is touched by the leader of a batch only, with `running` held.
struct DeviceBatcher::Group {
  std::shared_ptr<Batch> forming;
  int most = kMost;  // less where memory is short
  std::mutex running;
  std::unique_ptr<BatchNet> net;
};

struct DeviceBatcher::Member::Batch {
  std::shared_ptr<Group> group;
  std::vector<const BatchFrame*> frames;
  bool closed = false;  // nobody joins any more
  bool done = false;
  bool apart = false;  // could not run: each runs its own
  std::exception_ptr failure;
};

DeviceBatcher::DeviceBatcher(DeviceModel& model) : model_(model) {}
DeviceBatcher::~DeviceBatcher() = default;

void DeviceBatcher::SetBusy(std::chrono::nanoseconds busy) {
  const std::lock_guard lock(mutex_);
  busy_ = busy;
}

DeviceBatcher::Member::Member(DeviceBatcher& batcher) : batcher_(batcher) {
  const std::lock_guard lock(batcher_.mutex_);
  batcher_.members_.insert(this);
}

DeviceBatcher::Member::~Member() {
  const std::lock_guard lock(batcher_.mutex_);
  batcher_.members_.erase(this);
  batcher_.DropIdleGroups();
}

void DeviceBatcher::Member::Hurry(bool on) {
  const std::lock_guard lock(batcher_.mutex_);
  hurries_ = on;
  if (on && batch_) batcher_.Close(batch_.get());
}

bool DeviceBatcher::Member::Run(const BatchFrame& frame, std::chrono::nanoseconds window) {
  std::unique_lock lock(batcher_.mutex_);
  const auto now = Clock::now();
  const bool moved = kind_ != frame.kind;
  kind_ = frame.kind;
  seen_ = now;
  if (moved) batcher_.DropIdleGroups();
  if (hurries_) return false;
  std::shared_ptr<Group>& group = batcher_.groups_[frame.kind];
  if (!group) group = std::make_shared<Group>();
  const int enough = std::min(batcher_.Expected(frame.kind, now), group->most);
  if (enough < 2) return false;

  frame.ready->Record(frame.stream);
  const bool leads = !group->forming;
  if (leads) {
    group->forming = std::make_shared<Batch>();
    group->forming->group = group;
    group->forming->frames.reserve(kMost);
  }
  const std::shared_ptr<Batch> batch = group->forming;
  batch_ = batch;
  batch->frames.push_back(&frame);
  if (static_cast<int>(batch->frames.size()) >= enough) batcher_.Close(batch.get());
  if (leads) {
    batcher_.changed_.wait_until(lock, now + window, [&] { return batch->closed; });
    batcher_.Close(batch.get());
    if (batch->frames.size() > 1) {
      lock.unlock();
      batcher_.RunBatch(batch.get());
      lock.lock();
    } else {
      batch->apart = true;
    }
    batch->done = true;
    batcher_.changed_.notify_all();
  } else {
    batcher_.changed_.wait(lock, [&] { return batch->done; });
  }
  batch_.reset();
  if (batch->failure) std::rethrow_exception(batch->failure);
  return !batch->apart;
}

// With the lock held, as all that follows but RunBatch.
int DeviceBatcher::Expected(const BatchKind& kind, Clock::time_point now) const {
  return static_cast<int>(std::count_if(members_.begin(), members_.end(), [&](const Member* m) {
    return m->kind_ == kind && !m->hurries_ && now - m->seen_ < busy_;
  }));
}

void DeviceBatcher::Close(Batch* batch) {
  if (batch->closed) return;
  batch->closed = true;
  batch->group->forming.reset();
  changed_.notify_all();
}

void DeviceBatcher::DropIdleGroups() {
  std::erase_if(groups_, [&](const auto& item) {
    return std::none_of(members_.begin(), members_.end(),
                        [&](const Member* m) { return m->kind_ == item.first; });
  });
}

void DeviceBatcher::RunBatch(Batch* batch) {
  Group& group = *batch->group;
  const std::lock_guard running(group.running);
  const auto count = static_cast<int>(batch->frames.size());
  const c10::InferenceMode inference;
  bool prepared = false;
  try {
    if (!group.net || group.net->capacity() < count) {
      group.net.reset();
      int capacity = 2;
      while (capacity < count) capacity *= 2;
      group.net = std::make_unique<BatchNet>(model_, batch->frames[0]->kind, capacity);
    }
    group.net->Prepare(count);
    prepared = true;
    group.net->Run(batch->frames);
  } catch (...) {
    // Want of memory shows before anything of a stream has changed.
    if (prepared && !IsOutOfMemory()) {
      batch->failure = std::current_exception();
      return;
    }
    batch->apart = true;
    group.net.reset();
    const std::lock_guard lock(mutex_);
    group.most = count - 1;
  }
}

}  // namespace cpl
