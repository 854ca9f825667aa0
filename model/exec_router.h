// SPDX-License-Identifier: Apache-2.0
//
// Runs the router and the conditioner, the two heads on patches of a frame. RunRouter in live_net.h
// defines what they compute. On one thread: a look is a few million multiply-adds.
#pragma once

#include <array>
#include <vector>

#include "model/exec_conv.h"
#include "model/live_config.h"
#include "model/tone.h"

namespace cpl::exec {

// Plain arrays of a fully connected layer.
struct DenseArrays {
  int in = 0;
  int out = 0;
  const float* weight = nullptr;  // [out][in]
  const float* bias = nullptr;    // [out]
};

struct HeadArrays {
  std::array<ConvArrays, 3> convs;  // LiveConfig::HeadConvs()
  DenseArrays hidden, output;
  DenseArrays tone_hidden, tone_output;  // empty where the head does not see the tone
};

class Dense {
 public:
  explicit Dense(const DenseArrays& arrays);  // copies them
  void Run(const float* in, float* out) const;
  int in() const { return in_; }
  int out() const { return static_cast<int>(bias_.size()); }

 private:
  int in_;
  std::vector<float> weight_, bias_;
};

// Two of them with ReLU between. One caller at a time.
class TwoLayers {
 public:
  TwoLayers(const DenseArrays& hidden, const DenseArrays& output);
  // The answer, [out()], valid until the next call.
  const std::vector<float>& Run(const float* in);
  int in() const { return hidden_.in(); }
  int out() const { return output_.out(); }

 private:
  Dense hidden_, output_;
  std::vector<float> unit_, answer_;
};

// One caller at a time.
class RouterExecutor {
 public:
  // Copies the arrays.
  RouterExecutor(const HeadArrays& router, const HeadArrays& conditioner, RouterPooling pooling,
                 const Kernels& kernels = BestKernels());

  int prompts() const { return heads_[0].layers.out(); }
  int conditioning() const { return heads_[1].layers.out(); }

  // patches: [count][kRouterPatch][kRouterPatch][12]; probabilities: [prompts()], the softmax of
  // the router's logits; cond: [conditioning()]. tone: of the frame, which only
  // some models look at.
  void Run(const float* patches, int count, const Tone& tone, float* probabilities, float* cond);

 private:
  struct Head {
    Head(const HeadArrays& arrays, RouterPooling pooling, const Kernels& kernels);
    void Run(const float* patches, int count, const float* tone, float* out);
    void Convolve(const float* patch);
    void AddFeatures();
    RouterPooling pooling;
    std::vector<PackedConv> convs;
    std::vector<std::vector<float>> biases;
    std::vector<Rows> pictures;     // the patch, and what each convolution makes of it
    TwoLayers layers, tone_layers;  // of the features, and of the tone: no outputs without one
    std::vector<float> features;
  };

  std::vector<Head> heads_;
};

}  // namespace cpl::exec
