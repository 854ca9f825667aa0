// SPDX-License-Identifier: Apache-2.0
#include "model/batch_net.h"

#include "model/device_weights.h"

namespace cpl {

BatchNet::BatchNet(DeviceModel& model, const BatchKind& kind, int capacity)
    : model_(model),
      device_(model.gpu()),
      folded_(model.Folded(kind.prompt)),
      stream_(device_.NewStream()),
      done_(device_.NewEvent()) {
  const OnStream on(device_, stream_);
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(model.torch_device());
  const auto type = floats.dtype(model.scalar_type());
  const std::int64_t across = kind.across, down = kind.down;
  features_ =
      at::zeros({capacity, down / kMotionScale, across / kMotionScale, kMotionInputs}, floats);
  blend_ = at::zeros({capacity, down, across, kCellChannels}, type);
  side_ = at::zeros({capacity, down, across, kSideChannels}, type);
  cond_ = at::zeros({capacity, model.config().conditioning}, floats);
}

void BatchNet::Prepare(int count) {
  Graphs& graphs = graphs_[count];
  graphs.head_work.Prepare(device_, stream_,
                           [this, &graphs, count](cuda::Stream) { RunHead(&graphs, count); });
  graphs.net_work.Prepare(device_, stream_,
                          [this, &graphs, count](cuda::Stream) { RunNet(&graphs, count); });
}

void BatchNet::RunHead(Graphs* graphs, int count) const {
  const at::Tensor features = features_.narrow(0, 0, count).permute({0, 3, 1, 2});
  const at::Tensor cond = cond_.narrow(0, 0, count);
  const at::Tensor hidden = RunConv(folded_.motion[0], features, cond, {.relu = true});
  graphs->head =
      RunConv(folded_.motion[1], hidden, cond).contiguous(at::MemoryFormat::ChannelsLast);
}

void BatchNet::RunNet(Graphs* graphs, int count) const {
  const auto cells = [count](const at::Tensor& all) {
    return all.narrow(0, 0, count).permute({0, 3, 1, 2});
  };
  graphs->net = RunInStrips(device_, model_.config(), folded_, cells(blend_), cells(side_),
                            cond_.narrow(0, 0, count), 1);
}

// The index-th frame's passes read and write its part of the batch.
cuda::Recurrence BatchNet::Slot(const BatchFrame& frame, const Graphs& graphs,
                                std::int64_t index) const {
  const auto at = [index](const at::Tensor& all) {
    return static_cast<std::uint8_t*>(all.data_ptr()) +
           index * all.stride(0) * static_cast<std::int64_t>(all.element_size());
  };
  cuda::Recurrence r = frame.recurrence;
  r.features = reinterpret_cast<float*>(at(features_));
  r.head = reinterpret_cast<const float*>(at(graphs.head));
  r.blend = at(blend_);
  r.side = at(side_);
  r.output = at(graphs.net.output);
  r.field = at(graphs.net.field);
  return r;
}

void BatchNet::Run(const std::vector<const BatchFrame*>& frames) {
  const cuda::Kernels& kernels = device_.kernels();
  const auto count = static_cast<int>(frames.size());
  Graphs& graphs = graphs_.at(count);
  const auto slot = [&](int i) { return Slot(*frames[static_cast<std::size_t>(i)], graphs, i); };
  // What the streams own was allocated on their streams and is used on this one: it is safe there,
  // since they wait for it below, and free nothing before they have waited for their own.
  const OnStream on(device_, stream_);
  for (int i = 0; i < count; ++i) {
    const BatchFrame& frame = *frames[static_cast<std::size_t>(i)];
    frame.ready->HoldBack(stream_);
    cond_.narrow(0, i, 1).copy_(frame.cond);
    Launched(kernels.motion(slot(i), stream_));
  }
  // Results may lie elsewhere after each run where nothing could be captured: slots are made anew.
  graphs.head_work.Run(device_, stream_,
                       [this, &graphs, count](cuda::Stream) { RunHead(&graphs, count); });
  for (int i = 0; i < count; ++i) {
    Launched(kernels.keep(slot(i), stream_));
    Launched(kernels.blend(slot(i), stream_));
  }
  graphs.net_work.Run(device_, stream_,
                      [this, &graphs, count](cuda::Stream) { RunNet(&graphs, count); });
  for (int i = 0; i < count; ++i) Launched(kernels.finish(slot(i), stream_));
  done_->Record(stream_);
  for (const BatchFrame* frame : frames) done_->HoldBack(frame->stream);
}

}  // namespace cpl
