// SPDX-License-Identifier: Apache-2.0
#include "model/safetensors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cpl/error.h"
#include "model/atomic_file.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;

class SafetensorsTest : public ::testing::Test {
 protected:
  SafetensorsTest() {
    std::string pattern = (fs::temp_directory_path() / "cpl-safetensors-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
  }
  ~SafetensorsTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  int FilesInFolder() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string Prefix(std::uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  return bytes;
}

std::string FileOf(const std::string& header, std::size_t data) {
  return Prefix(header.size()) + header + std::string(data, 'x');
}

template <typename Call>
void ExpectError(ErrorCode code, const std::vector<std::string>& parts, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << error.what() << "\ndoes not name: " << part;
    }
  }
}

TEST_F(SafetensorsTest, WritesTheFormatByteForByte) {
  const float weights[2] = {1.0f, -2.0f};
  const std::uint8_t flags[3] = {1, 0, 1};
  const std::int64_t step = 5;
  const std::vector<TensorView> tensors = {
      {"flags", DType::kBool, {3}, std::as_bytes(std::span(flags))},
      {"b", DType::kF32, {1, 1}, std::as_bytes(std::span(weights + 1, 1))},
      {"a", DType::kF32, {1}, std::as_bytes(std::span(weights, 1))},
      {"step", DType::kI64, {}, std::as_bytes(std::span(&step, 1))},
  };
  WriteSafetensors(Path("m"), tensors, {{"z", "2"}, {"format", "c\"pl"}});
  std::string header = R"({"__metadata__":{"format":"c\"pl","z":"2"},)"
                       R"("step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                       R"("b":{"dtype":"F32","shape":[1,1],"data_offsets":[12,16]},)"
                       R"("flags":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::string data("\5\0\0\0\0\0\0\0\0\0\200\77\0\0\0\300\1\0\1", 19);
  EXPECT_EQ(ReadAll(Path("m")), Prefix(header.size()) + header + data);
  EXPECT_EQ(FilesInFolder(), 1);
}

TEST_F(SafetensorsTest, ReadsBackWhatItWrote) {
  std::mt19937 random(1);
  std::vector<std::string> data;
  std::vector<TensorView> tensors;
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    const auto dtype = static_cast<DType>(i);
    std::string bytes(DTypeSize(dtype) * 2 * 3 * 5, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    data.push_back(bytes);
  }
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    tensors.push_back({std::string("tensor.") + DTypeName(static_cast<DType>(i)),
                       static_cast<DType>(i),
                       {2, 3, 5},
                       Bytes(data[i])});
  }
  tensors.push_back({"empty", DType::kF32, {3, 0, 7}, {}});
  tensors.push_back(
      {"na\xc3\xafve \"\\\n\t" + std::string(1, '\0'), DType::kU8, {30}, Bytes(data[0])});
  const SafetensorsMetadata metadata = {{"config", "{\"a\": [1, 2]}"}, {"", "\xe2\x9c\x93"}};
  WriteSafetensors(Path("m"), tensors, metadata);

  SafetensorsFile first = SafetensorsFile::Open(Path("m"));
  const SafetensorsFile file = std::move(first);
  EXPECT_EQ(file.name(), Path("m"));
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const TensorView& tensor : tensors) {
    const TensorView* found = file.Find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->name, tensor.name);
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    ASSERT_EQ(found->data.size(), tensor.data.size());
    EXPECT_TRUE(std::equal(found->data.begin(), found->data.end(), tensor.data.begin()));
  }
  EXPECT_EQ(file.Find("tensor"), nullptr);
  for (std::size_t i = 1; i < file.tensors().size(); ++i) {
    EXPECT_GE(file.tensors()[i].data.data(), file.tensors()[i - 1].data.data());
  }

  // The order of the tensors does not show in the bytes, and what was read can be written.
  std::reverse(tensors.begin(), tensors.end());
  WriteSafetensors(Path("n"), tensors, metadata);
  EXPECT_EQ(ReadAll(Path("n")), ReadAll(Path("m")));
  WriteSafetensors(Path("n"), file.tensors(), file.metadata());
  EXPECT_EQ(ReadAll(Path("n")), ReadAll(Path("m")));
}

// A process that plays must not die because somebody copies over the model that it has loaded.
TEST_F(SafetensorsTest, FilesOfTheSizeOfModelsMayChangeAfterwards) {
  const std::string data(std::size_t{4} << 20, 'a');
  const auto size = static_cast<std::int64_t>(data.size());
  WriteSafetensors(Path("m"), {{"t", DType::kU8, {size}, Bytes(data)}}, {});
  std::shared_ptr<const void> owner;
  std::span<const std::byte> tensor;
  {
    const SafetensorsFile file = SafetensorsFile::Open(Path("m"));
    owner = file.owner();
    tensor = file.Find("t")->data;
  }
  fs::resize_file(Path("m"), 0);
  EXPECT_EQ(std::memcmp(tensor.data(), data.data(), data.size()), 0);
}

TEST_F(SafetensorsTest, LargeFilesAreMapped) {
  const std::string size = std::to_string(MappedFile::kMapFrom);
  const std::string header =
      R"({"t":{"dtype":"U8","shape":[)" + size + R"(],"data_offsets":[0,)" + size + "]}}";
  WriteAll(Path("m"), Prefix(header.size()) + header);
  const std::size_t whole = 8 + header.size() + MappedFile::kMapFrom;
  fs::resize_file(Path("m"), whole);  // Sparse.
  const int fd = ::open(Path("m").c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::pwrite(fd, "!", 1, static_cast<off_t>(whole - 1)), 1);
  ::close(fd);
  const SafetensorsFile file = SafetensorsFile::Open(Path("m"));
  EXPECT_NE(ReadAll("/proc/self/maps").find(Path("m")), std::string::npos);
  fs::remove(Path("m"));
  const TensorView* tensor = file.Find("t");
  ASSERT_NE(tensor, nullptr);
  ASSERT_EQ(tensor->data.size(), MappedFile::kMapFrom);
  EXPECT_EQ(tensor->data.front(), std::byte{0});
  EXPECT_EQ(tensor->data.back(), std::byte{'!'});
}

TEST_F(SafetensorsTest, AcceptsWhatTheReferenceAccepts) {
  const struct {
    std::string header;
    std::size_t data;
    std::size_t tensors;
  } cases[] = {
      {"{}", 0, 0},
      {"{}   ", 0, 0},
      {"{}\r \t\n", 0, 0},
      {R"({"__metadata__":{}})", 0, 0},
      {R"( {"__metadata__":{"a":"b"},"t":{"shape":[2],"data_offsets":[0,2],"dtype":"I8"}})" + 1, 2,
       1},
      {R"({"t":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4, 1},
      // The header's order is not that of the data.
      {R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[1,4]},)"
       R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       4, 2},
      // Without bytes, at the begin, between others and at the end.
      {R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
       R"("x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
       R"("y":{"dtype":"F64","shape":[0,9223372036854775807,9],"data_offsets":[3,3]}})",
       3, 3},
  };
  for (const auto& [header, data, tensors] : cases) {
    const std::string bytes = FileOf(header, data);
    EXPECT_NO_THROW({
      const SafetensorsFile file = SafetensorsFile::Parse(Bytes(bytes), "F");
      EXPECT_EQ(file.tensors().size(), tensors) << header;
    }) << header;
  }
}

TEST_F(SafetensorsTest, RefusesBadHeaders) {
  const std::string good = R"("t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
           "}}";
  };
  const struct {
    std::string header;
    std::size_t data;
    std::string part;
  } cases[] = {
      {"", 0, "does not begin with '{'"},
      {"[]", 0, "does not begin with '{'"},
      {" {}", 0, "does not begin with '{'"},
      {"{", 0, "not valid JSON"},
      {"{}x", 0, "not valid JSON"},
      {"{}{}", 0, "not valid JSON"},
      {std::string("{}\0", 3), 0, "not valid JSON"},
      {std::string("{\0}", 3), 0, "not valid JSON"},
      {"{'a':1}", 0, "not valid JSON"},
      {"{\"\xff\":{}}", 0, "not valid JSON"},
      {"{\"\\ud800\":{}}", 0, "not valid JSON"},
      {"{" + good + ",}", 2, "not valid JSON"},
      {"{/**/}", 0, "not valid JSON"},
      {R"({"t":1})", 0, "\"t\" is a number"},
      {R"({"t":[]})", 0, "\"t\" is an array"},
      {R"({"t":null})", 0, "\"t\" is null"},
      {R"({"t":true})", 0, "\"t\" is a boolean"},
      {R"({"t":"x"})", 0, "\"t\" is a string"},
      {R"({"__metadata__":null})", 0, "__metadata__"},
      {R"({"__metadata__":[]})", 0, "__metadata__"},
      {R"({"__metadata__":{"k":1}})", 0, "metadata \"k\" is a number"},
      {R"({"__metadata__":{"k":{}}})", 0, "metadata \"k\" is an object"},
      {R"({"__metadata__":{"k":[]}})", 0, "metadata \"k\" is an array"},
      {R"({"__metadata__":{"k":null}})", 0, "metadata \"k\" is null"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "two metadata"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "two entries"},
      {"{" + good + "," + good + "}", 2, "overlaps"},
      {R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
       R"("t":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}})",
       0, "two tensors have the name \"t\""},
      {R"({"t":{}})", 0, "tensor \"t\" has no field \"dtype\""},
      {R"({"t":{"dtype":"U8","shape":[2]}})", 2, "no field \"data_offsets\""},
      {R"({"t":{"dtype":"U8","data_offsets":[0,2]}})", 2, "no field \"shape\""},
      {R"({"t":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2,
       "two fields \"dtype\""},
      {R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"extra":0}})", 2,
       "unknown field \"extra\""},
      {entry("\"F33\"", "[2]", "[0,2]"), 2, "unknown data type \"F33\""},
      {entry("\"F4\"", "[2]", "[0,1]"), 1, "unknown data type"},
      {entry("7", "[2]", "[0,2]"), 2, "a number in its field \"dtype\""},
      {entry("[\"U8\"]", "[2]", "[0,2]"), 2, "an array in its field \"dtype\""},
      {entry("{}", "[2]", "[0,2]"), 2, "an object in its field \"dtype\""},
      {entry("\"U8\"", "2", "[0,2]"), 2, "a number in its field \"shape\""},
      {entry("\"U8\"", "[-2]", "[0,2]"), 2, "a negative number in its field \"shape\""},
      {entry("\"U8\"", "[2.0]", "[0,2]"), 2, "field \"shape\""},
      {entry("\"U8\"", "[2e0]", "[0,2]"), 2, "field \"shape\""},
      {entry("\"U8\"", "[\"2\"]", "[0,2]"), 2, "field \"shape\""},
      {entry("\"U8\"", "[[2]]", "[0,2]"), 2, "an array in its field \"shape\""},
      {entry("\"U8\"", "[null]", "[0,2]"), 2, "field \"shape\""},
      {entry("\"U8\"", "[1e999]", "[0,2]"), 2, "not valid JSON"},
      {entry("\"U8\"", "[18446744073709551616]", "[0,2]"), 2, "field \"shape\""},
      {entry("\"U8\"", "[9223372036854775808]", "[0,2]"), 2, "dimension of 9223372036854775808"},
      {entry("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "too large to exist"},
      {entry("\"U64\"", "[2305843009213693952]", "[0,0]"), 0, "too large to exist"},
      {entry("\"U8\"", "[9223372036854775807,9,0]", "[0,0]"), 0, "too large to exist"},
      {entry("\"U8\"", "[2]", "[]"), 2, "exactly two data offsets"},
      {entry("\"U8\"", "[2]", "[2]"), 2, "exactly two data offsets"},
      {entry("\"U8\"", "[2]", "[0,2,2]"), 2, "exactly two data offsets"},
      {entry("\"U8\"", "[2]", "{}"), 2, "an object in its field \"data_offsets\""},
      {entry("\"U8\"", "[2]", "[-1,1]"), 2, "field \"data_offsets\""},
      {entry("\"U8\"", "[2]", "[2,0]"), 2, "ends before it begins"},
      {entry("\"U8\"", "[2]", "[0,3]"), 3, "needs 2 bytes"},
      {entry("\"F32\"", "[2]", "[0,2]"), 2, "needs 8 bytes"},
      {entry("\"U8\"", "[3]", "[0,3]"), 2, "beyond the end of the file"},
      {entry("\"U8\"", "[0]", "[18446744073709551615,18446744073709551615]"), 0,
       "beyond the end of the file"},
      {entry("\"U8\"", "[1]", "[1,2]"), 2, "leaves a gap"},
      {entry("\"U8\"", "[1]", "[0,1]"), 2, "1 bytes at its end belong to no tensor"},
      {"{}", 1, "1 bytes at its end belong to no tensor"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
       R"("t":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       4, "tensor \"t\" overlaps"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
       R"("t":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}})",
       5, "tensor \"t\" leaves a gap"},
  };
  for (const auto& [header, data, part] : cases) {
    SCOPED_TRACE(header);
    const std::string bytes = FileOf(header, data);
    ExpectError(ErrorCode::kBadFormat, {"FILE: ", part},
                [&] { SafetensorsFile::Parse(Bytes(bytes), "FILE"); });
  }
}

TEST_F(SafetensorsTest, RefusesLyingLengths) {
  const auto expect = [](const std::string& bytes, const std::string& part) {
    ExpectError(ErrorCode::kBadFormat, {"FILE: ", part},
                [&] { SafetensorsFile::Parse(Bytes(bytes), "FILE"); });
  };
  expect("", "empty");
  expect("{}", "too short");
  expect(Prefix(2) + "{", "cut off");
  expect(Prefix(100000000) + "{}", "cut off");
  expect(Prefix(100000001) + "{}", "100000001");
  expect(Prefix(~0ull) + "{}", "18446744073709551615");
  expect(std::string("\x89PNG\r\n\x1a\n", 8) + std::string(64, 'p'), "not a safetensors file");
}

TEST_F(SafetensorsTest, DeepNestingEndsAtOnce) {
  for (const std::string& open : {std::string("["), std::string("{\"a\":")}) {
    std::string header = "{\"t\":";
    for (int i = 0; i < 300000; ++i) header += open;
    const std::string bytes = FileOf(header, 0);
    EXPECT_THROW(SafetensorsFile::Parse(Bytes(bytes), "FILE"), Error);
  }
}

// Every cut and every flipped bit of a good file either reads or is refused with an error.
TEST_F(SafetensorsTest, DamageIsNeverUndefined) {
  const std::string data(64, 'd');
  WriteSafetensors(Path("m"),
                   {{"a", DType::kF32, {2, 4}, Bytes(data).first(32)},
                    {"b", DType::kBF16, {16}, Bytes(data).first(32)}},
                   {{"format", "cpl"}});
  const std::string good = ReadAll(Path("m"));
  const auto read = [](const std::string& bytes) {
    try {
      const SafetensorsFile file = SafetensorsFile::Parse(Bytes(bytes), "FILE");
      for (const TensorView& tensor : file.tensors()) {
        EXPECT_GE(reinterpret_cast<const char*>(tensor.data.data()), bytes.data());
        EXPECT_LE(reinterpret_cast<const char*>(tensor.data.data() + tensor.data.size()),
                  bytes.data() + bytes.size());
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      return false;
    }
  };
  ASSERT_TRUE(read(good));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(read(good.substr(0, size))) << size;
  }
  int refused = 0;
  const std::size_t text = good.size() - data.size();
  for (std::size_t at = 0; at < text; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1 << bit);
      refused += !read(bad);
    }
  }
  EXPECT_GT(refused, static_cast<int>(text) * 4);
}

TEST_F(SafetensorsTest, NamesFromFilesAreShownSafely) {
  const std::string bytes = FileOf("{\"" + std::string(5000, 'n') + "\\u001b[2J\":1}", 0);
  try {
    SafetensorsFile::Parse(Bytes(bytes), "FILE");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::strlen(error.what()), 400u);
  }
  const std::string escape = FileOf("{\"a\\u001b\\n\":1}", 0);
  ExpectError(ErrorCode::kBadFormat, {"\"a??\""},
              [&] { SafetensorsFile::Parse(Bytes(escape), "FILE"); });
}

TEST_F(SafetensorsTest, OpenSaysWhyItCannot) {
  ExpectError(ErrorCode::kNotFound, {Path("none")}, [&] { SafetensorsFile::Open(Path("none")); });
  WriteAll(Path("file"), "short");
  ExpectError(ErrorCode::kNotFound, {}, [&] { SafetensorsFile::Open(Path("file/in")); });
  ExpectError(ErrorCode::kBadFormat, {Path("file"), "too short"},
              [&] { SafetensorsFile::Open(Path("file")); });
  ExpectError(ErrorCode::kCannotRead, {folder_.string(), "directory"},
              [&] { SafetensorsFile::Open(folder_.string()); });
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectError(ErrorCode::kCannotRead, {"not a regular file"},
              [&] { SafetensorsFile::Open(Path("fifo")); });
  if (::geteuid() != 0) {
    ::chmod(Path("file").c_str(), 0);
    ExpectError(ErrorCode::kCannotRead, {Path("file")},
                [&] { SafetensorsFile::Open(Path("file")); });
  }
}

TEST_F(SafetensorsTest, WriterRefusesNonsense) {
  const std::string data = "abcd";
  const auto expect = [&](const std::string& part, const std::vector<TensorView>& tensors,
                          const SafetensorsMetadata& metadata) {
    ExpectError(ErrorCode::kInvalidArgument, {Path("m"), part},
                [&] { WriteSafetensors(Path("m"), tensors, metadata); });
    EXPECT_EQ(FilesInFolder(), 0);
  };
  expect("\"t\" has data", {{"t", DType::kF32, {2}, Bytes(data)}}, {});
  expect("\"t\" has data", {{"t", DType::kF32, {-1, -1}, Bytes(data)}}, {});
  expect("two tensors", {{"t", DType::kF32, {1}, Bytes(data)}, {"t", DType::kU8, {4}, Bytes(data)}},
         {});
  expect("__metadata__", {{"__metadata__", DType::kF32, {1}, Bytes(data)}}, {});
  expect("UTF-8", {{"\xff", DType::kF32, {1}, Bytes(data)}}, {});
  expect("UTF-8", {}, {{"key", "\xc3"}});
}

// Runs `body` in a child that can write no file of more than `limit` bytes, as on a full disk.
template <typename Body>
int RunWithLimit(rlim_t limit, const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit bound{limit, limit};
    ::setrlimit(RLIMIT_FSIZE, &bound);
    ::_exit(body());
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(SafetensorsTest, AFullDiskLeavesTheOldFile) {
  const std::string small = "abcd", large(100000, 'l');
  WriteSafetensors(Path("m"), {{"t", DType::kU8, {4}, Bytes(small)}}, {});
  const std::string before = ReadAll(Path("m"));
  const int result = RunWithLimit(5000, [&] {
    try {
      WriteSafetensors(Path("m"), {{"t", DType::kU8, {100000}, Bytes(large)}}, {});
      return 10;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCannotWrite) return 11;
      if (std::string(error.what()).find(Path("m")) == std::string::npos) return 12;
    }
    // What fits still works in the same process.
    WriteSafetensors(Path("other"), {{"t", DType::kU8, {4}, Bytes(small)}}, {});
    return 0;
  });
  EXPECT_EQ(result, 0);
  EXPECT_EQ(ReadAll(Path("m")), before);
  EXPECT_EQ(ReadAll(Path("other")), before);
  EXPECT_EQ(FilesInFolder(), 2);  // No temporary file.
}

TEST_F(SafetensorsTest, AtomicFileWritesTextAndReplaces) {
  WriteFileAtomically(Path("log"), "one\n");
  EXPECT_EQ(ReadAll(Path("log")), "one\n");
  ::chmod(Path("log").c_str(), 0640);
  {
    AtomicFile file(Path("log"));
    file.Write("tw");
    file.Write(std::string_view("o\n"));
    EXPECT_EQ(ReadAll(Path("log")), "one\n") << "before Commit the old file stands";
    file.Commit();
  }
  EXPECT_EQ(ReadAll(Path("log")), "two\n");
  struct stat status;
  ASSERT_EQ(::stat(Path("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0640u);
  {
    AtomicFile file(Path("log"));
    file.Write("three");
  }
  EXPECT_EQ(ReadAll(Path("log")), "two\n") << "not committed";
  EXPECT_EQ(FilesInFolder(), 1);

  fs::create_symlink("log", Path("link"));
  WriteFileAtomically(Path("link"), "four");
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(ReadAll(Path("log")), "four");

  const std::string long_name(255, 'n');
  WriteFileAtomically(Path(long_name), "five");
  EXPECT_EQ(ReadAll(Path(long_name)), "five");
}

TEST_F(SafetensorsTest, AtomicFileSaysWhyItCannot) {
  const auto expect = [](const std::string& path, const std::string& part) {
    ExpectError(ErrorCode::kCannotWrite, {path, part}, [&] { WriteFileAtomically(path, "text"); });
  };
  expect(Path("no/folder"), "folder does not exist");
  expect(folder_.string(), "directory");
  expect(Path("new/"), "");
  expect("", "");
  expect("/dev/full", "not a regular file");
  EXPECT_EQ(FilesInFolder(), 0);
}

}  // namespace
}  // namespace cpl
