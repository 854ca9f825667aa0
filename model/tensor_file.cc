// SPDX-License-Identifier: Apache-2.0
#include "model/tensor_file.h"

#include <array>
#include <utility>

#include "cpl/error.h"
#include "model/mapped_file.h"
#include "model/pth.h"
#include "model/quote.h"
#include "model/safetensors.h"

namespace cpl {
namespace {

struct DTypeEntry {
  const char* name;
  std::size_t size;
};

// Indexed by DType.
constexpr std::array<DTypeEntry, 17> kDTypes = {{{"BOOL", 1},
                                                 {"U8", 1},
                                                 {"I8", 1},
                                                 {"F8_E5M2", 1},
                                                 {"F8_E4M3", 1},
                                                 {"F8_E8M0", 1},
                                                 {"I16", 2},
                                                 {"U16", 2},
                                                 {"F16", 2},
                                                 {"BF16", 2},
                                                 {"I32", 4},
                                                 {"U32", 4},
                                                 {"F32", 4},
                                                 {"C64", 8},
                                                 {"F64", 8},
                                                 {"I64", 8},
                                                 {"U64", 8}}};
static_assert(kDTypes.size() == static_cast<std::size_t>(DType::kU64) + 1);

}  // namespace

std::size_t DTypeSize(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].size; }

const char* DTypeName(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].name; }

std::optional<std::uint64_t> TensorBytes(const std::vector<std::int64_t>& shape, DType dtype) {
  std::uint64_t bytes = 1;
  for (const std::int64_t side : shape) {
    if (side < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(side), &bytes)) {
      return std::nullopt;
    }
  }
  if (__builtin_mul_overflow(bytes, DTypeSize(dtype), &bytes)) return std::nullopt;
  return bytes;
}

TensorFile TensorFile::Open(const std::string& path) {
  const MappedFile mapped = MappedFile::Open(path);
  if (LooksLikePth(mapped.bytes)) return PthFile::FromMapped(mapped, path);
  return SafetensorsFile::FromMapped(mapped, path);
}

TensorFile::TensorFile(std::string name, TensorMetadata metadata, std::vector<TensorView> tensors,
                       std::shared_ptr<const void> owner)
    : name_(std::move(name)),
      owner_(std::move(owner)),
      metadata_(std::move(metadata)),
      tensors_(std::move(tensors)) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (!index_.emplace(tensors_[i].name, i).second) {
      throw Error(ErrorCode::kBadFormat,
                  name_ + ": two tensors have the name " + QuoteForError(tensors_[i].name));
    }
  }
}

const TensorView* TensorFile::Find(std::string_view tensor) const {
  const auto found = index_.find(tensor);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace cpl
