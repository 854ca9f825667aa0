// SPDX-License-Identifier: Apache-2.0
//
// What a test program asks of operator new. Linking allocation_count.cc replaces it.
#pragma once

#include <cstddef>

namespace cpl::test {

// Bytes of the largest piece asked for on any thread between the object's beginning and the call.
// One at a time.
class AllocationCount {
 public:
  AllocationCount();
  ~AllocationCount();
  std::size_t largest() const;
};

}  // namespace cpl::test
