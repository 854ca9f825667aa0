// SPDX-License-Identifier: Apache-2.0
#include "model/pickle.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "cpl/error.h"

namespace cpl {
namespace {

std::string Text(const std::string& text) {
  std::string out = "X";
  for (int i = 0; i < 4; ++i) out += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return out + text;
}

// LONG1 of eight bytes.
std::string Long(std::uint64_t number) {
  std::string out = "\x8a\x08";
  for (int i = 0; i < 8; ++i) out += static_cast<char>(number >> (8 * i) & 0xff);
  return out;
}

std::string Program(const std::string& opcodes) { return "\x80\x02" + opcodes + "."; }

Pickle Read(const std::string& program) {
  return Pickle::Read(std::as_bytes(std::span(program)), "FILE");
}

void ExpectRefused(const std::string& opcodes, ErrorCode code, const std::string& part) {
  const std::string program = Program(opcodes);
  try {
    Read(program);
    ADD_FAILURE() << "was taken; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("FILE: ")) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

std::string Storage(const std::string& numel, const std::string& type = "FloatStorage") {
  return "(" + Text("storage") + "ctorch\n" + type + "\n" + Text("0") + Text("cpu") + numel + "tQ";
}

std::string Tensor(const std::string& storage, const std::string& offset, const std::string& shape,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + "(" + shape + "t(" + strides +
         "t\x89)tR";
}

constexpr char kOne[] = "K\1";
constexpr char kFour[] = "K\4";
const std::string kZero("K\0", 2);

TEST(Pickle, ReadsATensor) {
  const std::string program = Program(Tensor(Storage("K\6"), kOne, "K\2K\2", "K\3K\1"));
  const Pickle pickle = Read(program);
  ASSERT_EQ(pickle.kind(pickle.root()), PickleKind::kTensor);
  const PickledTensor tensor = pickle.tensor(pickle.root());
  EXPECT_EQ(tensor.storage.key, "0");
  EXPECT_EQ(tensor.storage.bytes, 24u);
  EXPECT_EQ(tensor.dtype, DType::kF32);
  EXPECT_EQ(tensor.offset, 1u);
  EXPECT_EQ(tensor.shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(tensor.strides, (std::vector<std::int64_t>{3, 1}));
}

TEST(Pickle, TheLaterOfTwoEntriesCounts) {
  const std::string program = Program("}(" + Text("a") + kOne + Text("a") + kFour + "u");
  const Pickle pickle = Read(program);
  EXPECT_EQ(pickle.items(pickle.root()).size(), 4u);
  EXPECT_EQ(pickle.Find(pickle.root(), "a"), pickle.items(pickle.root())[3]);
  EXPECT_FALSE(pickle.Find(pickle.root(), "b").has_value());
}

TEST(Pickle, TensorsStayInTheirStorage) {
  const auto refused = [](const std::string& offset, const std::string& shape,
                          const std::string& strides, const std::string& part) {
    ExpectRefused(Tensor(Storage(kFour), offset, shape, strides), ErrorCode::kBadFormat, part);
  };
  EXPECT_NO_THROW(Read(Program(Tensor(Storage(kFour), kZero, "K\2K\2", "K\2K\1"))));
  EXPECT_NO_THROW(Read(Program(Tensor(Storage(kFour), "K\3", "", ""))));
  EXPECT_NO_THROW(Read(Program(Tensor(Storage(kFour), "K\3", "K\7", kZero))));
  EXPECT_NO_THROW(Read(Program(Tensor(Storage(kFour), "K\x09", kZero, "K\1"))));
  refused(kFour, "", "", "beyond its storage \"0\"");
  refused(kZero, "K\5", "K\1", "beyond its storage");
  refused(kOne, "K\2K\2", "K\2K\1", "beyond its storage");
  refused(kZero, "K\2", Long(~0ull >> 1), "beyond its storage");
  refused(kZero, "K\4", Long(~0ull >> 1), "too large to exist");
  refused(kZero, Long(1ull << 40) + Long(1ull << 40), kZero + kZero, "too large to exist");
  refused(kZero, Long(1ull << 62), kZero, "too large to exist");
  refused(Long(~0ull), "K\1", "K\1", "negative");
  refused(kZero, Long(~0ull), "K\1", "negative");
  refused(kZero, "K\1", Long(~0ull), "negative");
  refused(kZero, "K\1K\1", "K\1", "more sizes than strides");
  refused(kZero, Text("1"), "K\1", "no number");
  std::string many;
  for (int i = 0; i < 65; ++i) many += "K\1";
  refused(kZero, many, many, "64 dimensions");
  ExpectRefused(Tensor(Storage(Long(1ull << 62)), kZero, "K\1", "K\1"), ErrorCode::kBadFormat,
                "storage is too large");
  ExpectRefused(Tensor(Storage(Long(~0ull)), kZero, "K\1", "K\1"), ErrorCode::kBadFormat,
                "negative");
}

// A list could be changed after its tensor was checked.
TEST(Pickle, ShapesAreTuples) {
  ExpectRefused(
      "ctorch._utils\n_rebuild_tensor_v2\n(" + Storage(kFour) + kZero + "](K\4e](K\1e\x89)tR",
      ErrorCode::kBadFormat, "arguments of torch._utils._rebuild_tensor_v2");
}

TEST(Pickle, RefusesOpcodesByName) {
  const std::pair<std::string, const char*> cases[] = {
      {"(ios\nsystem\n", "opcode INST"},
      {"(cos\nsystem\no", "\"os.system\""},
      {"(o", "opcode OBJ"},
      {"ccollections\nOrderedDict\n)\x81", "opcode NEWOBJ"},
      {"\x82\1", "opcode EXT1"},
      {"\x92", "opcode NEWOBJ_EX"},
      {"Pstorage\n", "opcode PERSID"},
      {"I1\n", "opcode INT"},
      {"N2", "opcode DUP"},
      {"\x97", "opcode NEXT_BUFFER"},
  };
  for (const auto& [opcodes, part] : cases) {
    SCOPED_TRACE(part);
    ExpectRefused(opcodes, ErrorCode::kUnsupported, part);
  }
  ExpectRefused("\xff", ErrorCode::kBadFormat, "no opcode 0xff");
}

// What a name on the list does is not what another one on it does.
TEST(Pickle, CallsAndStatesMustFit) {
  const auto bad = [](const std::string& opcodes, const std::string& part) {
    ExpectRefused(opcodes, ErrorCode::kBadFormat, part);
  };
  bad("K\1)R", "calls something that is no function");
  bad("ctorch\nFloatStorage\n)R", "makes no tensor");
  bad("ctorch\nTensor\n)R", "makes no tensor");
  bad("ccollections\nOrderedDict\nK\1R", "no tuple");
  bad("ccollections\nOrderedDict\nK\1\x85R", "OrderedDict do not fit");
  bad("ctorch._utils\n_rebuild_parameter\n(K\1\x89)tR", "_rebuild_parameter do not fit");
  bad("ctorch._utils\n_rebuild_tensor_v2\n)R", "_rebuild_tensor_v2 do not fit");
  bad("K\1Q", "no storage");
  bad("(" + Text("module") + "ctorch\nFloatStorage\n" + Text("0") + Text("cpu") + "K\1tQ",
      "no storage");
  bad("(" + Text("storage") + "ctorch\nfloat32\n" + Text("0") + Text("cpu") + "K\1tQ",
      "class that is none");
  ExpectRefused("ctorch\nTensor\n}b", ErrorCode::kUnsupported, "opcode BUILD");
  ExpectRefused("}K\1b", ErrorCode::kUnsupported, "opcode BUILD");
}

// Arguments within arguments, a million levels deep.
TEST(Pickle, NestingIsNoRecursion) {
  std::string calls;
  for (int i = 0; i < 100000; ++i) calls += "ctorch._tensor\n_rebuild_from_type_v2\n";
  ExpectRefused(calls + ")R", ErrorCode::kBadFormat, "_rebuild_from_type_v2 do not fit");
  ExpectRefused(
      "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\n"
      "ctorch\nTensor\n)NtR",
      ErrorCode::kBadFormat, "makes no tensor");
  std::string tuples = ")";
  for (int i = 0; i < 900000; ++i) tuples += "\x85";
  EXPECT_NO_THROW(Read(Program(tuples)));
  EXPECT_NO_THROW(Read(Program("]q\1h\1a")));
}

TEST(Pickle, StacksAndMemosAreChecked) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "empty stack"},
      {"a", "empty stack"},
      {"(N)a", "no list"},
      {"N(a", "empty stack"},
      {"}(Ns", "empty stack"},
      {"t", "a mark and there is none"},
      {"}(Nu", "has no value"},
      {"N(NNu", "no dict"},
      {"h\1", "not stored"},
      {"q\1", "empty stack"},
      {"\x85", "empty stack"},
      {"K", "cut off"},
      {"X\xff\xff\xff\xff", "cut off"},
      {"cos\n", "cut off"},
      {"N\x93", "empty stack"},
      {"K\1K\1\x93", "no text"},
      {"](NN\x90", "no set"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "cut off"},
  };
  for (const auto& [opcodes, part] : cases) {
    SCOPED_TRACE(part);
    ExpectRefused(opcodes, ErrorCode::kBadFormat, part);
  }
}

TEST(Pickle, LimitsAreNamed) {
  ExpectRefused(std::string(Pickle::kMostObjects + 1, 'N'), ErrorCode::kUnsupported,
                "1048576 objects");
  ExpectRefused(std::string(Pickle::kLargest, 'N'), ErrorCode::kUnsupported, "larger than");
  const std::string protocol("\x80\6N.", 4), none("N.", 2);
  EXPECT_THROW(Read(protocol), Error);
  EXPECT_THROW(Read(none), Error);
  EXPECT_THROW(Read(""), Error);
}

}  // namespace
}  // namespace cpl
