// SPDX-License-Identifier: Apache-2.0
#include "train/image_io.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <system_error>

#include "cpl/error.h"
#include "model/atomic_file.h"

namespace cpl::train {
namespace fs = std::filesystem;
namespace {

using Bytes = std::vector<unsigned char>;

constexpr std::array<std::string_view, 11> kExtensions = {
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pnm", ".jp2"};

std::string LowerExtension(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

Bytes ReadBytes(const std::string& path) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) throw Error(ErrorCode::kNotFound, path + ": no such file");
  if (fs::is_directory(status)) throw Error(ErrorCode::kCannotRead, path + ": is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw Error(ErrorCode::kCannotRead, path + ": cannot be read: " + std::strerror(errno));
  Bytes bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw Error(ErrorCode::kCannotRead, path + ": cannot be read to its end");
  if (bytes.empty()) throw Error(ErrorCode::kBadFormat, path + ": is empty");
  return bytes;
}

bool StartsLikeJpeg(const Bytes& b) {
  return b.size() > 3 && b[0] == 0xFF && b[1] == 0xD8 && b[2] == 0xFF;
}

// Follows the markers to the one that ends the picture. libjpeg only warns when it is missing and
// fills the rest of the picture with grey.
bool JpegIsWhole(const Bytes& b) {
  std::size_t i = 2;
  while (i + 1 < b.size()) {
    const unsigned char marker = b[i + 1];
    if (b[i] != 0xFF || marker == 0x00 || marker == 0xFF || (marker >= 0xD0 && marker <= 0xD7)) {
      ++i;  // coded pixels, fill bytes, or a restart within them
    } else if (marker == 0xD9) {
      return true;
    } else if (i + 3 < b.size()) {
      i += 2 + static_cast<std::size_t>(b[i + 2] << 8 | b[i + 3]);
    } else {
      break;
    }
  }
  return false;
}

bool StartsLikePng(const Bytes& b) {
  constexpr unsigned char kSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  return b.size() > 8 && std::equal(std::begin(kSignature), std::end(kSignature), b.begin());
}

// Follows the chunks to the last one, so that libpng need not say on stderr that it is missing.
bool PngIsWhole(const Bytes& b) {
  std::size_t i = 8;
  while (i + 12 <= b.size()) {
    if (std::equal(&b[i + 4], &b[i + 8], "IEND")) return true;
    const std::size_t length =
        static_cast<std::size_t>(b[i]) << 24 | b[i + 1] << 16 | b[i + 2] << 8 | b[i + 3];
    i += 12 + length;
  }
  return false;
}

cv::Mat Decode(const std::string& path, const Bytes& bytes, int flags) {
  const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1,
                       const_cast<unsigned char*>(bytes.data()));
  try {
    return cv::imdecode(buffer, flags);
  } catch (const cv::Exception& e) {
    throw Error(ErrorCode::kBadFormat, path + ": cannot be decoded as a picture: " + e.err);
  }
}

// Whatever OpenCV decodes, to 8-bit BGR or BGRA.
cv::Mat ToEightBitColour(const std::string& path, const cv::Mat& decoded) {
  cv::Mat image = decoded;
  if (image.depth() == CV_16U) {
    decoded.convertTo(image, CV_8U, 1.0 / 257);
  } else if (image.depth() != CV_8U) {
    throw Error(ErrorCode::kUnsupported,
                path + ": holds float or signed samples; convert it to 8 or 16 bits first");
  }
  if (image.channels() == 1) cv::cvtColor(image, image, cv::COLOR_GRAY2BGR);
  if (image.channels() != 3 && image.channels() != 4) {
    throw Error(ErrorCode::kUnsupported, path + ": holds " + std::to_string(image.channels()) +
                                             " channels; 1, 3 and 4 are known");
  }
  return image;
}

}  // namespace

cv::Mat ReadImage(const std::string& path, Alpha alpha, Orientation orientation) {
  const Bytes bytes = ReadBytes(path);
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(ErrorCode::kUnsupported, path + ": is larger than 2 GiB");
  }
  const bool jpeg = StartsLikeJpeg(bytes);
  if (jpeg && !JpegIsWhole(bytes)) {
    throw Error(ErrorCode::kBadFormat, path + ": this JPEG ends early (truncated?)");
  }
  if (StartsLikePng(bytes) && !PngIsWhole(bytes)) {
    throw Error(ErrorCode::kBadFormat, path + ": this PNG ends early (truncated?)");
  }
  // OpenCV turns pictures unless asked for them unchanged, which alpha and 16 bits need.
  const bool turn = jpeg && orientation == Orientation::kUpright;
  cv::Mat image = Decode(path, bytes, turn ? cv::IMREAD_COLOR : cv::IMREAD_UNCHANGED);
  if (image.empty()) {
    throw Error(ErrorCode::kBadFormat, path + ": is no picture that can be decoded, or is damaged");
  }
  image = ToEightBitColour(path, image);
  if (image.channels() == 3) {
    cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  } else {
    cv::cvtColor(image, image, alpha == Alpha::kKeep ? cv::COLOR_BGRA2RGBA : cv::COLOR_BGRA2RGB);
  }
  return image;
}

cv::Mat ReadRgb(const std::string& path) {
  return ReadImage(path, Alpha::kDrop, Orientation::kAsStored);
}

void WriteImage(const std::string& path, const cv::Mat& image) {
  const std::string extension = LowerExtension(path);
  if (!IsImageName(path)) {
    throw Error(
        ErrorCode::kUnsupported,
        path + ": no picture format has this extension; use .png, .jpg, .webp, .tif or .bmp");
  }
  const bool jpeg = extension == ".jpg" || extension == ".jpeg";
  const bool keeps_alpha =
      extension == ".png" || extension == ".webp" || extension == ".tif" || extension == ".tiff";
  cv::Mat stored;
  if (image.type() == CV_8UC4) {
    cv::cvtColor(image, stored, keeps_alpha ? cv::COLOR_RGBA2BGRA : cv::COLOR_RGBA2BGR);
  } else if (image.type() == CV_8UC3) {
    cv::cvtColor(image, stored, cv::COLOR_RGB2BGR);
  } else {
    throw Error(ErrorCode::kInvalidArgument, path + ": not a picture of 8-bit R, G, B to write");
  }
  if (extension == ".pgm") cv::cvtColor(stored, stored, cv::COLOR_BGR2GRAY);
  std::vector<int> options;
  if (jpeg) options = {cv::IMWRITE_JPEG_QUALITY, 95};
  if (extension == ".webp") options = {cv::IMWRITE_WEBP_QUALITY, 95};
  Bytes bytes;
  try {
    if (!cv::imencode(extension, stored, bytes, options)) bytes.clear();
  } catch (const cv::Exception& e) {
    throw Error(ErrorCode::kCannotWrite, path + ": cannot be encoded: " + e.err);
  }
  if (bytes.empty()) throw Error(ErrorCode::kCannotWrite, path + ": cannot be encoded");
  WriteFileAtomically(path,
                      std::string_view{reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

bool IsImageName(const std::string& path) {
  const std::string extension = LowerExtension(path);
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

bool IsImageFile(const std::string& path) {
  std::error_code ec;
  if (!fs::is_regular_file(path, ec)) return false;
  try {
    return cv::haveImageReader(path);
  } catch (const cv::Exception&) {
    return false;
  }
}

bool NaturalLess(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
      continue;
    }
    while (i < a.size() && a[i] == '0') ++i;
    while (j < b.size() && b[j] == '0') ++j;
    const std::size_t start_a = i, start_b = j;
    while (i < a.size() && digit(a[i])) ++i;
    while (j < b.size() && digit(b[j])) ++j;
    if (i - start_a != j - start_b) return i - start_a < j - start_b;
    const int order = a.compare(start_a, i - start_a, b, start_b, j - start_b);
    if (order != 0) return order < 0;
  }
  if ((i < a.size()) != (j < b.size())) return j < b.size();
  return a < b;  // "01" and "1": any fixed order
}

std::vector<std::string> ListImages(const std::string& folder) {
  std::error_code ec;
  if (!fs::exists(folder, ec)) throw Error(ErrorCode::kNotFound, folder + ": no such folder");
  if (!fs::is_directory(folder, ec)) {
    throw Error(ErrorCode::kCannotRead, folder + ": is not a folder");
  }
  std::vector<std::string> names;
  fs::directory_iterator it(folder, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name[0] != '.' && IsImageName(name) && it->is_regular_file(ignored)) names.push_back(name);
  }
  if (ec) throw Error(ErrorCode::kCannotRead, folder + ": cannot be read: " + ec.message());
  std::sort(names.begin(), names.end(), NaturalLess);
  for (std::string& name : names) name = (fs::path(folder) / name).string();
  return names;
}

FrameView ViewOf(cv::Mat& image) {
  if (image.type() != CV_8UC3 && image.type() != CV_8UC4) {
    throw Error(ErrorCode::kInvalidArgument, "not a picture of 8-bit R, G, B");
  }
  FrameView view;
  view.format = image.channels() == 4 ? PixelFormat::kRGBA : PixelFormat::kRGB;
  view.range = ColorRange::kFull;
  view.width = image.cols;
  view.height = image.rows;
  view.plane[0] = image.ptr<std::uint8_t>(0);
  view.stride[0] = static_cast<std::ptrdiff_t>(image.step[0]);
  return view;
}

}  // namespace cpl::train
