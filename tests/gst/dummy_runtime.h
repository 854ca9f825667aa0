// SPDX-License-Identifier: Apache-2.0
//
// A runtime without LibTorch behind cpl/runtime.h, for tests of the element. It reads and writes
// every byte of every frame, so that valgrind and the sanitizers see a wrong plane, and checks that
// its caller keeps to the contract of cpl/restorer.h; a breach makes the call fail.
//
// The name of the model says how it behaves:
//   live, invert              inverts colours (alpha and padding bytes stay): out = 255 - in
//   identity                  restores to the same picture
//   clean                     finds every frame clear
//   clean-odd                 finds every second frame clear, the first one not
//   slow:MS                   takes MS milliseconds for a restoration
//   throw-on-frame:N          throws cpl::Error in the N-th restoration (from 1)
//   throw-foreign-on-frame:N  throws something that is no exception class
//   throw-on-look:N           throws cpl::Error at the N-th look
//   lose-gpu-on-frame:N       inverts; on a GPU, throws kDeviceLost in the N-th restoration
//   no-not-found, no-read, no-format, no-unsupported, no-memory, no-reason    cannot be loaded
// With CPL_DUMMY_CUDA in the environment it says that there is a GPU 0, whose memory is the host's.
// Any other name is not found. The prompts are clean, noise, rain, snow and haze; on its own the
// router chooses rain.
#pragma once

#include "cpl/restorer.h"

struct CplDummyCounters {
  int models = 0;   // loaded so far
  int streams = 0;  // made so far
  int live_models = 0;
  int live_streams = 0;
  int looks = 0;
  int restores = 0;
  int passes = 0;
  int resets = 0;
  int hurries = 0;     // calls of Hurry
  bool hurry = false;  // of the last one
  // Of the last call:
  cpl::ModelOptions options;
  cpl::RestoreParams params;
  cpl::ConstFrameView view;
  cpl::ConstFrameView out;           // of the last restoration
  int first_byte[3] = {-1, -1, -1};  // of each plane of `view`
};

// Exported as `extern "C" CplDummyCounters cpl_dummy_counters()` and `void cpl_dummy_forget()`.
using CplDummyCountersFunction = CplDummyCounters (*)();
using CplDummyForgetFunction = void (*)();
