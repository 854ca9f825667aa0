// SPDX-License-Identifier: Apache-2.0
#include "model/pickle.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cpl/error.h"
#include "model/pickle_machine.h"
#include "model/quote.h"

namespace cpl {
namespace {

// Opcodes of Python's pickle module, by its names for them.
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kBinFloat = 'G',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinBytes8 = 0x8e,
  kByteArray8 = 0x96,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
  kProto = 0x80,
  kFrame = 0x95,
};

// Those that Python knows and no state dict needs.
constexpr std::pair<unsigned char, const char*> kRefused[] = {
    {'0', "POP"},          {'1', "POP_MARK"},
    {'2', "DUP"},          {'F', "FLOAT"},
    {'I', "INT"},          {'L', "LONG"},
    {'P', "PERSID"},       {'S', "STRING"},
    {'V', "UNICODE"},      {'d', "DICT"},
    {'g', "GET"},          {'i', "INST"},
    {'l', "LIST"},         {'o', "OBJ"},
    {'p', "PUT"},          {0x81, "NEWOBJ"},
    {0x82, "EXT1"},        {0x83, "EXT2"},
    {0x84, "EXT4"},        {0x92, "NEWOBJ_EX"},
    {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};

}  // namespace

Pickle Pickle::Read(std::span<const std::byte> bytes, const std::string& file) {
  return PickleMachine(bytes, file).Run();
}

std::span<const PickleRef> Pickle::items(PickleRef ref) const {
  const Object& object = objects_[ref];
  switch (object.kind) {
    case PickleKind::kTuple:
    case PickleKind::kList:
    case PickleKind::kDict:
      return lists_[object.index];
    default:
      return {};
  }
}

std::optional<PickleRef> Pickle::Find(PickleRef dict, std::string_view key) const {
  if (kind(dict) != PickleKind::kDict) return std::nullopt;
  const std::span<const PickleRef> entries = items(dict);
  for (std::size_t i = entries.size(); i >= 2; i -= 2) {
    const PickleRef candidate = entries[i - 2];
    if (kind(candidate) == PickleKind::kText && text(candidate) == key) return entries[i - 1];
  }
  return std::nullopt;
}

std::vector<std::int64_t> Pickle::Numbers(PickleRef tuple) const {
  std::vector<std::int64_t> numbers;
  for (const PickleRef item : items(tuple)) numbers.push_back(objects_[item].number);
  return numbers;
}

PickledTensor Pickle::tensor(PickleRef object) const {
  const Tensor& tensor = tensors_[objects_[object].index];
  return {storages_[tensor.storage], tensor.dtype, tensor.offset, Numbers(tensor.shape),
          Numbers(tensor.strides)};
}

void PickleMachine::Bad(const std::string& what) const {
  throw Error(ErrorCode::kBadFormat,
              file_ + ": damaged pickle: " + what + " (at its byte " + std::to_string(at_) + ")");
}

void PickleMachine::Unsupported(const std::string& what) const {
  throw Error(ErrorCode::kUnsupported, file_ + ": " + what);
}

void PickleMachine::RefuseOpcode(unsigned char opcode) const {
  for (const auto& [refused, name] : kRefused) {
    if (refused == opcode) {
      Unsupported(std::string("its pickle uses the opcode ") + name +
                  ", which no state dict needs; nothing of it was executed");
    }
  }
  char hex[8];
  std::snprintf(hex, sizeof(hex), "0x%02x", opcode);
  Bad(std::string("there is no opcode ") + hex);
}

Pickle PickleMachine::Run() {
  if (bytes_.size() > Pickle::kLargest) {
    Unsupported("its pickle of " + std::to_string(bytes_.size()) +
                " bytes is larger than that of any state dict");
  }
  if (bytes_.size() < 2 || TakeNumber<unsigned char>() != kProto) Bad("it begins with no protocol");
  const int protocol = TakeNumber<unsigned char>();
  if (protocol < 2 || protocol > 5) {
    Unsupported("its pickle has protocol " + std::to_string(protocol) + "; 2 to 5 are known");
  }
  while (Step(TakeNumber<unsigned char>())) {
  }
  return std::move(pickle_);
}

std::span<const std::byte> PickleMachine::Take(std::uint64_t size) {
  if (size > bytes_.size() - at_) Bad("it is cut off");
  at_ += size;
  return bytes_.subspan(at_ - size, size);
}

template <typename T>
T PickleMachine::TakeNumber() {
  T value;
  std::memcpy(&value, Take(sizeof(T)).data(), sizeof(T));
  return value;
}

std::string_view PickleMachine::TakeText(std::uint64_t size) {
  const std::span<const std::byte> text = Take(size);
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::string_view PickleMachine::TakeLine() {
  const std::span<const std::byte> rest = bytes_.subspan(at_);
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  if (end == rest.end()) Bad("it is cut off");
  const std::string_view line = TakeText(static_cast<std::size_t>(end - rest.begin()));
  ++at_;
  return line;
}

void PickleMachine::Push(PickleRef object) { stack_.push_back(object); }

PickleRef PickleMachine::Top() const {
  if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) {
    Bad("it takes something from an empty stack");
  }
  return stack_.back();
}

PickleRef PickleMachine::Pop() {
  const PickleRef object = Top();
  stack_.pop_back();
  return object;
}

std::vector<PickleRef> PickleMachine::PopToMark() {
  if (marks_.empty()) Bad("it asks for a mark and there is none");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleRef> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

PickleRef PickleMachine::Make(Object object) {
  if (pickle_.objects_.size() >= Pickle::kMostObjects) {
    Unsupported("its pickle makes more than " + std::to_string(Pickle::kMostObjects) +
                " objects, more than any state dict has");
  }
  pickle_.objects_.push_back(object);
  return static_cast<PickleRef>(pickle_.objects_.size() - 1);
}

PickleRef PickleMachine::MakeList(PickleKind kind, std::vector<PickleRef> items) {
  const auto index = static_cast<std::uint32_t>(pickle_.lists_.size());
  const PickleRef made = Make({kind, index, 0, {}});
  pickle_.lists_.push_back(std::move(items));
  return made;
}

void PickleMachine::PushTuple(std::size_t size) {
  std::vector<PickleRef> items(size);
  for (std::size_t i = size; i-- > 0;) items[i] = Pop();
  Push(MakeList(PickleKind::kTuple, std::move(items)));
}

bool PickleMachine::Step(unsigned char opcode) {
  switch (opcode) {
    case kMark:
      marks_.push_back(stack_.size());
      break;
    case kStop:
      pickle_.root_ = Pop();
      return false;
    case kNone:
      PushNew(PickleKind::kNone);
      break;
    case kNewTrue:
    case kNewFalse:
    case kEmptySet:
      PushNew(PickleKind::kOther);
      break;
    case kBinInt:
      PushInt(TakeNumber<std::int32_t>());
      break;
    case kBinInt1:
      PushInt(TakeNumber<std::uint8_t>());
      break;
    case kBinInt2:
      PushInt(TakeNumber<std::uint16_t>());
      break;
    case kLong1:
      PushLong(TakeNumber<std::uint8_t>());
      break;
    case kLong4:
      PushLong(TakeNumber<std::uint32_t>());
      break;
    case kBinFloat:
      Take(8);
      PushNew(PickleKind::kOther);
      break;
    case kShortBinString:
    case kShortBinUnicode:
      PushText(TakeText(TakeNumber<std::uint8_t>()));
      break;
    case kBinString:
    case kBinUnicode:
      PushText(TakeText(TakeNumber<std::uint32_t>()));
      break;
    case kBinUnicode8:
      PushText(TakeText(TakeNumber<std::uint64_t>()));
      break;
    case kShortBinBytes:
      Take(TakeNumber<std::uint8_t>());
      PushNew(PickleKind::kOther);
      break;
    case kBinBytes:
      Take(TakeNumber<std::uint32_t>());
      PushNew(PickleKind::kOther);
      break;
    case kBinBytes8:
    case kByteArray8:
      Take(TakeNumber<std::uint64_t>());
      PushNew(PickleKind::kOther);
      break;
    case kEmptyTuple:
      PushTuple(0);
      break;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      PushTuple(1 + opcode - kTuple1);
      break;
    case kTuple:
      Push(MakeList(PickleKind::kTuple, PopToMark()));
      break;
    case kEmptyList:
      Push(MakeList(PickleKind::kList, {}));
      break;
    case kAppend:
      Extend(PickleKind::kList, {Pop()});
      break;
    case kAppends:
      Extend(PickleKind::kList, PopToMark());
      break;
    case kEmptyDict:
      Push(MakeList(PickleKind::kDict, {}));
      break;
    case kSetItem: {
      const PickleRef value = Pop();
      const PickleRef key = Pop();
      Extend(PickleKind::kDict, {key, value});
      break;
    }
    case kSetItems:
      Extend(PickleKind::kDict, PopToMark());
      break;
    case kAddItems:
      PopToMark();
      if (object(Top()).kind != PickleKind::kOther) Bad("it adds items to what is no set");
      break;
    case kFrozenSet:
      PopToMark();
      PushNew(PickleKind::kOther);
      break;
    case kBinGet:
      Recall(TakeNumber<std::uint8_t>());
      break;
    case kLongBinGet:
      Recall(TakeNumber<std::uint32_t>());
      break;
    case kBinPut:
      Remember(TakeNumber<std::uint8_t>());
      break;
    case kLongBinPut:
      Remember(TakeNumber<std::uint32_t>());
      break;
    case kMemoize:
      Remember(static_cast<std::uint32_t>(memo_.size()));
      break;
    case kGlobal: {
      const std::string_view module = TakeLine();
      PushGlobal(module, TakeLine());
      break;
    }
    case kStackGlobal: {
      const PickleRef name = Pop();
      const PickleRef module = Pop();
      if (object(name).kind != PickleKind::kText || object(module).kind != PickleKind::kText) {
        Bad("the name of a global is no text");
      }
      PushGlobal(object(module).text, object(name).text);
      break;
    }
    case kReduce: {
      const PickleRef arguments = Pop();
      const PickleRef function = Pop();
      Push(Call(function, arguments));
      break;
    }
    case kBuild:
      Build();
      break;
    case kBinPersId:
      LoadStorage();
      break;
    case kFrame:
      // A hint for readers of streams.
      TakeNumber<std::uint64_t>();
      break;
    default:
      RefuseOpcode(opcode);
  }
  return true;
}

// Two's complement of any length; what does not fit 64 bits is of no interest.
void PickleMachine::PushLong(std::uint64_t size) {
  const std::span<const std::byte> digits = Take(size);
  if (size > 8) return PushNew(PickleKind::kOther);
  const bool negative = size > 0 && (digits.back() & std::byte{0x80}) != std::byte{0};
  std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = digits.size(); i-- > 0;) {
    value = value << 8 | std::to_integer<std::uint64_t>(digits[i]);
  }
  PushInt(static_cast<std::int64_t>(value));
}

void PickleMachine::PushGlobal(std::string_view module, std::string_view name) {
  const std::uint32_t index = FindPickleGlobal(module, name);
  if (index == kNoPickleGlobal) {
    Unsupported("its pickle asks for " +
                QuoteForError(std::string(module) + "." + std::string(name)) +
                ", which no state dict needs: it holds more than weights, or is malicious (nothing "
                "of it was executed); ask for a file of the state dict alone");
  }
  Push(Make({PickleKind::kGlobal, index, 0, {}}));
}

void PickleMachine::Extend(PickleKind kind, const std::vector<PickleRef>& items) {
  const PickleRef target = Top();
  if (object(target).kind != kind) {
    Bad(kind == PickleKind::kDict ? "it sets items of what is no dict"
                                  : "it appends to what is no list");
  }
  if (kind == PickleKind::kDict && items.size() % 2 != 0) Bad("a key has no value");
  std::vector<PickleRef>& list = pickle_.lists_[object(target).index];
  list.insert(list.end(), items.begin(), items.end());
}

// Attributes of an object. State dicts carry the versions of their modules in this way.
void PickleMachine::Build() {
  const PickleRef state = Pop();
  if (object(Top()).kind != PickleKind::kDict || object(state).kind != PickleKind::kDict) {
    Unsupported(
        "its pickle sets the state (opcode BUILD) of something other than a dict; nothing "
        "of it was executed");
  }
}

void PickleMachine::Remember(std::uint32_t place) { memo_[place] = Top(); }

void PickleMachine::Recall(std::uint32_t place) {
  const auto found = memo_.find(place);
  if (found == memo_.end()) Bad("it recalls what it has not stored");
  Push(found->second);
}

}  // namespace cpl
