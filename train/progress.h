// SPDX-License-Identifier: Apache-2.0
//
// How far a long command has come: a line that is rewritten on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cpl::train {

// Writes to stdout. One thread at a time.
class Progress {
 public:
  // `what` heads the line ("restoring clip.mp4"), `unit` names what is counted ("frames"), `total`
  // is how many there will be, 0 if unknown, `done` how many were done before.
  Progress(std::string what, std::string unit, std::int64_t total, std::int64_t done = 0);
  // Ends the line, so that what is printed next starts on a fresh one.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Says that `done` are done. Prints at most ten times a second on a terminal and every ten
  // seconds elsewhere, so call it as often as you like. `note` follows the numbers.
  void Update(std::int64_t done, const std::string& note = "");

  // For a total that comes to light late.
  void SetTotal(std::int64_t total) { total_ = total; }

  // Wipes the line for a moment, so that a message can be printed; the next Update draws it again.
  void Clear();

  // Prints the last line: how many in how long.
  void Finish(const std::string& note = "");

 private:
  using Clock = std::chrono::steady_clock;

  std::string Line(const std::string& note, bool last) const;

  std::string what_;
  std::string unit_;
  std::int64_t total_;
  std::int64_t first_;  // were done before
  std::int64_t done_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_;
};

// "1:23:45", "2:03", "0:09".
std::string DurationText(double seconds);

}  // namespace cpl::train
