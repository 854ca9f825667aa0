// SPDX-License-Identifier: Apache-2.0
#include "train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace cpl::train {
namespace {

constexpr std::chrono::milliseconds kTerminalPause(100);
constexpr std::chrono::seconds kPlainPause(10);

std::size_t TerminalColumns() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) return size.ws_col;
  return 80;
}

}  // namespace

std::string DurationText(double seconds) {
  const long total = std::lround(std::clamp(seconds, 0.0, 359999.0));
  char text[32];
  if (total >= 3600) {
    std::snprintf(text, sizeof(text), "%ld:%02ld:%02ld", total / 3600, total / 60 % 60, total % 60);
  } else {
    std::snprintf(text, sizeof(text), "%ld:%02ld", total / 60, total % 60);
  }
  return text;
}

Progress::Progress(std::string what, std::string unit, std::int64_t total, std::int64_t done)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(isatty(STDOUT_FILENO) == 1),
      shown_(start_) {}

Progress::~Progress() { Clear(); }

std::string Progress::Line(const std::string& note, bool last) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_ - first_) / seconds : 0;
  std::string line = what_ + ": " + std::to_string(done_);
  char text[96];
  if (!last && total_ > 0) {
    std::snprintf(text, sizeof(text), "/%lld", static_cast<long long>(total_));
    line += text;
  }
  line += " " + unit_;
  if (!last && total_ > 0) {
    const int percent = static_cast<int>(std::min<std::int64_t>(100, done_ * 100 / total_));
    std::snprintf(text, sizeof(text), " %d%%", percent);
    line += text;
    if (terminal_) {
      constexpr int kCells = 20;
      std::string bar(kCells, '.');
      std::fill_n(bar.begin(), percent * kCells / 100, '#');
      line += " [" + bar + "]";
    }
  }
  std::snprintf(text, sizeof(text), ", %.3g/s", rate);
  line += text;
  if (last) {
    line += " in " + DurationText(seconds);
  } else if (total_ > done_ && rate > 0) {
    line += ", " + DurationText(static_cast<double>(total_ - done_) / rate) + " left";
  }
  if (!note.empty()) line += ", " + note;
  return line;
}

void Progress::Update(std::int64_t done, const std::string& note) {
  done_ = done;
  const Clock::time_point now = Clock::now();
  const Clock::duration pause = terminal_ ? Clock::duration(kTerminalPause) : kPlainPause;
  if (now - shown_ < pause) return;
  shown_ = now;
  std::string line = Line(note, false);
  if (terminal_) {
    const std::size_t columns = TerminalColumns() - 1;  // a full line would wrap
    if (line.size() > columns) line.resize(columns);
    std::printf("\r\033[K%s", line.c_str());
    drawn_ = true;
  } else {
    std::printf("%s\n", line.c_str());
  }
  std::fflush(stdout);
}

void Progress::Clear() {
  if (!drawn_) return;
  std::printf("\r\033[K");
  std::fflush(stdout);
  drawn_ = false;
}

void Progress::Finish(const std::string& note) {
  Clear();
  std::printf("%s\n", Line(note, true).c_str());
  std::fflush(stdout);
}

}  // namespace cpl::train
