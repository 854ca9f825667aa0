// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C and SIGTERM as a flag that long loops look at, so that they end where nothing is half
// written. A second signal ends the process at once.
#pragma once

namespace cpl::train {

// Thrown by CheckInterrupt; main() turns it into the end of the process by the same signal, as the
// shell expects of an interrupted program. Not an std::exception, so that no handler for damaged
// files takes it for one.
struct Interrupted {
  int signal;
};

// Call once, early in main(). Takes over SIGINT and SIGTERM.
void InstallInterruptHandlers();

// The signal that arrived, or 0. Safe in any thread.
int InterruptSignal();

// Throws Interrupted if a signal arrived.
void CheckInterrupt();

}  // namespace cpl::train
