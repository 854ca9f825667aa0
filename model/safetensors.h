// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes safetensors files: the container of models and of training checkpoints.
//
// Layout of a file: 8 bytes, little-endian, the header's length N; N bytes of JSON, an object of
// `"NAME": {"dtype": D, "shape": [...], "data_offsets": [BEGIN, END]}` and, optionally,
// `"__metadata__": {string: string}`; then the data that the offsets count in, little-endian,
// row-major, without gaps.
//
// The reader is strict. It takes what the reference library (huggingface/safetensors 0.8) takes,
// except: a header that does not begin with `{` (which the specification asks for), unknown fields
// in a tensor's entry, duplicate keys anywhere (which it forbids), `null` for `__metadata__`, types
// of less than a byte, F8_E4M3FNUZ and F8_E5M2FNUZ, and dimensions beyond 2^63 - 1 are refused.
// Whatever the file holds, no more memory is used than some small multiple of its true size.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "model/mapped_file.h"
#include "model/tensor_file.h"

namespace cpl {

using SafetensorsMetadata = TensorMetadata;

// A file that has been checked as a whole. Its tensors are sorted by place in the data.
class SafetensorsFile : public TensorFile {
 public:
  // Opens, maps and checks `path`. Throws Error: kNotFound, kCannotRead (also for what is not a
  // regular file), kBadFormat ("PATH: what is wrong", naming the tensor where there is one).
  static SafetensorsFile Open(const std::string& path);

  // The same over memory that the caller keeps alive and unchanged as long as the result is used.
  // `name` stands for the path in errors.
  static SafetensorsFile Parse(std::span<const std::byte> bytes, const std::string& name);

  // The same over a file that is open already.
  static SafetensorsFile FromMapped(const MappedFile& mapped, const std::string& path);

 private:
  using TensorFile::TensorFile;
};

// Writes a file atomically (see atomic_file.h). The same arguments give the same bytes: tensors are
// sorted by DType, descending, then by name, so that each is aligned to its element size; the
// header is padded with spaces to a multiple of 8. Order of `tensors` does not matter.
// Throws Error: kCannotWrite (naming the path; the old file is as it was), kInvalidArgument (two
// tensors of one name, the name "__metadata__", a negative dimension, data of the wrong size, text
// that is not UTF-8).
void WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                      const SafetensorsMetadata& metadata);

}  // namespace cpl
