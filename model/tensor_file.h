// SPDX-License-Identifier: Apache-2.0
//
// Named tensors out of a file, whatever its container: what safetensors.h and pth.h read, and
// what networks are loaded from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cpl {

// In the order by which the safetensors writer sorts (descending): by alignment first.
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

// As safetensors names it: "BF16".
const char* DTypeName(DType dtype);

// numel * size, or nothing if the shape is negative or overflows. The order of the products is
// that of safetensors' reference library, so that [0, huge, huge] passes and [huge, huge, 0] does
// not.
std::optional<std::uint64_t> TensorBytes(const std::vector<std::int64_t>& shape, DType dtype);

// One tensor. `data` belongs to somebody else: to the TensorFile that it was found in, or to the
// caller who wants it written. It is aligned to nothing: copy it, or check first.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  // Empty for a scalar.
  std::span<const std::byte> data;  // Row-major, exactly numel * DTypeSize(dtype) bytes.
};

using TensorMetadata = std::map<std::string, std::string>;

// The checked contents of a file. Moved, not copied. Reading is thread-safe.
class TensorFile {
 public:
  // Reads a file of either format; its first bytes decide, not its name. Throws Error: kNotFound,
  // kCannotRead, kBadFormat, kUnsupported, the message beginning with the path.
  static TensorFile Open(const std::string& path);

  TensorFile(TensorFile&&) noexcept = default;
  TensorFile& operator=(TensorFile&&) noexcept = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;

  // The path, or the name given to Parse.
  const std::string& name() const { return name_; }

  // What the file says of itself; empty for checkpoints of other programs.
  const TensorMetadata& metadata() const { return metadata_; }

  // In the order of the file. Their names are unique.
  const std::vector<TensorView>& tensors() const { return tensors_; }

  // Null if there is none of this name.
  const TensorView* Find(std::string_view tensor) const;

  // Keeps the tensors' data alive beyond this object (null if the caller owns the bytes).
  std::shared_ptr<const void> owner() const { return owner_; }

 protected:
  // Throws Error kBadFormat if two tensors have one name.
  TensorFile(std::string name, TensorMetadata metadata, std::vector<TensorView> tensors,
             std::shared_ptr<const void> owner);

 private:
  std::string name_;
  std::shared_ptr<const void> owner_;
  TensorMetadata metadata_;
  std::vector<TensorView> tensors_;
  std::map<std::string_view, std::size_t> index_;  // Its keys are the names in tensors_.
};

}  // namespace cpl
