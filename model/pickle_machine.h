// SPDX-License-Identifier: Apache-2.0
//
// The stack machine behind Pickle::Read. For pickle.cc and pickle_calls.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/pickle.h"
#include "model/pickle_globals.h"

namespace cpl {

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(file) {}

  Pickle Run();

 private:
  using Object = Pickle::Object;

  // Errors.
  [[noreturn]] void Bad(const std::string& what) const;
  [[noreturn]] void Unsupported(const std::string& what) const;
  [[noreturn]] void RefuseOpcode(unsigned char opcode) const;

  // The bytes of the pickle.
  std::span<const std::byte> Take(std::uint64_t size);
  template <typename T>
  T TakeNumber();
  std::string_view TakeText(std::uint64_t size);
  std::string_view TakeLine();

  // The stack.
  void Push(PickleRef object);
  PickleRef Pop();
  PickleRef Top() const;
  std::vector<PickleRef> PopToMark();
  PickleRef Make(Object object);
  PickleRef MakeList(PickleKind kind, std::vector<PickleRef> items);
  void PushNew(PickleKind kind) { Push(Make({kind, 0, 0, {}})); }
  void PushInt(std::int64_t number) { Push(Make({PickleKind::kInt, 0, number, {}})); }
  void PushText(std::string_view text) { Push(Make({PickleKind::kText, 0, 0, text})); }
  void PushTuple(std::size_t size);

  // Opcodes. False: the pickle is at its end.
  bool Step(unsigned char opcode);
  void PushLong(std::uint64_t size);
  void PushGlobal(std::string_view module, std::string_view name);
  void Extend(PickleKind kind, const std::vector<PickleRef>& items);
  void Build();
  void Remember(std::uint32_t place);
  void Recall(std::uint32_t place);
  void LoadStorage();

  // What REDUCE does.
  PickleRef Call(PickleRef function, PickleRef arguments);
  PickleRef CallRebuildTensor(const PickleGlobal& function, std::span<const PickleRef> arguments);
  PickleRef CallRebuild(const PickleGlobal& function, std::span<const PickleRef> arguments);
  PickleRef CallOrderedDict(std::span<const PickleRef> arguments);
  void CheckTensor(const Pickle::Tensor& tensor) const;

  const Object& object(PickleRef ref) const { return pickle_.objects_[ref]; }
  const PickleGlobal* Global(PickleRef ref) const;
  std::uint64_t Size(PickleRef ref, const char* what) const;

  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::size_t at_ = 0;
  Pickle pickle_;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;  // Heights of the stack.
  std::unordered_map<std::uint32_t, PickleRef> memo_;
};

}  // namespace cpl
