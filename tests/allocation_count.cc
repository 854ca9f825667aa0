// SPDX-License-Identifier: Apache-2.0
#include "tests/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> counting = false;
std::atomic<std::size_t> most = 0;

}  // namespace

// The forms for arrays and for nothrow call these two.
void* operator new(std::size_t bytes) {
  if (counting) {
    std::size_t before = most;
    while (before < bytes && !most.compare_exchange_weak(before, bytes)) {
    }
  }
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace cpl::test {

AllocationCount::AllocationCount() {
  most = 0;
  counting = true;
}

AllocationCount::~AllocationCount() { counting = false; }

std::size_t AllocationCount::largest() const { return most; }

}  // namespace cpl::test
