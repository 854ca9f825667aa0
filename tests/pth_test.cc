// SPDX-License-Identifier: Apache-2.0
#include "model/pth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cpl/error.h"
#include "model/safetensors.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Checkpoints written by PyTorch, and what it reads back from them (make_pth.py).
const fs::path kFixtures = fs::path(CPL_TEST_DATA) / "fixtures" / "pth";

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string Hex(std::span<const std::byte> bytes) {
  std::string hex;
  for (const std::byte byte : bytes) {
    for (const int shift : {4, 0}) {
      hex += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> shift & 15];
    }
  }
  return hex;
}

template <typename Call>
void ExpectError(ErrorCode code, const std::vector<std::string>& parts, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one of " << parts.front();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << error.what() << "\ndoes not name: " << part;
    }
  }
}

class Pth : public ::testing::Test {
 protected:
  Pth() {
    std::string pattern = (fs::temp_directory_path() / "cpl-pth-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
  }
  ~Pth() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

void ExpectTensors(const TensorFile& file, const json& expected) {
  EXPECT_EQ(file.tensors().size(), expected.size());
  for (const auto& [name, tensor] : expected.items()) {
    SCOPED_TRACE(name);
    const TensorView* const found = file.Find(name);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(DTypeName(found->dtype), tensor["dtype"].get<std::string>());
    EXPECT_EQ(found->shape, tensor["shape"].get<std::vector<std::int64_t>>());
    EXPECT_EQ(Hex(found->data), tensor["data"].get<std::string>());
  }
}

TEST_F(Pth, ReadsWhatPyTorchReads) {
  const json expected = json::parse(ReadAll(kFixtures / "expected.json"));
  EXPECT_GE(expected.size(), 17u);
  for (const auto& [name, tensors] : expected.items()) {
    SCOPED_TRACE(name);
    EXPECT_NO_THROW(ExpectTensors(PthFile::Open((kFixtures / name).string()), tensors));
  }
}

// Nobody who opens a model needs to know its container, or gives the file the name of it.
TEST_F(Pth, IsKnownByItsContents) {
  fs::copy_file(kFixtures / "dict.pth", Path("model.safetensors"));
  const TensorFile pth = TensorFile::Open(Path("model.safetensors"));
  EXPECT_EQ(pth.tensors().size(), 2u);
  WriteSafetensors(Path("model.pth"), pth.tensors(), {{"format", "cpl"}});
  const TensorFile safetensors = TensorFile::Open(Path("model.pth"));
  EXPECT_EQ(safetensors.metadata().at("format"), "cpl");
  EXPECT_EQ(safetensors.tensors().size(), 2u);
}

TEST_F(Pth, TensorsPointIntoTheFileAndOutliveIt) {
  const std::string bytes = ReadAll(kFixtures / "views.pth");
  const PthFile file = PthFile::Parse(Bytes(bytes), "F");
  const auto inside = [&](const char* name) {
    const auto* data = reinterpret_cast<const char*>(file.Find(name)->data.data());
    return data >= bytes.data() && data < bytes.data() + bytes.size();
  };
  EXPECT_TRUE(inside("base"));
  EXPECT_TRUE(inside("row"));
  EXPECT_EQ(file.Find("alias")->data.data(), file.Find("base")->data.data());
  EXPECT_FALSE(inside("transposed"));

  std::shared_ptr<const void> owner;
  std::span<const std::byte> base, transposed;
  {
    const PthFile opened = PthFile::Open((kFixtures / "views.pth").string());
    owner = opened.owner();
    base = opened.Find("base")->data;
    transposed = opened.Find("transposed")->data;
  }
  EXPECT_EQ(Hex(base), Hex(file.Find("base")->data));
  EXPECT_EQ(Hex(transposed), Hex(file.Find("transposed")->data));
}

TEST_F(Pth, RefusesByName) {
  const struct {
    const char* file;
    ErrorCode code;
    std::vector<std::string> parts;
  } cases[] = {
      {"legacy.pth", ErrorCode::kUnsupported, {"before 1.6", "torch.save(torch.load("}},
      {"os_system.pth",
       ErrorCode::kUnsupported,
       {"\"posix.system\"", "(nothing of it was executed)"}},
      {"os_system_protocol4.pth", ErrorCode::kUnsupported, {"\"posix.system\""}},
      {"eval.pth", ErrorCode::kUnsupported, {"\"__builtin__.eval\""}},
      {"getattr.pth", ErrorCode::kUnsupported, {"\"__builtin__.getattr\""}},
      {"inside_list.pth", ErrorCode::kUnsupported, {"\"__builtin__.exec\""}},
      {"whole_model.pth", ErrorCode::kUnsupported, {"\"torch.nn.modules.linear.Linear\""}},
      {"namespace.ckpt", ErrorCode::kUnsupported, {"\"argparse.Namespace\""}},
      {"numpy_array.pth", ErrorCode::kUnsupported, {"_reconstruct\""}},
      {"complex128.pth", ErrorCode::kUnsupported, {"ComplexDoubleStorage"}},
      {"sparse.pth", ErrorCode::kUnsupported, {"\"torch._utils._rebuild_sparse_tensor\""}},
      {"quantized.pth", ErrorCode::kUnsupported, {"\"torch._utils._rebuild_qtensor\""}},
      {"conjugated.pth", ErrorCode::kUnsupported, {"conjugated"}},
      {"repeated.pth", ErrorCode::kBadFormat, {"\"weight\"", "repeats", "4294967296 bytes"}},
      {"list.pth", ErrorCode::kBadFormat, {"no dict"}},
      {"no_tensors.pth", ErrorCode::kBadFormat, {"\"generator\", \"epoch\""}},
      {"endless.pth", ErrorCode::kBadFormat, {"without tensors"}},
      {"torchscript.pt", ErrorCode::kUnsupported, {"TorchScript", "torch.jit.load("}},
      {"compressed.pth", ErrorCode::kUnsupported, {"\" is compressed (method 8)", "zip -0"}},
      {"truncated.pth", ErrorCode::kBadFormat, {"cut off"}},
      {"damaged.pth", ErrorCode::kBadFormat, {"data/0\" is damaged", "checksum"}},
  };
  std::size_t files = 0;
  for (const auto& item : fs::directory_iterator(kFixtures / "refused")) files += item.exists();
  EXPECT_EQ(files, std::size(cases)) << "a file that no case names";
  for (const auto& [file, code, parts] : cases) {
    SCOPED_TRACE(file);
    const std::string path = (kFixtures / "refused" / file).string();
    std::vector<std::string> all = parts;
    all.push_back(path + ": ");
    ExpectError(code, all, [&] { TensorFile::Open(path); });
  }
  EXPECT_FALSE(fs::exists("PWNED"));
}

TEST_F(Pth, ForeignFilesAreNamed) {
  std::ofstream(Path("text")) << "this is no checkpoint";
  ExpectError(ErrorCode::kBadFormat, {Path("text"), "not a PyTorch checkpoint"},
              [&] { PthFile::Open(Path("text")); });
  ExpectError(ErrorCode::kNotFound, {Path("none")}, [&] { PthFile::Open(Path("none")); });
  EXPECT_FALSE(LooksLikePth({}));
  // A safetensors file whose header's length has the bytes of a zip's signature.
  const std::string tricky("PK\3\4\0\0\0\0{", 9);
  EXPECT_FALSE(LooksLikePth(Bytes(tricky)));
}

TEST_F(Pth, WritesWhatItReads) {
  const PthFile read = PthFile::Open((kFixtures / "dtypes.pth").string());
  const PthFile views = PthFile::Open((kFixtures / "views.pth").string());
  std::vector<TensorView> tensors = read.tensors();
  for (const TensorView& tensor : views.tensors()) tensors.push_back(tensor);
  tensors.push_back({"none of many", DType::kF32, {0, std::int64_t{1} << 62, 9}, {}});
  const TensorMetadata metadata = {{"format", "cpl"}, {"prompts", "[\"\xc3\xa9\"]"}};
  WritePth(Path("a.pth"), tensors, metadata);
  const PthFile back = PthFile::Open(Path("a.pth"));
  EXPECT_EQ(back.metadata(), metadata);
  ASSERT_EQ(back.tensors().size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(back.tensors()[i].name, tensors[i].name);
    EXPECT_EQ(back.tensors()[i].dtype, tensors[i].dtype);
    EXPECT_EQ(back.tensors()[i].shape, tensors[i].shape);
    EXPECT_EQ(Hex(back.tensors()[i].data), Hex(tensors[i].data));
  }
  WritePth(Path("b.pth"), back.tensors(), back.metadata());
  EXPECT_EQ(ReadAll(Path("b.pth")), ReadAll(Path("a.pth")));
  // 64-byte places, so that the numbers can be used where they are mapped.
  const std::string bytes = ReadAll(Path("a.pth"));
  const PthFile parsed = PthFile::Parse(Bytes(bytes), "F");
  for (const TensorView& tensor : parsed.tensors()) {
    if (tensor.data.empty()) continue;
    EXPECT_EQ((reinterpret_cast<const char*>(tensor.data.data()) - bytes.data()) % 64, 0);
  }
}

TEST_F(Pth, WriterRefusesNonsense) {
  const std::string data = "abcd";
  ExpectError(ErrorCode::kInvalidArgument, {Path("m"), "\"t\" has data"}, [&] {
    WritePth(Path("m"), {{"t", DType::kF32, {2}, Bytes(data)}}, {});
  });
  ExpectError(ErrorCode::kInvalidArgument, {Path("m"), "two tensors", "\"t\""}, [&] {
    WritePth(Path("m"), {{"t", DType::kF32, {}, Bytes(data)}, {"t", DType::kU8, {4}, Bytes(data)}},
             {});
  });
  EXPECT_FALSE(fs::exists(Path("m")));
}

// Every cut and every flipped bit of a good file either reads or is refused with an error, and
// what is read lies inside.
TEST_F(Pth, DamageIsNeverUndefined) {
  const std::string good = ReadAll(kFixtures / "views.pth");
  int refused = 0;
  const auto read = [&](const std::string& bytes) {
    try {
      const PthFile file = PthFile::Parse(Bytes(bytes), "FILE");
      std::size_t sum = 0;
      for (const TensorView& tensor : file.tensors()) {
        EXPECT_EQ(tensor.data.size(), TensorBytes(tensor.shape, tensor.dtype).value());
        for (const std::byte byte : tensor.data) sum += std::to_integer<std::size_t>(byte);
      }
      EXPECT_GT(sum + 1, 0u);
      return true;
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("FILE: ")) << error.what();
      ++refused;
      return false;
    }
  };
  ASSERT_TRUE(read(good));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(read(good.substr(0, size))) << size;
  }
  refused = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1 << at % 8);
    read(bad);
  }
  EXPECT_GT(refused, static_cast<int>(good.size()) / 4);
}

}  // namespace
}  // namespace cpl
