// SPDX-License-Identifier: Apache-2.0
//
// What the known functions make of their arguments.
#include "cpl/error.h"
#include "model/pickle_machine.h"
#include "model/quote.h"

namespace cpl {
namespace {

using Kind = PickleGlobal::Kind;

std::string FullName(const PickleGlobal& global) {
  return std::string(global.module) + "." + std::string(global.name);
}

}  // namespace

const PickleGlobal* PickleMachine::Global(PickleRef ref) const {
  if (object(ref).kind != PickleKind::kGlobal) return nullptr;
  return &GetPickleGlobal(object(ref).index);
}

std::uint64_t PickleMachine::Size(PickleRef ref, const char* what) const {
  if (object(ref).kind != PickleKind::kInt || object(ref).number < 0) {
    Bad(std::string(what) + " is no number, or a negative one");
  }
  return static_cast<std::uint64_t>(object(ref).number);
}

// The persistent id is ("storage", class, key, device, number of elements).
void PickleMachine::LoadStorage() {
  const PickleRef id = Pop();
  const std::span<const PickleRef> parts = pickle_.items(id);
  if (object(id).kind != PickleKind::kTuple || parts.size() != 5 ||
      object(parts[0]).text != "storage" || object(parts[2]).kind != PickleKind::kText) {
    Bad("it refers to something outside itself that is no storage");
  }
  const PickleGlobal* const type = Global(parts[1]);
  if (!type || type->kind != Kind::kStorageClass) Bad("a storage has a class that is none");
  PickledStorage storage;
  storage.key = object(parts[2]).text;
  storage.dtype = type->dtype;
  if (__builtin_mul_overflow(Size(parts[4], "the size of a storage"),
                             type->dtype ? DTypeSize(*type->dtype) : 1, &storage.bytes)) {
    Bad("a storage is too large to exist");
  }
  const auto index = static_cast<std::uint32_t>(pickle_.storages_.size());
  Push(Make({PickleKind::kStorage, index, 0, {}}));
  pickle_.storages_.push_back(storage);
}

PickleRef PickleMachine::Call(PickleRef function, PickleRef arguments) {
  const PickleGlobal* const global = Global(function);
  if (!global) Bad("it calls something that is no function");
  if (object(arguments).kind != PickleKind::kTuple) Bad("the arguments of a call are no tuple");
  const std::span<const PickleRef> items = pickle_.items(arguments);
  switch (global->kind) {
    case Kind::kOrderedDict:
      return CallOrderedDict(items);
    case Kind::kRebuildFromType: {
      // A tensor or parameter with attributes: made as usual, and the attributes left out.
      const PickleGlobal* const inner = items.size() == 4 ? Global(items[0]) : nullptr;
      const PickleGlobal* const type = inner ? Global(items[1]) : nullptr;
      if (!type || type->kind != Kind::kTensorClass ||
          object(items[2]).kind != PickleKind::kTuple) {
        Bad("the arguments of " + FullName(*global) + " do not fit");
      }
      return CallRebuild(*inner, pickle_.items(items[2]));
    }
    case Kind::kSize:
      if (items.size() != 1 || object(items[0]).kind != PickleKind::kTuple) {
        Bad("the arguments of torch.Size do not fit");
      }
      return items[0];
    case Kind::kValue:
      return Make({PickleKind::kOther, 0, 0, {}});
    default:
      return CallRebuild(*global, items);
  }
}

// Not through Call(): a chain of arguments within arguments must not become one of C++ calls.
PickleRef PickleMachine::CallRebuild(const PickleGlobal& function,
                                     std::span<const PickleRef> arguments) {
  switch (function.kind) {
    case Kind::kRebuildTensor:
    case Kind::kRebuildTensorV2:
    case Kind::kRebuildTensorV3:
      return CallRebuildTensor(function, arguments);
    case Kind::kRebuildParameter:
      if (arguments.size() < 3 || arguments.size() > 4 ||
          object(arguments[0]).kind != PickleKind::kTensor) {
        Bad("the arguments of " + FullName(function) + " do not fit");
      }
      return arguments[0];
    default:
      Bad("it calls " + FullName(function) + ", which makes no tensor");
  }
}

PickleRef PickleMachine::CallOrderedDict(std::span<const PickleRef> arguments) {
  std::vector<PickleRef> entries;
  if (!arguments.empty()) {
    // Python 2 wrote a list of pairs.
    if (arguments.size() != 1 || object(arguments[0]).kind != PickleKind::kList) {
      Bad("the arguments of collections.OrderedDict do not fit");
    }
    for (const PickleRef pair : pickle_.items(arguments[0])) {
      const std::span<const PickleRef> members = pickle_.items(pair);
      if (object(pair).kind == PickleKind::kDict || members.size() != 2) {
        Bad("the arguments of collections.OrderedDict do not fit");
      }
      entries.insert(entries.end(), members.begin(), members.end());
    }
  }
  return MakeList(PickleKind::kDict, std::move(entries));
}

PickleRef PickleMachine::CallRebuildTensor(const PickleGlobal& function,
                                           std::span<const PickleRef> arguments) {
  const std::size_t count = arguments.size();
  const bool v1 = function.kind == Kind::kRebuildTensor;
  const bool v3 = function.kind == Kind::kRebuildTensorV3;
  const std::size_t least = v1 ? 4 : v3 ? 7 : 6;
  const std::size_t most = v1 ? 4 : least + 1;
  if (count < least || count > most || object(arguments[0]).kind != PickleKind::kStorage ||
      object(arguments[2]).kind != PickleKind::kTuple ||
      object(arguments[3]).kind != PickleKind::kTuple) {
    Bad("the arguments of " + FullName(function) + " do not fit");
  }
  if (!v1 && count == most) {
    // Whether the numbers are to be read as negated or as conjugated.
    const Object& flags = object(arguments[most - 1]);
    const bool none =
        flags.kind == PickleKind::kNone ||
        (flags.kind == PickleKind::kDict && pickle_.items(arguments[most - 1]).empty());
    if (!none) Unsupported("it holds a tensor that is marked as negated or conjugated");
  }
  const PickledStorage& storage = pickle_.storages_[object(arguments[0]).index];
  std::optional<DType> dtype = storage.dtype;
  if (v3) {
    const PickleGlobal* const named = Global(arguments[6]);
    if (!named || named->kind != Kind::kDType) Bad("the type of a tensor is none");
    if (!named->dtype) {
      Unsupported("it holds a tensor of type " + FullName(*named) + ", which is not supported");
    }
    dtype = named->dtype;
  }
  if (!dtype) Bad("a tensor has no type");
  const Pickle::Tensor tensor{object(arguments[0]).index, *dtype,
                              Size(arguments[1], "the offset of a tensor"), arguments[2],
                              arguments[3]};
  CheckTensor(tensor);
  const auto index = static_cast<std::uint32_t>(pickle_.tensors_.size());
  const PickleRef made = Make({PickleKind::kTensor, index, 0, {}});
  pickle_.tensors_.push_back(tensor);
  return made;
}

// That it lies within its storage, and that none of its sizes overflows.
void PickleMachine::CheckTensor(const Pickle::Tensor& tensor) const {
  const std::span<const PickleRef> shape = pickle_.items(tensor.shape);
  const std::span<const PickleRef> strides = pickle_.items(tensor.strides);
  if (shape.size() != strides.size()) Bad("a tensor has more sizes than strides, or fewer");
  if (shape.size() > Pickle::kMostDimensions) Bad("a tensor has more than 64 dimensions");
  const std::uint64_t element = DTypeSize(tensor.dtype);
  std::uint64_t bytes = element;
  std::uint64_t last = tensor.offset;
  bool overflow = false;
  bool empty = false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::uint64_t size = Size(shape[i], "the size of a tensor");
    const std::uint64_t stride = Size(strides[i], "the stride of a tensor");
    overflow |= __builtin_mul_overflow(bytes, size, &bytes);
    if (size == 0) {
      empty = true;
      continue;
    }
    std::uint64_t reach = 0;
    overflow |= __builtin_mul_overflow(size - 1, stride, &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
  }
  if (overflow) Bad("a tensor is too large to exist");
  const PickledStorage& storage = pickle_.storages_[tensor.storage];
  if (!empty && last >= storage.bytes / element) {
    Bad("a tensor reaches beyond its storage " + QuoteForError(storage.key));
  }
}

}  // namespace cpl
