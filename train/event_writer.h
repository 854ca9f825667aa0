// SPDX-License-Identifier: Apache-2.0
//
// Event files for TensorBoard: records of TFRecord (length, masked CRC32-C of the length, data,
// masked CRC32-C of the data; all little-endian), each an `Event` of TensorFlow's event.proto, of
// which the handful of fields below is written by hand. bench/check_events.py reads them back with
// TensorBoard itself. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

namespace cpl::train {

// CRC32-C (Castagnoli) of the bytes.
std::uint32_t Crc32c(const void* data, std::size_t size);

class EventWriter {
 public:
  // Opens a new file of its own in `folder`: events.out.tfevents.TIME.HOST.PID.NUMBER. What earlier
  // files say of steps after `first_step` is marked as taken back, since a training that goes on
  // from a checkpoint makes those steps again. Throws Error(kCannotWrite).
  EventWriter(const std::string& folder, std::int64_t first_step);

  void Scalar(const std::string& tag, std::int64_t step, double value);
  void Text(const std::string& tag, std::int64_t step, const std::string& text);
  // `png` holds a PNG file of this size in pixels.
  void Image(const std::string& tag, std::int64_t step, int width, int height,
             const std::string& png);

  // Throws Error(kCannotWrite).
  void Flush();

  const std::string& path() const { return path_; }

 private:
  void Summary(std::int64_t step, const std::string& value);
  void Record(const std::string& event);

  std::string path_;
  std::ofstream file_;
};

}  // namespace cpl::train
