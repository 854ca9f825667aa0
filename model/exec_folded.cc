// SPDX-License-Identifier: Apache-2.0
#include "model/exec_folded.h"

#include <deque>

#include "model/exec_calibrate.h"

namespace cpl::exec {
namespace {

// Plain arrays of tensors, for as long as it lives.
class Arrays {
 public:
  ConvArrays Conv(const at::Tensor& weight, const at::Tensor& bias, int stride,
                  const at::Tensor& cond = {}) {
    ConvArrays conv;
    conv.out = static_cast<int>(weight.size(0));
    conv.in = static_cast<int>(weight.size(1));
    conv.kernel = static_cast<int>(weight.size(2));
    conv.stride = stride;
    conv.weight = Floats(weight);
    conv.bias = Floats(bias);
    if (cond.defined()) conv.cond = Floats(cond);
    return conv;
  }

  std::vector<ConvArrays> Convs(const std::vector<FoldedConv>& convs) {
    std::vector<ConvArrays> arrays;
    for (const FoldedConv& conv : convs) {
      arrays.push_back(Conv(conv.weight, conv.bias, conv.stride, conv.cond));
    }
    return arrays;
  }

  DenseArrays FullyConnected(const Parameters& parameters, const std::string& name) {
    const at::Tensor& weight = parameters.Get(name + ".weight");
    return {static_cast<int>(weight.size(1)), static_cast<int>(weight.size(0)), Floats(weight),
            Floats(parameters.Get(name + ".bias"))};
  }

  HeadArrays Head(const LiveConfig& config, const Parameters& parameters, const std::string& name) {
    HeadArrays head;
    const std::vector<ConvShape> shapes = config.HeadConvs(name);
    for (std::size_t i = 0; i < head.convs.size(); ++i) {
      head.convs[i] = Conv(parameters.Get(shapes[i].name + ".weight"),
                           parameters.Get(shapes[i].name + ".bias"), shapes[i].stride);
    }
    head.hidden = FullyConnected(parameters, name + ".hidden");
    head.output = FullyConnected(parameters, name + ".output");
    if (config.tone && name == "conditioner") {
      head.tone_hidden = FullyConnected(parameters, name + ".tone.hidden");
      head.tone_output = FullyConnected(parameters, name + ".tone.output");
    }
    return head;
  }

 private:
  const float* Floats(const at::Tensor& tensor) {
    return held_.emplace_back(tensor.detach().to(at::kFloat).contiguous()).const_data_ptr<float>();
  }

  std::deque<at::Tensor> held_;
};

}  // namespace

PackedLive Pack(const LiveConfig& config, const FoldedNet& net, const Kernels& kernels,
                const LiveRanges& ranges) {
  Arrays arrays;
  return PackedLive(config, arrays.Convs(net.convs), arrays.Convs(net.motion), kernels, ranges);
}

RouterExecutor MakeRouter(const LiveConfig& config, const Parameters& parameters,
                          const Kernels& kernels) {
  Arrays arrays;
  return RouterExecutor(arrays.Head(config, parameters, "router"),
                        arrays.Head(config, parameters, "conditioner"), config.router_pooling,
                        kernels);
}

LiveRanges RangesFor(const LiveConfig& config, const Parameters& parameters, const FoldedNet& net,
                     const Kernels& kernels) {
  if (kernels.element != Element::kU8) return {};
  RouterExecutor router = MakeRouter(config, parameters);
  return Calibrate(config, Pack(config, net), router);
}

}  // namespace cpl::exec
