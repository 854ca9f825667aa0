// SPDX-License-Identifier: Apache-2.0
//
// The part of the safetensors reader and writer that deals with the header's text. For
// safetensors.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/safetensors.h"

namespace cpl {

inline constexpr std::size_t kSafetensorsPrefix = 8;  // Bytes that hold the header's length.
inline constexpr std::size_t kLongestSafetensorsHeader = 100000000;  // As in the reference library.
inline constexpr char kSafetensorsMetadataKey[] = "__metadata__";

struct SafetensorsHeader {
  TensorMetadata metadata;
  std::vector<TensorView> tensors;  // In the order of their data, pointing into the file.
};

// Checks a whole file (all but that names are unique). Throws Error kBadFormat, "FILE: ...".
SafetensorsHeader ParseSafetensorsHeader(std::span<const std::byte> bytes, const std::string& file);

// The header's JSON, padded, for tensors in the order in which their data will follow.
// Throws nlohmann::json::exception if a text is not UTF-8.
std::string MakeSafetensorsHeader(const std::vector<const TensorView*>& tensors,
                                  const TensorMetadata& metadata);

}  // namespace cpl
