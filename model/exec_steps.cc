// SPDX-License-Identifier: Apache-2.0
#include "model/exec_steps.h"

namespace cpl::exec {

std::vector<LiveStep> LiveSteps(const LiveConfig& config) {
  const std::vector<ConvShape> shapes = config.Convs();
  std::vector<LiveStep> steps;
  std::size_t next = 0;
  const auto conv = [&](std::vector<int> in, bool relu = false, int add = LiveStep::kNone) {
    LiveStep& step = steps.emplace_back();
    for (std::size_t i = 0; i < in.size(); ++i) step.convs.push_back(shapes[next++]);
    step.in = std::move(in);
    step.relu = relu;
    step.add = add;
    return static_cast<int>(steps.size()) - 1;
  };
  const auto pairs = [&](int picture, int count) {
    for (int i = 0; i < count; ++i) {
      const int hidden = conv({picture}, true);
      picture = conv({hidden}, false, picture);
    }
    return picture;
  };
  const int last = config.levels() - 1;
  std::vector<int> skips;
  int y = conv({LiveStep::kX, LiveStep::kSide});
  for (int l = 0; l <= last; ++l) {
    if (l > 0) y = conv({y});
    y = pairs(y, config.encoder[l]);
    skips.push_back(y);
  }
  for (int l = last - 1; l >= 0; --l) {
    y = pairs(conv({y}, false, skips[l]), config.decoder[l]);
    if (l == kFieldLevel) conv({y});
  }
  if (last <= kFieldLevel) conv({skips[last]});
  y = conv({y}, true);
  conv({y});
  return steps;
}

}  // namespace cpl::exec
