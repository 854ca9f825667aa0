// SPDX-License-Identifier: Apache-2.0
//
// Frames of several streams that share a model, brought together within a small window of time and
// put through the network as one batch. What a stream remembers stays its own: a batch changes
// when a frame is worked on, never what becomes of it.
//
// The first frame of a batch waits, and the batch begins when every stream that has been busy
// lately is there, when it is full, or when the window is over. A stream that is alone waits for
// nobody.
#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "cuda/device.h"

namespace cpl {

class BatchNet;
class DeviceModel;

// Frames that can share a batch: of one padded size, in cells, with one prompt folded in.
struct BatchKind {
  int across, down, prompt;
  auto operator<=>(const BatchKind&) const = default;
};

// One stream's frame. All of it is in device memory, complete when what is in `stream` is done.
struct BatchFrame {
  BatchKind kind;
  cuda::Recurrence recurrence;  // what it remembers; what lies between the passes is the batch's
  at::Tensor cond;              // [1, conditioning]
  cuda::Stream stream;
  cuda::Event* ready;  // the stream's own
};

// Thread-safe.
class DeviceBatcher {
 public:
  static constexpr int kMost = 8;  // frames in a batch

  explicit DeviceBatcher(DeviceModel& model);
  ~DeviceBatcher();

  // How long a stream is waited for after its last frame: half a second unless told.
  void SetBusy(std::chrono::nanoseconds busy);

  // A stream, as long as it lives. One call of Run at a time; Hurry at any time.
  class Member {
   public:
    explicit Member(DeviceBatcher& batcher);
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    ~Member();

    // True: the frame was part of a batch, and is finished when what is in its stream is done.
    // False: nobody was there to share with, and the caller runs it. Throws what the batch's run
    // has thrown, to each of its members; what a single stream does wrong happens before.
    bool Run(const BatchFrame& frame, std::chrono::nanoseconds window);

    // While on, the stream waits for nobody, and nobody for it.
    void Hurry(bool on);

   private:
    friend class DeviceBatcher;

    struct Batch;
    DeviceBatcher& batcher_;
    BatchKind kind_{};
    std::chrono::steady_clock::time_point seen_{};
    bool hurries_ = false;
    std::shared_ptr<Batch> batch_;  // that it is part of
  };

 private:
  struct Group;
  using Batch = Member::Batch;

  int Expected(const BatchKind& kind, std::chrono::steady_clock::time_point now) const;
  void Close(Batch* batch);
  void RunBatch(Batch* batch);
  void DropIdleGroups();

  DeviceModel& model_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::nanoseconds busy_ = std::chrono::milliseconds(500);
  std::set<Member*> members_;
  std::map<BatchKind, std::shared_ptr<Group>> groups_;
};

}  // namespace cpl
