// SPDX-License-Identifier: Apache-2.0
#include "model/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "cpl/error.h"
#include "model/quote.h"

static_assert(sizeof(std::size_t) == 8, "offsets are 64 bits");

namespace cpl {
namespace {

using Json = nlohmann::json;

std::optional<DType> DTypeFromName(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    if (name == DTypeName(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  return std::nullopt;
}

// A tensor as the header has it, not yet held against the data.
struct Entry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::array<std::uint64_t, 2> offsets{};
};

// Takes the header's JSON event by event, so that nothing is built that the format does not have,
// however the text is nested.
class HeaderHandler : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderHandler(const std::string& file) : file_(file) {}

  TensorMetadata metadata;
  std::vector<Entry> entries;

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop) {
      if (key_ == kSafetensorsMetadataKey) {
        if (std::exchange(metadata_seen_, true)) Bad("two entries \"__metadata__\"");
        place_ = Place::kMetadata;
      } else {
        entries.emplace_back().name = key_;
        seen_ = {};
        place_ = Place::kEntry;
      }
    } else {
      BadValue("an object");
    }
    return true;
  }

  bool key(std::string& text) override {
    key_ = std::move(text);
    if (place_ == Place::kEntry) {
      const auto field = std::find(kFields.begin(), kFields.end(), key_);
      if (field == kFields.end()) Bad(Where() + " has an unknown field " + QuoteForError(key_));
      field_ = static_cast<std::size_t>(field - kFields.begin());
      if (std::exchange(seen_[field_], true))
        Bad(Where() + " has two fields " + QuoteForError(key_));
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kEntry) {
      for (std::size_t i = 0; i < kFields.size(); ++i) {
        if (!seen_[i]) Bad(Where() + " has no field " + QuoteForError(kFields[i]));
      }
    }
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kEntry || field_ == kDTypeField) BadValue("an array");
    place_ = field_ == kShapeField ? Place::kShape : Place::kOffsets;
    offsets_read_ = 0;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_read_ != 2) BadOffsets();
    place_ = Place::kEntry;
    return true;
  }

  bool string(std::string& text) override {
    if (place_ == Place::kMetadata) {
      if (!metadata.emplace(std::move(key_), std::move(text)).second) {
        Bad("two metadata of one name");
      }
    } else if (place_ == Place::kEntry && field_ == kDTypeField) {
      const std::optional<DType> dtype = DTypeFromName(text);
      if (!dtype) Bad(Where() + " has the unknown data type " + QuoteForError(text));
      entries.back().dtype = *dtype;
    } else {
      BadValue("a string");
    }
    return true;
  }

  bool number_unsigned(Json::number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        Bad(Where() + " has a dimension of " + std::to_string(value));
      }
      entries.back().shape.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::kOffsets) {
      if (offsets_read_ >= 2) BadOffsets();
      entries.back().offsets[offsets_read_++] = value;
    } else {
      BadValue("a number");
    }
    return true;
  }

  // Signed ones come here only with a minus sign.
  bool number_integer(Json::number_integer_t) override { BadValue("a negative number"); }
  bool number_float(Json::number_float_t, const std::string& text) override {
    BadValue("the number " + QuoteForError(text));
  }
  bool null() override { BadValue("null"); }
  bool boolean(bool) override { BadValue("a boolean"); }
  bool binary(Json::binary_t&) override { BadValue("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    Bad("the header is not valid JSON (at its byte " + std::to_string(position) + ")");
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kEntry, kShape, kOffsets, kEnd };
  static constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};
  static constexpr std::size_t kDTypeField = 0;
  static constexpr std::size_t kShapeField = 1;

  [[noreturn]] void Bad(const std::string& what) const {
    throw Error(ErrorCode::kBadFormat, file_ + ": " + what);
  }

  [[noreturn]] void BadOffsets() const { Bad(Where() + " does not have exactly two data offsets"); }

  [[noreturn]] void BadValue(const std::string& found) const {
    switch (place_) {
      case Place::kMetadata:
        Bad("metadata " + QuoteForError(key_) + " is " + found + " where a string belongs");
      case Place::kTop:
        Bad("entry " + QuoteForError(key_) + " is " + found + " where an object belongs");
      case Place::kEntry:
      case Place::kShape:
      case Place::kOffsets:
        Bad(Where() + " has " + found + " in its field " + QuoteForError(kFields[field_]));
      default:
        Bad("the header is " + found + " where an object belongs");
    }
  }

  std::string Where() const { return "tensor " + QuoteForError(entries.back().name); }

  const std::string& file_;
  Place place_ = Place::kStart;
  std::string key_;
  bool metadata_seen_ = false;
  std::array<bool, 3> seen_{};
  std::size_t field_ = 0;
  std::size_t offsets_read_ = 0;
};

}  // namespace

SafetensorsHeader ParseSafetensorsHeader(std::span<const std::byte> bytes,
                                         const std::string& file) {
  const auto bad = [&file](const std::string& what) {
    throw Error(ErrorCode::kBadFormat, file + ": " + what);
  };
  if (bytes.empty()) bad("the file is empty");
  if (bytes.size() < kSafetensorsPrefix) bad("the file is too short to be a safetensors file");
  std::uint64_t length = 0;
  for (std::size_t i = kSafetensorsPrefix; i-- > 0;) {
    length = length << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  }
  if (length > kLongestSafetensorsHeader) {
    bad("not a safetensors file (its header would be " + std::to_string(length) + " bytes long)");
  }
  if (length > bytes.size() - kSafetensorsPrefix) {
    bad("the file is cut off within its header, or is not a safetensors file (header of " +
        std::to_string(length) + " bytes, file of " + std::to_string(bytes.size()) + ")");
  }
  const char* text = reinterpret_cast<const char*>(bytes.data() + kSafetensorsPrefix);
  if (length == 0 || text[0] != '{') {
    bad("not a safetensors file (its header does not begin with '{')");
  }

  // The parser would take a NUL for the end of the text, and whatever follows it for nothing.
  if (const void* nul = std::memchr(text, 0, length)) {
    bad("the header is not valid JSON (a NUL at its byte " +
        std::to_string(static_cast<const char*>(nul) - text + 1) + ")");
  }

  HeaderHandler handler(file);
  Json::sax_parse(text, text + length, &handler);

  std::vector<Entry>& entries = handler.entries;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  const std::span<const std::byte> data = bytes.subspan(kSafetensorsPrefix + length);
  SafetensorsHeader header{std::move(handler.metadata), {}};
  header.tensors.reserve(entries.size());
  std::uint64_t expected = 0;
  for (Entry& entry : entries) {
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    const auto bad_tensor = [&](const std::string& what) {
      bad("tensor " + QuoteForError(entry.name) + " " + what + " (offsets " +
          std::to_string(begin) + " to " + std::to_string(end) + " of " +
          std::to_string(data.size()) + " bytes of data)");
    };
    if (begin > end) bad_tensor("ends before it begins");
    if (end > data.size()) {
      bad_tensor("lies beyond the end of the file, which may have been cut off");
    }
    if (begin < expected) bad_tensor("overlaps another one");
    if (begin > expected) bad_tensor("leaves a gap before it");
    const std::optional<std::uint64_t> size = TensorBytes(entry.shape, entry.dtype);
    if (!size) bad_tensor("has a shape too large to exist");
    if (*size != end - begin) {
      bad_tensor("needs " + std::to_string(*size) + " bytes by its shape and type but has others");
    }
    expected = end;
    header.tensors.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape),
                              data.subspan(begin, end - begin)});
  }
  if (expected != data.size()) {
    bad(std::to_string(data.size() - expected) + " bytes at its end belong to no tensor");
  }
  return header;
}

std::string MakeSafetensorsHeader(const std::vector<const TensorView*>& tensors,
                                  const TensorMetadata& metadata) {
  std::string header = "{";
  if (!metadata.empty()) {
    header += Json(kSafetensorsMetadataKey).dump() + ":" + Json(metadata).dump();
  }
  std::uint64_t offset = 0;
  for (const TensorView* tensor : tensors) {
    const std::uint64_t end = offset + tensor->data.size();
    if (header.size() > 1) header += ",";
    header += Json(tensor->name).dump() + ":{\"dtype\":\"" + DTypeName(tensor->dtype) +
              "\",\"shape\":" + Json(tensor->shape).dump() + ",\"data_offsets\":[" +
              std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

}  // namespace cpl
