// SPDX-License-Identifier: Apache-2.0
#include "train/model_options.h"

#include <sched.h>

#include <algorithm>

#include "cpl/error.h"
#include "model/cuda_support.h"

namespace cpl::train {

void AddModelArguments(CLI::App* command, ModelArguments* arguments) {
  command
      ->add_option("--model,-m", arguments->model,
                   "Model: a .safetensors file, or a name that is looked for in CPL_MODEL_PATH and "
                   "among the models that came with this program")
      ->type_name("FILE|NAME")
      ->capture_default_str();
  command->add_option("--device", arguments->device, "Where to compute: auto, cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  command
      ->add_option(
          "--precision", arguments->precision,
          "Arithmetic: fp32, bf16, fp16 (on a GPU), int8 (live models on a CPU with AVX2: faster "
          "than fp32, for a little quality), or auto: fp16 on a GPU, on a CPU the fastest of int8 "
          "(live models), bf16 and fp32")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "fp16", "int8"}))
      ->type_name("PRECISION")
      ->capture_default_str();
  command->add_option("--threads", arguments->threads, "CPU threads, 1..1024; 0 takes all")
      ->check(CLI::Range(0, 1024))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--tile", arguments->tile,
                   "With the paper's network only: work in overlapping tiles of so many pixels, "
                   "64..16384; 0 takes the picture as a whole, which is exact and needs about 1 KB "
                   "a pixel")
      ->check(CLI::Range(0, 16384))
      ->type_name("PIXELS")
      ->capture_default_str();
  command
      ->add_option("--degradation", arguments->degradation,
                   "What to remove: a prompt's name (cpl info lists them), or auto, which looks at "
                   "each frame")
      ->type_name("NAME")
      ->capture_default_str();
  command
      ->add_option("--bypass", arguments->bypass,
                   "auto passes on frames that need nothing as they are; off restores each")
      ->check(CLI::IsMember({"auto", "off"}))
      ->type_name("MODE")
      ->capture_default_str();
}

namespace {

// Of "cuda:N"; -1 for the other devices.
int DeviceId(const std::string& device) {
  if (device == "auto" || device == "cpu" || device == "cuda") return -1;
  const std::string number = device.starts_with("cuda:") ? device.substr(5) : "";
  if (number.empty() || number.size() > 3 ||
      number.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(ErrorCode::kInvalidArgument,
                "--device " + device + ": no such device; auto, cpu, cuda and cuda:N are known");
  }
  return std::stoi(number);
}

}  // namespace

std::shared_ptr<Model> LoadModel(const ModelArguments& arguments) {
  ModelOptions options;
  options.device_id = DeviceId(arguments.device);
  options.threads = arguments.threads;
  options.tile = arguments.tile;
  for (const Precision precision :
       {Precision::kFp32, Precision::kBf16, Precision::kFp16, Precision::kInt8}) {
    if (arguments.precision == PrecisionName(precision)) options.precision = precision;
  }
  if (arguments.device != "cpu") {
    options.device = DeviceKind::kCuda;
    if (arguments.device != "auto") return cpl::LoadModel(arguments.model, options);
    try {
      CheckCuda(options.device_id);
      return cpl::LoadModel(arguments.model, options);
    } catch (const Error& error) {
      // The CPU can do it all; what is wrong with the file is said below.
      if (error.code() != ErrorCode::kUnsupported && error.code() != ErrorCode::kNotFound) throw;
    }
    options.device = DeviceKind::kCpu;
  }
  return cpl::LoadModel(arguments.model, options);
}

RestoreParams ParamsFor(const ModelArguments& arguments, const ModelInfo& info) {
  RestoreParams params;
  params.bypass_clean = arguments.bypass == "auto";
  if (arguments.degradation == "auto") return params;
  const auto found = std::find(info.prompts.begin(), info.prompts.end(), arguments.degradation);
  if (found == info.prompts.end()) {
    std::string known = "auto";
    for (const std::string& prompt : info.prompts) known += ", " + prompt;
    throw Error(ErrorCode::kInvalidArgument, info.path + ": knows no degradation called '" +
                                                 arguments.degradation + "'; it knows " + known);
  }
  params.prompt = static_cast<int>(found - info.prompts.begin());
  return params;
}

int EffectiveThreads(int threads) {
  if (threads > 0) return threads;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace cpl::train
