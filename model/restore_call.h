// SPDX-License-Identifier: Apache-2.0
//
// What every Restorer's calls have in common, whatever its network.
#pragma once

#include <ATen/ATen.h>

#include <new>
#include <string>

#include "cpl/error.h"
#include "cpl/restorer.h"

namespace cpl {

// Of a clock that only runs forward.
double Milliseconds();

// LibTorch keeps the number of threads per calling thread; this sets it where it differs.
void UseThreads(int threads);

// out = in, within rows.
void CopyFrame(const ConstFrameView& in, const FrameView& out);

// Throws Error(kInvalidArgument) for a frame that is none or is too small, a prompt that a model of
// so many does not have, a strength out of 0..1.
void CheckCall(const ConstFrameView& in, const RestoreParams& params, int prompts);

// Throws Error(kInvalidArgument) for a frame that the CPU cannot read.
inline void RequireSystemMemory(const ConstFrameView& in) {
  if (in.memory == MemoryKind::kSystem) return;
  throw Error(ErrorCode::kInvalidArgument,
              "the frame lies in a GPU's memory, and the model was loaded for the CPU");
}

// Runs `call` and turns whatever LibTorch throws into Error. `doing` as in "failed while DOING".
template <typename Call>
auto Guarded(const char* doing, const Call& call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, std::string("out of memory while ") + doing);
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    const bool memory = what.find("can't allocate memory") != std::string::npos;
    throw Error(memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal,
                std::string(memory ? "out of memory while " : "LibTorch failed while ") + doing +
                    ": " + what);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::kInternal, std::string("failed while ") + doing + ": " + error.what());
  }
}

}  // namespace cpl
