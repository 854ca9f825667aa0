// SPDX-License-Identifier: Apache-2.0
//
// Reads the pickles inside PyTorch's checkpoints, and executes nothing: a pickle is a program for a
// stack machine that can import any Python module and call anything in it, and this reader knows
// the few opcodes and the few names that state dicts are made of. It refuses all others by name.
//
// What a "call" of a known name makes is worked out here (pickle_calls.cc): a dict, or the
// description of a tensor. Python's objects that a state dict carries along and nobody needs
// (numbers, devices, dtypes) are noted as being there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tensor_file.h"

namespace cpl {

// An object of a pickle. Objects may contain themselves: follow no more levels than you expect.
using PickleRef = std::uint32_t;

enum class PickleKind : std::uint8_t {
  kNone,
  kInt,
  kText,     // str, and the str of Python 2
  kTuple,    // also torch.Size
  kList,     //
  kDict,     // also collections.OrderedDict
  kGlobal,   // a name on the list (pickle_globals.h)
  kStorage,  // a storage of the checkpoint
  kTensor,   // also torch.nn.Parameter
  kOther,    // something of no interest: a float, a bool, a set, bytes, a device, ...
};

// The numbers of a tensor, by key the record in which they lie.
struct PickledStorage {
  std::string_view key;
  std::optional<DType> dtype;  // None: plain bytes.
  std::uint64_t bytes = 0;
};

// A view of a storage that lies within it.
struct PickledTensor {
  PickledStorage storage;
  DType dtype = DType::kF32;
  std::uint64_t offset = 0;           // In elements of `dtype`, as the strides.
  std::vector<std::int64_t> shape;    // None negative; their product times the size fits 64 bits.
  std::vector<std::int64_t> strides;  // As many; none negative.
};

class Pickle {
 public:
  // Reads a whole pickle (protocols 2 to 5). `bytes` must outlive the result; `file` stands for the
  // path in errors. Throws Error: kUnsupported (naming the opcode, the global or the feature),
  // kBadFormat (what is cut off or makes no sense).
  // Memory is bounded by a small multiple of the pickle's size, and by kMostObjects.
  static Pickle Read(std::span<const std::byte> bytes, const std::string& file);

  static constexpr std::size_t kLargest = std::size_t{16} << 20;
  static constexpr std::size_t kMostObjects = std::size_t{1} << 20;
  static constexpr std::size_t kMostDimensions = 64;  // As in PyTorch.

  // What the pickle as a whole stands for.
  PickleRef root() const { return root_; }

  PickleKind kind(PickleRef object) const { return objects_[object].kind; }

  // The text of a kText, else empty.
  std::string_view text(PickleRef object) const { return objects_[object].text; }

  // The members of a kTuple or kList; of a kDict its keys and values in turn, in the order in which
  // they were set (of two equal keys the later one counts). Empty for all else.
  std::span<const PickleRef> items(PickleRef object) const;

  // The value of the last entry of a kDict with this text as its key.
  std::optional<PickleRef> Find(PickleRef dict, std::string_view key) const;

  // Of a kTensor.
  PickledTensor tensor(PickleRef object) const;

 private:
  friend class PickleMachine;

  struct Object {
    PickleKind kind = PickleKind::kOther;
    std::uint32_t index = 0;  // Into lists_, storages_, tensors_ or the table of globals.
    std::int64_t number = 0;  // Of a kInt.
    std::string_view text;
  };

  // References, so that many tensors that share a shape do not cost a copy of it each.
  struct Tensor {
    std::uint32_t storage;  // Into storages_.
    DType dtype;
    std::uint64_t offset;
    PickleRef shape;  // Tuples of kInt: nothing can change them later.
    PickleRef strides;
  };

  std::vector<std::int64_t> Numbers(PickleRef tuple) const;

  std::vector<Object> objects_;
  std::vector<std::vector<PickleRef>> lists_;
  std::vector<PickledStorage> storages_;
  std::vector<Tensor> tensors_;
  PickleRef root_ = 0;
};

}  // namespace cpl
