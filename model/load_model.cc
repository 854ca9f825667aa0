// SPDX-License-Identifier: Apache-2.0
#include <c10/core/InferenceMode.h>

#include "model/cuda_support.h"
#include "model/device_model.h"
#include "model/open_model.h"
#include "model/restore_call.h"
#include "model/state_dict.h"

namespace cpl {
namespace {

// What a file says it is; checkpoints of other programs say nothing, and are the paper's network
// if their tensors look like it.
bool IsPaperModel(const TensorFile& file) {
  const auto architecture = file.metadata().find("architecture");
  if (architecture != file.metadata().end()) return architecture->second == "sparse_prompt_ir";
  return InferSparsePromptIr(file).has_value();
}

}  // namespace

std::shared_ptr<Model> LoadModel(const std::string& path_or_name, const ModelOptions& options) {
  return Guarded("loading a model", [&]() -> std::shared_ptr<Model> {
    const c10::InferenceMode inference;
    const std::string path = FindModel(path_or_name);
    {
      const TensorFile file = TensorFile::Open(path);
      if (IsPaperModel(file)) {
        if (options.device == DeviceKind::kCuda) {
          return OpenDevicePaperModel(path, file, options, OpenCudaDevice(options.device_id));
        }
        return OpenPaperModel(path, file, options);
      }
    }
    if (options.device == DeviceKind::kCuda) {
      return OpenDeviceModel(path, options, OpenCudaDevice(options.device_id));
    }
    return OpenLiveModel(path, options);
  });
}

}  // namespace cpl
