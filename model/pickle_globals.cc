// SPDX-License-Identifier: Apache-2.0
#include "model/pickle_globals.h"

#include <array>

namespace cpl {
namespace {

using Kind = PickleGlobal::Kind;
constexpr std::optional<DType> kNone = std::nullopt;

constexpr std::array kGlobals = std::to_array<PickleGlobal>({
    {"collections", "OrderedDict", Kind::kOrderedDict, kNone},
    {"torch._utils", "_rebuild_tensor", Kind::kRebuildTensor, kNone},
    {"torch._utils", "_rebuild_tensor_v2", Kind::kRebuildTensorV2, kNone},
    {"torch._utils", "_rebuild_tensor_v3", Kind::kRebuildTensorV3, kNone},
    {"torch._utils", "_rebuild_parameter", Kind::kRebuildParameter, kNone},
    {"torch._utils", "_rebuild_parameter_with_state", Kind::kRebuildParameter, kNone},
    {"torch._tensor", "_rebuild_from_type_v2", Kind::kRebuildFromType, kNone},
    {"torch", "Size", Kind::kSize, kNone},
    {"torch", "Tensor", Kind::kTensorClass, kNone},
    {"torch.nn.parameter", "Parameter", Kind::kTensorClass, kNone},
    {"torch.nn.parameter", "Buffer", Kind::kTensorClass, kNone},

    {"torch", "FloatStorage", Kind::kStorageClass, DType::kF32},
    {"torch", "DoubleStorage", Kind::kStorageClass, DType::kF64},
    {"torch", "HalfStorage", Kind::kStorageClass, DType::kF16},
    {"torch", "BFloat16Storage", Kind::kStorageClass, DType::kBF16},
    {"torch", "LongStorage", Kind::kStorageClass, DType::kI64},
    {"torch", "IntStorage", Kind::kStorageClass, DType::kI32},
    {"torch", "ShortStorage", Kind::kStorageClass, DType::kI16},
    {"torch", "CharStorage", Kind::kStorageClass, DType::kI8},
    {"torch", "ByteStorage", Kind::kStorageClass, DType::kU8},
    {"torch", "BoolStorage", Kind::kStorageClass, DType::kBool},
    {"torch", "ComplexFloatStorage", Kind::kStorageClass, DType::kC64},
    {"torch.storage", "UntypedStorage", Kind::kStorageClass, kNone},
    {"torch", "UntypedStorage", Kind::kStorageClass, kNone},

    {"torch", "float32", Kind::kDType, DType::kF32},
    {"torch", "float64", Kind::kDType, DType::kF64},
    {"torch", "float16", Kind::kDType, DType::kF16},
    {"torch", "bfloat16", Kind::kDType, DType::kBF16},
    {"torch", "int64", Kind::kDType, DType::kI64},
    {"torch", "int32", Kind::kDType, DType::kI32},
    {"torch", "int16", Kind::kDType, DType::kI16},
    {"torch", "int8", Kind::kDType, DType::kI8},
    {"torch", "uint64", Kind::kDType, DType::kU64},
    {"torch", "uint32", Kind::kDType, DType::kU32},
    {"torch", "uint16", Kind::kDType, DType::kU16},
    {"torch", "uint8", Kind::kDType, DType::kU8},
    {"torch", "bool", Kind::kDType, DType::kBool},
    {"torch", "complex64", Kind::kDType, DType::kC64},
    {"torch", "float8_e5m2", Kind::kDType, DType::kF8E5M2},
    {"torch", "float8_e4m3fn", Kind::kDType, DType::kF8E4M3},
    {"torch", "float8_e8m0fnu", Kind::kDType, DType::kF8E8M0},
    {"torch", "complex128", Kind::kDType, kNone},

    // Beside the tensors: of schedulers, counters and settings.
    {"torch", "device", Kind::kValue, kNone},
    {"torch.serialization", "_get_layout", Kind::kValue, kNone},
    {"collections", "Counter", Kind::kValue, kNone},
    {"_codecs", "encode", Kind::kValue, kNone},
    {"__builtin__", "set", Kind::kValue, kNone},
    {"__builtin__", "frozenset", Kind::kValue, kNone},
    {"__builtin__", "bytearray", Kind::kValue, kNone},
    {"__builtin__", "complex", Kind::kValue, kNone},
    {"builtins", "set", Kind::kValue, kNone},
    {"builtins", "frozenset", Kind::kValue, kNone},
    {"builtins", "bytearray", Kind::kValue, kNone},
    {"builtins", "complex", Kind::kValue, kNone},
});

std::string_view NameOf(DType dtype, Kind kind) {
  for (const PickleGlobal& global : kGlobals) {
    if (global.kind == kind && global.dtype == dtype) return global.name;
  }
  return {};
}

}  // namespace

std::uint32_t FindPickleGlobal(std::string_view module, std::string_view name) {
  for (std::uint32_t i = 0; i < kGlobals.size(); ++i) {
    if (kGlobals[i].module == module && kGlobals[i].name == name) return i;
  }
  return kNoPickleGlobal;
}

const PickleGlobal& GetPickleGlobal(std::uint32_t index) { return kGlobals[index]; }

std::string_view PickleStorageClass(DType dtype) { return NameOf(dtype, Kind::kStorageClass); }

std::string_view PickleDTypeName(DType dtype) { return NameOf(dtype, Kind::kDType); }

}  // namespace cpl
