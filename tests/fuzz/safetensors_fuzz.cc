// SPDX-License-Identifier: Apache-2.0
//
// The input is a safetensors file.
#include "model/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cpl;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  fuzz::MayThrow([&] {
    const SafetensorsFile file = SafetensorsFile::Parse(bytes, "FILE");
    fuzz::CheckTensors(file);
    std::size_t total = 0;
    for (const TensorView& tensor : file.tensors()) total += tensor.data.size();
    fuzz::Require(total <= size);
  });
  return 0;
}
