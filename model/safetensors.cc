// SPDX-License-Identifier: Apache-2.0
#include "model/safetensors.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cpl/error.h"
#include "model/atomic_file.h"
#include "model/quote.h"
#include "model/safetensors_header.h"

static_assert(std::endian::native == std::endian::little, "the file holds little-endian data");

namespace cpl {

SafetensorsFile SafetensorsFile::Open(const std::string& path) {
  return FromMapped(MappedFile::Open(path), path);
}

SafetensorsFile SafetensorsFile::FromMapped(const MappedFile& mapped, const std::string& path) {
  SafetensorsHeader header = ParseSafetensorsHeader(mapped.bytes, path);
  return {path, std::move(header.metadata), std::move(header.tensors), mapped.owner};
}

SafetensorsFile SafetensorsFile::Parse(std::span<const std::byte> bytes, const std::string& name) {
  return FromMapped({bytes, nullptr}, name);
}

void WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                      const TensorMetadata& metadata) {
  const auto refuse = [&path](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, path + ": cannot write it: " + what);
  };
  std::vector<const TensorView*> sorted;
  sorted.reserve(tensors.size());
  for (const TensorView& tensor : tensors) {
    const std::optional<std::uint64_t> size = TensorBytes(tensor.shape, tensor.dtype);
    if (!size || *size != tensor.data.size()) {
      refuse("tensor " + QuoteForError(tensor.name) +
             " has data that do not fit its shape and type");
    }
    if (tensor.name == kSafetensorsMetadataKey)
      refuse("no tensor may have the name \"__metadata__\"");
    sorted.push_back(&tensor);
  }
  std::sort(sorted.begin(), sorted.end(), [](const TensorView* a, const TensorView* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  std::vector<std::string_view> names;
  names.reserve(sorted.size());
  for (const TensorView* tensor : sorted) names.push_back(tensor->name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) refuse("two tensors have the name " + QuoteForError(*twice));

  std::string header;
  try {
    header = MakeSafetensorsHeader(sorted, metadata);
  } catch (const nlohmann::json::exception&) {
    refuse("the name of a tensor or a text of the metadata is not valid UTF-8");
  }
  if (header.size() > kLongestSafetensorsHeader) refuse("its header would be larger than 100 MB");

  std::string prefix;
  for (std::size_t i = 0; i < kSafetensorsPrefix; ++i) {
    prefix += static_cast<char>(header.size() >> (8 * i) & 0xff);
  }
  AtomicFile file(path);
  file.Write(prefix + header);
  for (const TensorView* tensor : sorted) file.Write(tensor->data);
  file.Commit();
}

}  // namespace cpl
