// SPDX-License-Identifier: Apache-2.0
#include "train/media_options.h"

#include <CLI/CLI.hpp>

namespace cpl::train {

void AddMediaArguments(CLI::App* command, MediaJob* job) {
  command->add_option("in", job->in, "A picture, a folder of pictures, or a video")
      ->required()
      ->type_name("IN");
  command
      ->add_option("out", job->out,
                   "A picture (.png, .jpg, .webp, .tif, .bmp), a folder, or a video (.mp4, .mkv, "
                   ".mov, .avi), as IN is")
      ->required()
      ->type_name("OUT");
}

}  // namespace cpl::train
