// SPDX-License-Identifier: Apache-2.0
//
// What the fuzz targets share. A target is LLVMFuzzerTestOneInput of libFuzzer; linked with
// replay.cc instead of libFuzzer it runs the files of a corpus, with any compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "cpl/error.h"
#include "model/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace cpl::fuzz {

// The process ends if this does not hold.
inline void Require(bool holds) {
  if (!holds) std::abort();
}

// Reads every byte that was handed out, so that a sanitizer sees those that nobody owns.
inline unsigned Touch(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
  return sum;
}

inline void CheckTensors(const TensorFile& file) {
  volatile unsigned sum = 0;
  for (const TensorView& tensor : file.tensors()) {
    Require(TensorBytes(tensor.shape, tensor.dtype) == tensor.data.size());
    Require(file.Find(tensor.name) == &tensor);
    sum = sum + Touch(tensor.data);
  }
}

// Calls it; whatever it does not like it must say with an Error that names the file.
template <typename Call>
void MayThrow(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    Require(std::string_view(error.what()).starts_with("FILE: "));
    Require(error.code() == ErrorCode::kBadFormat || error.code() == ErrorCode::kUnsupported);
  }
}

}  // namespace cpl::fuzz
