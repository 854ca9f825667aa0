// SPDX-License-Identifier: Apache-2.0
#include "train/interrupt.h"

#include <csignal>
#include <initializer_list>

namespace cpl::train {
namespace {

volatile std::sig_atomic_t g_signal = 0;

void Remember(int signal) { g_signal = signal; }

}  // namespace

void InstallInterruptHandlers() {
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction action = {};
    // A shell that starts a program with "&" or nohup has it ignore the signal: leave it so.
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = Remember;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
  }
}

int InterruptSignal() { return g_signal; }

void CheckInterrupt() {
  if (g_signal != 0) throw Interrupted{g_signal};
}

}  // namespace cpl::train
