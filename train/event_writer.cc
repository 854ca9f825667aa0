// SPDX-License-Identifier: Apache-2.0
#include "train/event_writer.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "cpl/error.h"

namespace cpl::train {
namespace {

// Field numbers of event.proto and summary.proto.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
constexpr int kSummaryValue = 1;
constexpr int kTag = 1, kSimpleValue = 2, kImage = 4, kTensor = 8, kValueMetadata = 9;
constexpr int kPluginData = 1, kPluginName = 1;
constexpr int kHeight = 1, kWidth = 2, kColorspace = 3, kEncodedImage = 4;
constexpr int kTensorType = 1, kTensorShape = 2, kStringValue = 8;
constexpr int kSessionStatus = 1, kSessionStart = 1;
constexpr int kDtString = 7;

// Wire types of Protocol Buffers.
constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

void PutVarint(std::string& to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

void PutKey(std::string& to, int field, int wire) {
  PutVarint(to, static_cast<std::uint64_t>(field) << 3 | static_cast<unsigned>(wire));
}

void PutInt(std::string& to, int field, std::int64_t value) {
  PutKey(to, field, kVarint);
  PutVarint(to, static_cast<std::uint64_t>(value));
}

template <typename Unsigned>
void PutLittleEndian(std::string& to, Unsigned bits) {
  for (std::size_t i = 0; i < sizeof(bits); ++i) to += static_cast<char>(bits >> (8 * i));
}

void PutDouble(std::string& to, int field, double value) {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  PutKey(to, field, kFixed64);
  PutLittleEndian(to, bits);
}

void PutFloat(std::string& to, int field, float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  PutKey(to, field, kFixed32);
  PutLittleEndian(to, bits);
}

void PutBytes(std::string& to, int field, const std::string& value) {
  PutKey(to, field, kBytes);
  PutVarint(to, value.size());
  to += value;
}

// TFRecord's guard against a checksum that is stored within what it sums.
std::uint32_t Masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

double WallTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string EventHead(std::int64_t step) {
  std::string event;
  PutDouble(event, kWallTime, WallTime());
  PutInt(event, kStep, step);
  return event;
}

}  // namespace

std::uint32_t Crc32c(const void* data, std::size_t size) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0x82f63b78u : 0);
      table[i] = value;
    }
    return table;
  }();
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::uint32_t crc = 0xffffffffu;
  for (std::size_t i = 0; i < size; ++i) crc = (crc >> 8) ^ kTable[(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

EventWriter::EventWriter(const std::string& folder, std::int64_t first_step) {
  static std::atomic<int> number = 0;
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  path_ = (std::filesystem::path(folder) /
           ("events.out.tfevents." + std::to_string(static_cast<std::int64_t>(WallTime())) + "." +
            host + "." + std::to_string(getpid()) + "." + std::to_string(number++)))
              .string();
  file_.open(path_, std::ios::binary | std::ios::trunc);
  std::string event;
  PutDouble(event, kWallTime, WallTime());
  PutBytes(event, kFileVersion, "brain.Event:2");
  Record(event);
  if (first_step > 0) {
    std::string session;
    PutInt(session, kSessionStatus, kSessionStart);
    event = EventHead(first_step + 1);
    PutBytes(event, kSessionLog, session);
    Record(event);
  }
  Flush();
}

void EventWriter::Record(const std::string& event) {
  std::string length, guard;
  PutLittleEndian(length, static_cast<std::uint64_t>(event.size()));
  PutLittleEndian(guard, Masked(Crc32c(length.data(), length.size())));
  file_ << length << guard << event;
  guard.clear();
  PutLittleEndian(guard, Masked(Crc32c(event.data(), event.size())));
  file_ << guard;
}

void EventWriter::Summary(std::int64_t step, const std::string& value) {
  std::string summary;
  PutBytes(summary, kSummaryValue, value);
  std::string event = EventHead(step);
  PutBytes(event, kSummary, summary);
  Record(event);
}

void EventWriter::Scalar(const std::string& tag, std::int64_t step, double value) {
  std::string entry;
  PutBytes(entry, kTag, tag);
  PutFloat(entry, kSimpleValue, static_cast<float>(value));
  Summary(step, entry);
}

void EventWriter::Text(const std::string& tag, std::int64_t step, const std::string& text) {
  // A tensor of strings without dimensions, marked as the text plugin's.
  std::string tensor, plugin, metadata, entry;
  PutInt(tensor, kTensorType, kDtString);
  PutBytes(tensor, kTensorShape, "");
  PutBytes(tensor, kStringValue, text);
  PutBytes(plugin, kPluginName, "text");
  PutBytes(metadata, kPluginData, plugin);
  PutBytes(entry, kTag, tag);
  PutBytes(entry, kTensor, tensor);
  PutBytes(entry, kValueMetadata, metadata);
  Summary(step, entry);
}

void EventWriter::Image(const std::string& tag, std::int64_t step, int width, int height,
                        const std::string& png) {
  std::string image, entry;
  PutInt(image, kHeight, height);
  PutInt(image, kWidth, width);
  PutInt(image, kColorspace, 3);
  PutBytes(image, kEncodedImage, png);
  PutBytes(entry, kTag, tag);
  PutBytes(entry, kImage, image);
  Summary(step, entry);
}

void EventWriter::Flush() {
  if (!file_.flush()) {
    throw Error(ErrorCode::kCannotWrite, path_ + ": cannot write (disk full?)");
  }
}

}  // namespace cpl::train
