// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "model/pth.h"
#include "model/safetensors.h"
#include "model/state_dict.h"
#include "train/commands.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

struct ConvertOptions {
  std::string in;
  std::string out;
  ModelDescription description;
  bool tensors_only = false;
};

bool IsPthName(const std::string& path) {
  const std::string ending = fs::path(path).extension().string();
  if (ending == ".pth" || ending == ".pt" || ending == ".ckpt") return true;
  if (ending == ".safetensors") return false;
  throw Error(
      ErrorCode::kInvalidArgument,
      path + ": the name must end in .safetensors, .pth, .pt or .ckpt: it says what to write");
}

void Convert(const ConvertOptions& options) {
  const bool to_pth = IsPthName(options.out);
  const TensorFile file = TensorFile::Open(options.in);
  const TensorMetadata metadata =
      options.tensors_only ? file.metadata() : DescribeModel(file, options.description);
  std::error_code error;
  if (fs::equivalent(options.in, options.out, error)) {
    throw Error(ErrorCode::kInvalidArgument,
                options.out + ": is the file that is read; choose another name");
  }
  if (to_pth) {
    WritePth(options.out, file.tensors(), metadata);
  } else {
    WriteSafetensors(options.out, file.tensors(), metadata);
  }
  std::printf("%s: %zu tensors", options.out.c_str(), file.tensors().size());
  for (const char* key : {"architecture", "framework", "prompts"}) {
    const auto found = metadata.find(key);
    if (found != metadata.end()) std::printf(", %s %s", key, found->second.c_str());
  }
  std::printf("\n");
}

}  // namespace

void AddConvertCommand(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = app.add_subcommand(
      "convert",
      "Turn a checkpoint of PyTorch (.pth) into a model file (.safetensors), or the other way");
  command->add_option("in", options->in, "A .pth or .safetensors file; its contents tell which")
      ->required()
      ->type_name("IN");
  command
      ->add_option("out", options->out, "The file to write; the end of its name tells which kind")
      ->required()
      ->type_name("OUT");
  CLI::Option* names =
      command
          ->add_option(
              "--prompt-names", options->description.prompts,
              "Names of its prompts, in order: noise,rain,haze (default: prompt0,prompt1,...)")
          ->delimiter(',')
          ->type_name("A,B,...");
  CLI::Option* framework =
      command
          ->add_option("--framework", options->description.framework,
                       "How a checkpoint that does not say it was trained: cpl (the default, one "
                       "prompt at a time) or prompt (all of them mixed)")
          ->check(CLI::IsMember({"cpl", "prompt", "end_to_end"}))
          ->type_name("NAME");
  CLI::Option* experts =
      command
          ->add_option("--num-expert", options->description.num_expert,
                       "Prompts that are mixed in a checkpoint that does not say it (default: 1)")
          ->check(CLI::Range(1, 64))
          ->type_name("N");
  command
      ->add_flag("--tensors-only", options->tensors_only,
                 "Convert any tensors, whether a network of ours has them or not")
      ->excludes(names)
      ->excludes(framework)
      ->excludes(experts);
  command->callback([options] { Convert(*options); });
}

}  // namespace cpl::train
