// SPDX-License-Identifier: Apache-2.0
//
// The input is a zip archive: read alone, and as a checkpoint.
#include "model/pth.h"
#include "model/zip.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cpl;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  fuzz::MayThrow([&] {
    volatile unsigned sum = 0;
    std::size_t total = 0;
    for (const ZipRecord& record : ReadZip(bytes, "FILE")) {
      total += record.data.size() + record.name.size();
      sum = sum + fuzz::Touch(record.data) + fuzz::Touch(std::as_bytes(std::span(record.name))) +
            ChecksumHolds(record);
    }
    fuzz::Require(total <= size);
  });
  fuzz::MayThrow([&] {
    if (LooksLikePth(bytes)) fuzz::CheckTensors(PthFile::Parse(bytes, "FILE"));
  });
  return 0;
}
