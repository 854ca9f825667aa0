// SPDX-License-Identifier: Apache-2.0
//
// Runs the steps of a network on strips of rows, each strip as soon as the rows that it reads are
// there. So a row is read again while it is still in a cache, of each intermediate picture only a
// band is ever in memory, and threads wait for each other only where one needs what the other is
// about to write. Which thread runs which strip, and when, changes nothing in the numbers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "model/exec_rows.h"
#include "model/thread_pool.h"

namespace cpl::exec {

class Pipeline {
 public:
  // Units a .. b - 1 of a step read rows scale * a - before .. scale * b + after - 1, as far as
  // there are such rows.
  struct Reads {
    int picture;
    int scale = 1;
    int before = 0;
    int after = 0;
  };
  // ... and write rows scale * a .. scale * b - 1.
  struct Writes {
    int picture;
    int scale = 1;
  };

  // A picture that one step writes and later ones read; the number names it.
  int AddPicture(int width, int height, int channels, Element element = Element::kFloat);
  // The same for memory that is not the pipeline's: it only keeps the steps in order, and the
  // writer no further ahead of its readers than a picture would. So what they share is still in a
  // cache.
  int AddOrder(int height);

  // A step of `count` units, of which run(begin, end) does `grain` or fewer. Pictures that it reads
  // have a step that writes them already. `run` is called from several threads at once for
  // different units, for each unit once; it may throw.
  void AddStep(int count, int grain, std::vector<Reads> reads, std::vector<Writes> writes,
               std::function<void(int begin, int end)> run);

  // After the last step: decides how many rows are held and makes memory for them. With more
  // threads more strips are in work at once, and more rows are held.
  void Plan(int threads);

  // Runs every step. Allocates nothing. Throws what a step threw; the next Run starts anew.
  void Run(ThreadPool& pool);

  Rows& picture(int number) { return *pictures_[number].rows; }
  std::size_t BytesHeld() const;

 private:
  struct Picture {
    int height = 0;
    int held = 0;
    std::optional<Rows> rows;  // not there for an order
    int writer = -1;
    int writer_scale = 1;
  };
  struct Step {
    int count = 0;
    int grain = 1;
    std::vector<Reads> reads;
    std::vector<Writes> writes;
    std::vector<std::pair<int, Reads>> readers;  // of what it writes: step, and how
    std::function<void(int, int)> run;
    int started = 0;                     // units
    int done = 0;                        // units, all before the first that is not
    std::vector<std::uint8_t> finished;  // by strip
  };

  int OldestInUse(const Step& writer, int picture) const;
  bool IsReady(const Step& step) const;
  Step* FindReady();
  void Demand(int step, int units);
  void Work();
  void Finish(Step& step, int begin);

  std::vector<Picture> pictures_;
  std::vector<Step> steps_;

  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;      // threads
  int unstarted_ = 0;    // steps with strips that nobody has begun
  bool failed_ = false;  // in this run
};

}  // namespace cpl::exec
