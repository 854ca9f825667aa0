// SPDX-License-Identifier: Apache-2.0
#include "model/live_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cpl/error.h"

namespace cpl {
namespace {

using nlohmann::json;

[[noreturn]] void Bad(const std::string& what) { throw Error(ErrorCode::kBadFormat, what); }

int ReadInt(const json& object, const char* key, int low, int high) {
  const auto it = object.find(key);
  if (it == object.end()) Bad(std::string("its config has no '") + key + "'");
  if (!it->is_number_integer()) Bad(std::string("config '") + key + "' is no integer");
  const auto value = it->get<std::int64_t>();
  if (value < low || value > high) {
    Bad(std::string("config '") + key + "' is " + std::to_string(value) + ", expected " +
        std::to_string(low) + ".." + std::to_string(high));
  }
  return static_cast<int>(value);
}

std::vector<int> ReadInts(const json& object, const char* key, std::size_t count, int low,
                          int high) {
  const auto it = object.find(key);
  if (it == object.end()) Bad(std::string("its config has no '") + key + "'");
  if (!it->is_array() || (count > 0 && it->size() != count) || it->empty() || it->size() > 8) {
    Bad(std::string("config '") + key + "' has the wrong number of entries");
  }
  std::vector<int> values;
  for (const json& entry : *it) {
    if (!entry.is_number_integer()) Bad(std::string("config '") + key + "' holds no integers");
    const auto value = entry.get<std::int64_t>();
    if (value < low || value > high) {
      Bad(std::string("config '") + key + "' holds " + std::to_string(value) + ", expected " +
          std::to_string(low) + ".." + std::to_string(high));
    }
    values.push_back(static_cast<int>(value));
  }
  return values;
}

// Whether it is the second. Files of before there was a choice have no such key: the first.
bool ReadChoice(const json& object, const char* key, const std::string& first,
                const std::string& second) {
  const auto it = object.find(key);
  if (it == object.end() || *it == first) return false;
  if (*it == second) return true;
  Bad(std::string("config '") + key + "' is " + it->dump() + ", expected \"" + first + "\" or \"" +
      second + "\"");
}

std::string Name(const std::string& stem, int level, int index, int conv) {
  return stem + std::to_string(level) + "." + std::to_string(index) + ".conv" +
         std::to_string(conv);
}

void AddPairs(std::vector<ConvShape>& convs, const std::string& stem, int level, int count,
              int channels) {
  for (int i = 0; i < count; ++i) {
    convs.push_back({Name(stem, level, i, 1), channels, channels, 3, 1, true, true});
    convs.push_back({Name(stem, level, i, 2), channels, channels, 3, 1, true, false});
  }
}

}  // namespace

LiveConfig LiveConfig::FromJson(const std::string& text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) Bad("its config is no JSON object");
  static constexpr const char* kKeys[] = {
      "channels",       "encoder",        "decoder",        "conditioning", "router_channels",
      "router_patches", "router_pooling", "prompt_weights", "tone",         "framework",
      "top_k"};
  for (const auto& [key, value] : object.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      Bad("config key '" + key + "' is unknown to this version");
    }
  }
  LiveConfig config;
  config.channels = ReadInts(object, "channels", 0, 4, 512);
  const std::size_t levels = config.channels.size();
  if (levels < 3 || levels > 6) Bad("config 'channels' must name 3 to 6 levels");
  config.encoder = ReadInts(object, "encoder", levels, 0, 16);
  config.decoder = ReadInts(object, "decoder", levels - 1, 0, 16);
  config.conditioning = ReadInt(object, "conditioning", 1, 256);
  config.router_channels = ReadInts(object, "router_channels", 3, 4, 256);
  config.router_patches = ReadInt(object, "router_patches", 1, 64);
  config.top_k = ReadInt(object, "top_k", 1, 64);
  if (ReadChoice(object, "router_pooling", "features", "logits")) {
    config.router_pooling = RouterPooling::kLogits;
  }
  if (ReadChoice(object, "prompt_weights", "gains", "full")) {
    config.prompt_weights = PromptWeights::kFull;
  }
  const auto tone = object.find("tone");
  if (tone != object.end()) {
    if (!tone->is_boolean()) Bad("config 'tone' is neither true nor false");
    config.tone = tone->get<bool>();
  }
  const auto framework = object.find("framework");
  if (framework == object.end() || !framework->is_string()) Bad("its config has no 'framework'");
  config.framework = framework->get<std::string>();
  if (config.framework != "cpl" && config.framework != "prompt" &&
      config.framework != "end_to_end") {
    Bad("config 'framework' is '" + config.framework + "', expected cpl, prompt or end_to_end");
  }
  return config;
}

std::string LiveConfig::ToJson() const {
  json object = {{"channels", channels},
                 {"encoder", encoder},
                 {"decoder", decoder},
                 {"conditioning", conditioning},
                 {"router_channels", router_channels},
                 {"router_patches", router_patches},
                 {"framework", framework},
                 {"top_k", top_k}};
  if (router_pooling == RouterPooling::kLogits) object["router_pooling"] = "logits";
  if (prompt_weights == PromptWeights::kFull) object["prompt_weights"] = "full";
  if (tone) object["tone"] = true;
  return object.dump();
}

std::vector<ConvShape> LiveConfig::Convs() const {
  std::vector<ConvShape> convs;
  const int last = levels() - 1;
  convs.push_back({"stem", kCellChannels, channels[0], 3, 1, true, true});
  convs.push_back({"stem_state", kSideChannels, channels[0], 1, 1, true, false});
  AddPairs(convs, "encoder", 0, encoder[0], channels[0]);
  for (int l = 1; l <= last; ++l) {
    convs.push_back({"down" + std::to_string(l), channels[l - 1], channels[l], 2, 2, true, false});
    AddPairs(convs, "encoder", l, encoder[l], channels[l]);
  }
  for (int l = last - 1; l >= 0; --l) {
    convs.push_back(
        {"up" + std::to_string(l), channels[l + 1], channels[l] * 4, 1, 1, true, false});
    AddPairs(convs, "decoder", l, decoder[l], channels[l]);
    if (l == kFieldLevel) {
      convs.push_back({"field", channels[l], kFieldChannels, 1, 1, true, tone});
    }
  }
  // A network too shallow for the field's level predicts it from its deepest one.
  if (last <= kFieldLevel) {
    convs.push_back({"field", channels[last], kFieldChannels, 1, 1, true, tone});
  }
  convs.push_back({"head", channels[0], channels[0], 3, 1, true, true});
  convs.push_back({"output", channels[0], kOutputChannels, 3, 1, true, tone, kCellChannels,
                   kOutputChannels - kCellChannels});
  return convs;
}

std::vector<ConvShape> LiveConfig::MotionConvs() const {
  return {{"motion.conv1", kMotionInputs, kMotionChannels, 3, 1, true, true},
          {"motion.conv2", kMotionChannels, kMotionOutputs, 3, 1, true, false, 0, kMotionOutputs}};
}

std::vector<ConvShape> LiveConfig::HeadConvs(const std::string& head) const {
  return {{head + ".conv1", kCellChannels, router_channels[0], 2, 2},
          {head + ".conv2", router_channels[0], router_channels[1], 3, 2},
          {head + ".conv3", router_channels[1], router_channels[2], 3, 2}};
}

double LiveConfig::MacsPerPixel(int width, int height) const {
  const auto padded = [&](int pixels) {
    const int cells = (pixels + 1) / 2;
    return (cells + stride() - 1) / stride() * stride();
  };
  const double cells = static_cast<double>(padded(width)) * padded(height);
  double macs = 0;
  for (const ConvShape& conv : Convs()) {
    int level = 0;  // where the convolution's output lives
    if (conv.name.starts_with("encoder") || conv.name.starts_with("decoder")) {
      level = conv.name[7] - '0';
    } else if (conv.name.starts_with("down")) {
      level = conv.name[4] - '0';
    } else if (conv.name.starts_with("up")) {
      level = conv.name[2] - '0' + 1;
    } else if (conv.name == "field") {
      level = std::min(kFieldLevel, levels() - 1);
    }
    macs += cells / (1 << (2 * level)) * conv.in * conv.out * conv.kernel * conv.kernel;
  }
  for (const ConvShape& conv : MotionConvs()) {
    macs += cells / (kMotionScale * kMotionScale) * conv.in * conv.out * conv.kernel * conv.kernel;
  }
  const int tiles =
      std::max(1, (width + 1) / 2 / kRouterPatch) * std::max(1, (height + 1) / 2 / kRouterPatch);
  double head = 0;
  int side = kRouterPatch;
  for (const ConvShape& conv : HeadConvs("router")) {
    side /= conv.stride;
    head += static_cast<double>(side) * side * conv.in * conv.out * conv.kernel * conv.kernel;
  }
  macs += 2 * head * std::min(tiles, router_patches);
  return macs / (static_cast<double>(width) * height);
}

}  // namespace cpl
