// SPDX-License-Identifier: Apache-2.0
#include "model/zip.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cpl/error.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string Written(const std::vector<std::pair<std::string, std::string>>& contents) {
  const std::string path = (fs::temp_directory_path() / "cpl-zip-XXXXXX").string();
  std::string name = path;
  const int fd = mkstemp(name.data());
  EXPECT_GE(fd, 0);
  ::close(fd);
  std::vector<ZipRecord> records;
  for (const auto& [record, data] : contents) records.push_back({record, Bytes(data)});
  WriteZip(name, records);
  std::ifstream in(name, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  fs::remove(name);
  return bytes.str();
}

std::string Changed(std::string bytes, std::size_t at, const std::string& with) {
  return bytes.replace(at, with.size(), with);
}

void ExpectRefused(const std::string& bytes, ErrorCode code, const std::string& part) {
  try {
    ReadZip(Bytes(bytes), "FILE");
    ADD_FAILURE() << "was taken; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("FILE: ")) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

class Zip : public ::testing::Test {
 protected:
  const std::string file_ = Written({{"a", "first"}, {"b", std::string(100, 'x')}});
  const std::size_t directory_ = file_.find("PK\1\2");
  const std::size_t second_ = file_.find("PK\1\2", directory_ + 1);
  const std::size_t end_ = file_.find("PK\5\6");
};

TEST_F(Zip, ReadsWhatItWrites) {
  const std::vector<ZipRecord> records = ReadZip(Bytes(file_), "FILE");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].name, "a");
  EXPECT_EQ(records[0].data.size(), 5u);
  EXPECT_EQ(records[0].crc, Crc32(Bytes("first")));
  EXPECT_TRUE(ChecksumHolds(records[1]));
  EXPECT_TRUE(LooksLikeZip(Bytes(file_)));
  EXPECT_TRUE(ReadZip(Bytes(Written({})), "FILE").empty());
}

TEST_F(Zip, ChecksumsAreThoseOfZip) {
  EXPECT_EQ(Crc32({}), 0u);
  EXPECT_EQ(Crc32(Bytes("123456789")), 0xcbf43926u);
  const std::string text = "The quick brown fox jumps over the lazy dog";
  EXPECT_EQ(Crc32(Bytes(text)), 0x414fa339u);
  EXPECT_EQ(Crc32(Bytes(text).subspan(11), Crc32(Bytes(text).first(11))), 0x414fa339u);
}

TEST_F(Zip, DirectoriesThatLie) {
  const std::string full(4, '\xff');
  const auto bad = [&](std::size_t at, const std::string& with, const std::string& part) {
    ExpectRefused(Changed(file_, at, with), ErrorCode::kBadFormat, part);
  };
  bad(end_, "XX", "no end record");
  bad(end_ + 20, "\1", "no end record");
  bad(end_ + 16, "\xfe", "directory");
  bad(end_ + 12, std::string("\xff\xff", 2), "beyond the end");
  bad(end_ + 8, std::string("\3\0\3\0", 4), "directory");
  bad(end_ + 8, std::string("\1\0\1\0", 4), "larger than its entries");
  bad(end_ + 16, full, "zip64 end record is missing");
  bad(directory_, "X", "something else stands in its place");
  bad(directory_ + 28, "\xff", "cut off");
  bad(directory_ + 24, "\6", "two sizes");
  bad(directory_ + 24, full, "no zip64 field");
  bad(directory_ + 42, "\1", "not where the directory says");
  bad(directory_ + 42, std::string("\xff\xff\xff\x0f", 4), "beyond the end");
  bad(directory_ + 46, "c", "another one in its own header");
  bad(0 + 30, "c", "another one in its own header");
  bad(0 + 22, "\6", "another one in its own header");
  bad(0 + 8, "\x8", "another one in its own header");
  // Both sizes of the second record, in both places: it would end behind the directory's begin.
  std::string longer = Changed(file_, second_ + 20, std::string("\xff\0\0\0\xff\0\0\0", 8));
  ExpectRefused(longer, ErrorCode::kBadFormat, "beyond the end");
}

TEST_F(Zip, NoByteBelongsToTwoRecords) {
  // The second entry a copy of the first.
  std::string twice = file_;
  twice.replace(second_, end_ - second_, file_.substr(directory_, second_ - directory_));
  ExpectRefused(twice, ErrorCode::kBadFormat, "overlaps");
  ExpectRefused(Written({{"a", ""}, {"a", ""}}), ErrorCode::kBadFormat, "two records");
}

TEST_F(Zip, WhatIsNotSupportedIsNamed) {
  ExpectRefused(Changed(file_, directory_ + 8, "\1"), ErrorCode::kUnsupported,
                "record \"a\" is encrypted");
  ExpectRefused(Changed(file_, end_ + 4, "\1"), ErrorCode::kUnsupported, "several parts");
  ExpectRefused(Changed(file_, directory_ + 34, "\1"), ErrorCode::kUnsupported, "several parts");
}

}  // namespace
}  // namespace cpl
