// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes safetensors files: the container of models and of training checkpoints.
//
// Layout of a file: 8 bytes, little-endian, the header's length N; N bytes of JSON, an object of
// `"NAME": {"dtype": D, "shape": [...], "data_offsets": [BEGIN, END]}` and, optionally,
// `"__metadata__": {string: string}`; then the data that the offsets count in, little-endian,
// row-major, without gaps.
//
// The reader is strict. It takes what the reference library (huggingface/safetensors 0.6) takes,
// except: unknown fields in a tensor's entry, duplicate keys anywhere, `null` for `__metadata__`,
// types of less than a byte, and dimensions beyond 2^63 - 1 are refused. Whatever the file holds,
// no more memory is used than some small multiple of its true size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cpl {

// In the order by which the writer sorts (descending): by alignment first.
enum class DType : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

// Bytes of one element.
std::size_t DTypeSize(DType dtype);

// The name in the file: "BF16".
const char* DTypeName(DType dtype);

using SafetensorsMetadata = std::map<std::string, std::string>;

// One tensor. `data` belongs to somebody else: to the SafetensorsFile that it was found in, or to
// the caller who wants it written. It is aligned to nothing: copy it, or check first.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // Empty for a scalar.
  std::span<const std::byte> data;  // Row-major, exactly numel * DTypeSize(dtype) bytes.
};

// A file that has been checked as a whole. Moved, not copied. Reading is thread-safe.
class SafetensorsFile {
 public:
  // Files of less than this are copied into memory; larger ones are mapped.
  static constexpr std::size_t kMapFrom = std::size_t{64} << 20;

  // Opens and checks `path`. A small file is copied: what happens to it afterwards does not
  // matter. A large one is mapped read-only: replacing it (rename) is harmless, but if somebody
  // truncates it in place, reading the lost part kills the process with SIGBUS.
  // Throws Error: kNotFound, kCannotRead (also for what is not a regular file), kBadFormat ("PATH:
  // what is wrong", naming the tensor where there is one).
  static SafetensorsFile Open(const std::string& path);

  // The same over memory that the caller keeps alive and unchanged as long as the result is used.
  // `name` stands for the path in errors.
  static SafetensorsFile Parse(std::span<const std::byte> bytes, const std::string& name);

  SafetensorsFile(SafetensorsFile&&) noexcept = default;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept = default;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  // The path, or the name given to Parse.
  const std::string& name() const { return name_; }

  const SafetensorsMetadata& metadata() const { return metadata_; }

  // Sorted by place in the data, as the file has them.
  const std::vector<TensorView>& tensors() const { return tensors_; }

  // Null if there is none of this name.
  const TensorView* Find(std::string_view tensor) const;

  // Keeps the tensors' data alive beyond this object (null after Parse).
  std::shared_ptr<const void> owner() const { return owner_; }

 private:
  SafetensorsFile() = default;

  std::string name_;
  std::shared_ptr<const void> owner_;
  SafetensorsMetadata metadata_;
  std::vector<TensorView> tensors_;
  std::map<std::string_view, std::size_t> index_;  // Its keys are the names in tensors_.
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
