// SPDX-License-Identifier: Apache-2.0
#include "train/media_job.h"

#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "cpl/error.h"
#include "train/image_io.h"
#include "train/interrupt.h"
#include "train/output_file.h"
#include "train/progress.h"

namespace cpl::train {
namespace fs = std::filesystem;
namespace {

bool IsFolder(const std::string& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

void Warn(const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "cpl: %s\n", message.c_str());
}

// Processors know frames, not files.
void Process(FrameProcessor& processor, const std::string& path, const FrameView& view,
             std::int64_t index) {
  try {
    if (index == 0) processor.Start(view.width, view.height);
    processor.Process(view, index);
  } catch (const Error& error) {
    throw Error(error.code(), path + ": " + error.what());
  }
}

void DoImage(const std::string& in, const std::string& out, FrameProcessor& processor,
             std::int64_t index) {
  cv::Mat image = ReadImage(in, Alpha::kKeep, Orientation::kUpright);
  Process(processor, in, ViewOf(image), index);
  WriteImage(out, image);
}

void DoFolder(const MediaJob& job, FrameProcessor& processor) {
  const std::vector<std::string> files = ListImages(job.in);
  if (files.empty()) throw Error(ErrorCode::kNotFound, job.in + ": holds no picture");
  MakeFolder(job.out);
  RefuseSameFile(job.in, job.out);
  Progress progress(job.verb + " " + job.in, "pictures", static_cast<std::int64_t>(files.size()));
  std::int64_t done = 0, failed = 0;
  for (const std::string& file : files) {
    CheckInterrupt();
    try {
      DoImage(file, (fs::path(job.out) / fs::path(file).filename()).string(), processor,
              job.clip ? done : 0);
      ++done;
    } catch (const Error& error) {
      // A full disk or a forbidden folder will not be better for the next picture.
      if (error.code() == ErrorCode::kCannotWrite) throw;
      ++failed;
      progress.Clear();
      Warn(std::string(error.what()) + "; skipped");
    }
    progress.Update(done + failed);
  }
  progress.Finish(failed > 0 ? std::to_string(failed) + " skipped" : "");
  if (failed > 0) {
    throw Error(ErrorCode::kCannotRead, job.in + ": " + std::to_string(failed) + " of " +
                                            std::to_string(files.size()) +
                                            " pictures could not be done and were skipped");
  }
}

void DoVideo(const MediaJob& job, const std::string& out, FrameProcessor& processor) {
  VideoReader reader(job.in, job.layout);
  VideoWriter writer(out, reader.info(), {.lossless = job.lossless, .audio_from = job.in});
  Progress progress(job.verb + " " + job.in, "frames", reader.info().frames);
  std::int64_t done = 0;
  for (VideoFrame frame; reader.Next(&frame); ++done) {
    Process(processor, job.in, frame.View(), done);
    writer.Write(frame);
    progress.Update(done + 1);
  }
  writer.Finish();
  progress.Update(done);
  progress.Finish();
  for (const std::string& note : writer.notes()) std::printf("%s\n", note.c_str());
  if (!reader.damage().empty()) {
    throw Error(ErrorCode::kBadFormat, reader.damage() + "; what could be read is in " + out);
  }
}

}  // namespace

void RunMediaJob(const MediaJob& job, FrameProcessor& processor) {
  std::error_code ec;
  if (!fs::exists(job.in, ec)) {
    throw Error(ErrorCode::kNotFound, job.in + ": no such file or folder");
  }
  RefuseSameFile(job.in, job.out);
  if (IsFolder(job.in)) {
    DoFolder(job, processor);
    return;
  }
  if (job.clip) {
    throw Error(ErrorCode::kInvalidArgument, job.in + ": --clip needs a folder of frames");
  }
  std::string out = job.out;
  if (IsFolder(out)) out = (fs::path(out) / fs::path(job.in).filename()).string();
  RefuseSameFile(job.in, out);
  if (!IsImageFile(job.in) && !IsImageName(job.in)) {
    if (IsImageName(out)) {
      throw Error(ErrorCode::kInvalidArgument,
                  out + ": is named like a picture, and " + job.in + " is none");
    }
    DoVideo(job, out, processor);
    return;
  }
  if (!IsImageName(out)) {
    throw Error(ErrorCode::kInvalidArgument, out + ": is not named like a picture, which " +
                                                 job.in +
                                                 " is; use .png, .jpg, .webp, .tif or .bmp");
  }
  DoImage(job.in, out, processor, 0);
}

}  // namespace cpl::train
