// SPDX-License-Identifier: Apache-2.0
#include "train/init_from.h"

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/model_file.h"
#include "model/safetensors.h"

namespace cpl::train {

Parameters WeightsToStartFrom(const std::string& from, const TensorShapes& shapes,
                              const std::string& config) {
  const std::string path = FindModel(from);
  const SafetensorsFile file = SafetensorsFile::Open(path);
  const auto entry = file.metadata().find("config");
  std::string stored = entry == file.metadata().end() ? "none" : entry->second;
  // Files may lack what was added to the format later.
  const auto architecture = file.metadata().find("architecture");
  if (architecture != file.metadata().end() && architecture->second == "live") {
    stored = LiveConfig::FromJson(stored).ToJson();
  }
  if (stored != config) {
    throw Error(ErrorCode::kInvalidArgument,
                path + ": 'init.from' names a model of another network than [model] describes: " +
                    stored + " instead of " + config);
  }
  const bool averaged = file.Find(kEmaPrefix + shapes.front().first) != nullptr;
  return ReadParameters(file, shapes, averaged ? kEmaPrefix : "");
}

}  // namespace cpl::train
