// SPDX-License-Identifier: Apache-2.0
//
// Frames in system memory on their way to a device and back. Rows go through pinned memory in a few
// pieces, so that while one piece is on the bus the CPU copies the next.
#pragma once

#include <memory>
#include <vector>

#include "cpl/frame.h"
#include "cuda/device.h"

namespace cpl {

// For one stream and one shape of frames at a time.
class DeviceFrame {
 public:
  // `memory`: `bytes` of device memory as BytesFor says, which must outlive this.
  DeviceFrame(cuda::Device& device, const ConstFrameView& like, void* memory);
  static std::size_t BytesFor(const ConstFrameView& like);

  // The frame on the device, on `stream`.
  FrameView View(cuda::Stream stream) const;

  // Puts a frame of the shape in system memory on its way; returns when `from` has been read.
  void Upload(const ConstFrameView& from, cuda::Stream stream);
  // Waits for what is in `stream`, and writes the frame's rows.
  void Download(const FrameView& to, cuda::Stream stream);

 private:
  struct Piece {
    int plane, row, rows;
  };

  cuda::Device& device_;
  FrameView view_;
  std::ptrdiff_t offset_[3] = {0, 0, 0};
  std::vector<Piece> pieces_;
  std::vector<std::unique_ptr<cuda::Event>> events_;  // of the pieces
  std::shared_ptr<void> pinned_;
};

}  // namespace cpl
