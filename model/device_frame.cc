// SPDX-License-Identifier: Apache-2.0
#include "model/device_frame.h"

#include <algorithm>
#include <cstring>

namespace cpl {
namespace {

constexpr std::ptrdiff_t kPitch = 256;      // bytes; wide accesses take 16
constexpr std::ptrdiff_t kPiece = 1 << 20;  // bytes, about: smaller ones are all start and end

std::ptrdiff_t PitchOf(const FormatInfo& info, int plane, int width) {
  return (PlaneRowBytes(info, plane, width) + kPitch - 1) / kPitch * kPitch;
}

}  // namespace

std::size_t DeviceFrame::BytesFor(const ConstFrameView& like) {
  const FormatInfo info = FormatInfoOf(like.format);
  std::ptrdiff_t bytes = 0;
  for (int p = 0; p < info.planes; ++p) {
    bytes += PitchOf(info, p, like.width) * PlaneRows(info, p, like.height);
  }
  return static_cast<std::size_t>(bytes);
}

DeviceFrame::DeviceFrame(cuda::Device& device, const ConstFrameView& like, void* memory)
    : device_(device), pinned_(device.NewPinned(BytesFor(like))) {
  const FormatInfo info = FormatInfoOf(like.format);
  view_.format = like.format;
  view_.matrix = like.matrix;
  view_.range = like.range;
  view_.width = like.width;
  view_.height = like.height;
  view_.memory = MemoryKind::kCuda;
  std::ptrdiff_t at = 0;
  for (int p = 0; p < info.planes; ++p) {
    const int rows = PlaneRows(info, p, like.height);
    offset_[p] = at;
    view_.plane[p] = static_cast<std::uint8_t*>(memory) + at;
    view_.stride[p] = PitchOf(info, p, like.width);
    at += view_.stride[p] * rows;
    const int some = static_cast<int>(std::max<std::ptrdiff_t>(1, kPiece / view_.stride[p]));
    for (int row = 0; row < rows; row += some) {
      pieces_.push_back({p, row, std::min(some, rows - row)});
      events_.push_back(device.NewEvent());
    }
  }
}

FrameView DeviceFrame::View(cuda::Stream stream) const {
  FrameView view = view_;
  view.stream = stream;
  return view;
}

void DeviceFrame::Upload(const ConstFrameView& from, cuda::Stream stream) {
  const FormatInfo info = FormatInfoOf(view_.format);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    const std::ptrdiff_t pitch = view_.stride[piece.plane];
    const auto row_bytes = static_cast<std::size_t>(PlaneRowBytes(info, piece.plane, view_.width));
    // The piece may still be on its way from the last time.
    events_[i]->Wait();
    std::uint8_t* to =
        static_cast<std::uint8_t*>(pinned_.get()) + offset_[piece.plane] + pitch * piece.row;
    for (int y = 0; y < piece.rows; ++y) {
      std::memcpy(to + pitch * y,
                  from.plane[piece.plane] + from.stride[piece.plane] * (piece.row + y), row_bytes);
    }
    device_.Copy(view_.plane[piece.plane] + pitch * piece.row, to,
                 static_cast<std::size_t>(pitch * piece.rows), true, stream);
    events_[i]->Record(stream);
  }
}

void DeviceFrame::Download(const FrameView& to, cuda::Stream stream) {
  const FormatInfo info = FormatInfoOf(view_.format);
  const auto pinned = [&](const Piece& piece) {
    return static_cast<std::uint8_t*>(pinned_.get()) + offset_[piece.plane] +
           view_.stride[piece.plane] * piece.row;
  };
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    const std::ptrdiff_t pitch = view_.stride[piece.plane];
    device_.Copy(pinned(piece), view_.plane[piece.plane] + pitch * piece.row,
                 static_cast<std::size_t>(pitch * piece.rows), false, stream);
    events_[i]->Record(stream);
  }
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    const auto row_bytes = static_cast<std::size_t>(PlaneRowBytes(info, piece.plane, view_.width));
    events_[i]->Wait();
    for (int y = 0; y < piece.rows; ++y) {
      std::memcpy(to.plane[piece.plane] + to.stride[piece.plane] * (piece.row + y),
                  pinned(piece) + view_.stride[piece.plane] * y, row_bytes);
    }
  }
}

}  // namespace cpl
