// SPDX-License-Identifier: Apache-2.0
#include "model/exec_pipeline.h"

#include <algorithm>
#include <utility>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace cpl::exec {
namespace {

// Numbers too small for a normalised float32 slow multipliers down and mean nothing here.
#ifdef __SSE__
class FlushDenormals {
 public:
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  const unsigned before_;
};
#else
class FlushDenormals {
 public:
  FlushDenormals() {}  // other processors do not mind them as much
};
#endif

}  // namespace

int Pipeline::AddPicture(int width, int height, int channels, Element element) {
  Picture& picture = pictures_.emplace_back();
  picture.height = height;
  picture.rows.emplace(width, height, channels, element);
  return static_cast<int>(pictures_.size()) - 1;
}

int Pipeline::AddOrder(int height) {
  pictures_.emplace_back().height = height;
  return static_cast<int>(pictures_.size()) - 1;
}

void Pipeline::AddStep(int count, int grain, std::vector<Reads> reads, std::vector<Writes> writes,
                       std::function<void(int, int)> run) {
  const int number = static_cast<int>(steps_.size());
  for (const Writes& write : writes) {
    pictures_[write.picture].writer = number;
    pictures_[write.picture].writer_scale = write.scale;
  }
  for (const Reads& read : reads) {
    steps_[pictures_[read.picture].writer].readers.emplace_back(number, read);
  }
  Step& step = steps_.emplace_back();
  step.count = count;
  step.grain = std::clamp(grain, 1, count);
  step.reads = std::move(reads);
  step.writes = std::move(writes);
  step.run = std::move(run);
  step.finished.resize(static_cast<std::size_t>((count + step.grain - 1) / step.grain));
}

// The first row of a picture that one of its readers may still read.
int Pipeline::OldestInUse(const Step& writer, int picture) const {
  int oldest = pictures_[picture].height;
  for (const auto& [number, read] : writer.readers) {
    const Step& reader = steps_[number];
    if (read.picture != picture || reader.done == reader.count) continue;
    oldest = std::min(oldest, std::max(0, read.scale * reader.done - read.before));
  }
  return oldest;
}

// Runs the steps on paper, each strip as late as it can be, and notes how many rows must be held.
// With at least so many no order of strips can get stuck: a strip that could run still can after
// another one has.
void Pipeline::Demand(int number, int units) {
  Step& step = steps_[number];
  while (step.done < units) {
    const int end = std::min(step.done + step.grain, step.count);
    for (const Reads& read : step.reads) {
      const Picture& picture = pictures_[read.picture];
      const int rows = std::min(picture.height, read.scale * end + read.after);
      Demand(picture.writer, (rows + picture.writer_scale - 1) / picture.writer_scale);
    }
    for (const Writes& write : step.writes) {
      Picture& picture = pictures_[write.picture];
      picture.held = std::max(picture.held, write.scale * end - OldestInUse(step, write.picture));
    }
    step.done = end;
  }
}

void Pipeline::Plan(int threads) {
  for (int i = static_cast<int>(steps_.size()) - 1; i >= 0; --i) Demand(i, steps_[i].count);
  for (Picture& picture : pictures_) {
    const Step& writer = steps_[picture.writer];
    const int strip = writer.grain * picture.writer_scale;
    // A strip in work on each thread, and one for the next step to find.
    picture.held = std::min(picture.height, picture.held + (threads + 1) * strip);
    if (picture.rows) picture.rows->Hold(picture.held);
  }
}

bool Pipeline::IsReady(const Step& step) const {
  if (step.started == step.count) return false;
  const int end = std::min(step.started + step.grain, step.count);
  for (const Reads& read : step.reads) {
    const Picture& picture = pictures_[read.picture];
    const int rows = std::min(picture.height, read.scale * end + read.after);
    if (steps_[picture.writer].done * picture.writer_scale < rows) return false;
  }
  for (const Writes& write : step.writes) {
    const Picture& picture = pictures_[write.picture];
    const int last_gone = write.scale * end - picture.held;
    if (last_gone > 0 && last_gone > OldestInUse(step, write.picture)) return false;
  }
  return true;
}

// The earliest step: the way down to the coarsest level is the longest, and what runs ahead on it
// leaves work for all threads at the end.
Pipeline::Step* Pipeline::FindReady() {
  for (Step& step : steps_) {
    if (IsReady(step)) return &step;
  }
  return nullptr;
}

void Pipeline::Finish(Step& step, int begin) {
  step.finished[begin / step.grain] = 1;
  while (step.done < step.count && step.finished[step.done / step.grain]) {
    step.done = std::min(step.done + step.grain, step.count);
  }
}

void Pipeline::Work() {
  const FlushDenormals flush;
  std::unique_lock lock(mutex_);
  while (unstarted_ > 0 && !failed_) {
    Step* const step = FindReady();
    if (step == nullptr) {
      ++waiting_;
      changed_.wait(lock);
      --waiting_;
      continue;
    }
    const int begin = step->started;
    const int end = step->started = std::min(begin + step->grain, step->count);
    if (end == step->count) --unstarted_;
    if (waiting_ > 0) {
      if (unstarted_ == 0) {
        changed_.notify_all();
      } else if (FindReady() != nullptr) {
        changed_.notify_one();
      }
    }
    lock.unlock();
    try {
      step->run(begin, end);
    } catch (...) {
      lock.lock();
      failed_ = true;
      changed_.notify_all();
      throw;
    }
    lock.lock();
    Finish(*step, begin);
  }
}

void Pipeline::Run(ThreadPool& pool) {
  for (Step& step : steps_) {
    step.started = step.done = 0;
    std::fill(step.finished.begin(), step.finished.end(), std::uint8_t{0});
  }
  unstarted_ = static_cast<int>(steps_.size());
  failed_ = false;
  pool.Run([this] { Work(); });
}

std::size_t Pipeline::BytesHeld() const {
  std::size_t bytes = 0;
  for (const Picture& picture : pictures_) {
    if (picture.rows) bytes += picture.rows->Bytes();
  }
  return bytes;
}

}  // namespace cpl::exec
