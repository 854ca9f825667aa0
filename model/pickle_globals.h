// SPDX-License-Identifier: Apache-2.0
//
// The names that a pickle may ask for. For the pickle reader and writer only.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "model/tensor_file.h"

namespace cpl {

struct PickleGlobal {
  enum class Kind : std::uint8_t {
    kOrderedDict,
    kRebuildTensor,     // _rebuild_tensor(storage, offset, size, stride)
    kRebuildTensorV2,   // ... requires_grad, hooks[, metadata])
    kRebuildTensorV3,   // ... requires_grad, hooks, dtype[, metadata])
    kRebuildParameter,  // (tensor, requires_grad, hooks[, state])
    kRebuildFromType,   // (function, class, its arguments, state)
    kSize,              // torch.Size(tuple)
    kTensorClass,       // only named, as the class above
    kStorageClass,      // typed, or untyped without a dtype
    kDType,             // torch.float32; without a dtype one that safetensors do not have
    kValue,             // called or not, it makes something of no interest
  };
  std::string_view module;
  std::string_view name;
  Kind kind;
  std::optional<DType> dtype;
};

// The whole list.
inline constexpr std::uint32_t kNoPickleGlobal = ~0u;
std::uint32_t FindPickleGlobal(std::string_view module, std::string_view name);
const PickleGlobal& GetPickleGlobal(std::uint32_t index);

// The class in module torch that PyTorch names beside a storage of this type ("FloatStorage");
// empty where it has only untyped ones, and then the name of the dtype in module torch ("uint16").
std::string_view PickleStorageClass(DType dtype);
std::string_view PickleDTypeName(DType dtype);

}  // namespace cpl
