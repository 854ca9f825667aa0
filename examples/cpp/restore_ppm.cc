// SPDX-License-Identifier: Apache-2.0
//
// The library without GStreamer: restores pictures in the simplest of formats, binary PPM. Several
// are taken for the frames of one stream, in which each helps the next.
//
//   g++ restore_ppm.cc -o restore_ppm $(pkg-config --cflags --libs cpl)
//   ./restore_ppm IN.ppm OUT.ppm [IN.ppm OUT.ppm ...]
#include <cpl/error.h>
#include <cpl/restorer.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

struct Picture {
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgb;

  cpl::FrameView View() {
    cpl::FrameView view;
    view.format = cpl::PixelFormat::kRGB;
    view.range = cpl::ColorRange::kFull;
    view.width = width;
    view.height = height;
    view.plane[0] = rgb.data();
    view.stride[0] = 3 * width;
    return view;
  }
};

static Picture Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  Picture picture;
  int most = 0;
  file >> magic >> picture.width >> picture.height >> most;
  file.get();
  if (magic != "P6" || most != 255 || picture.width < 1 || picture.width > 16384 ||
      picture.height < 1 || picture.height > 16384) {
    throw cpl::Error(cpl::ErrorCode::kBadFormat, path + ": not a binary PPM of 8 bits");
  }
  picture.rgb.resize(static_cast<std::size_t>(picture.width) * picture.height * 3);
  file.read(reinterpret_cast<char*>(picture.rgb.data()),
            static_cast<std::streamsize>(picture.rgb.size()));
  if (!file) throw cpl::Error(cpl::ErrorCode::kBadFormat, path + ": the picture ends early");
  return picture;
}

static void Write(const std::string& path, const Picture& picture) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << picture.width << ' ' << picture.height << "\n255\n";
  file.write(reinterpret_cast<const char*>(picture.rgb.data()),
             static_cast<std::streamsize>(picture.rgb.size()));
  if (!file.flush()) throw cpl::Error(cpl::ErrorCode::kCannotWrite, path + ": cannot write it");
}

int main(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) {
    std::fprintf(stderr, "usage: %s IN.ppm OUT.ppm [IN.ppm OUT.ppm ...]\n", argv[0]);
    return 1;
  }
  try {
    // The model is shared by as many streams as you like; a stream belongs to one thread at a time.
    const std::shared_ptr<cpl::Model> model = cpl::LoadModel("live", {});
    const std::unique_ptr<cpl::Restorer> stream = model->NewStream();
    for (int i = 1; i + 1 < argc; i += 2) {
      Picture picture = Read(argv[i]);
      const cpl::FrameView view = picture.View();
      const cpl::FrameReport report = stream->Restore(cpl::AsConst(view), view, {});
      Write(argv[i + 1], picture);
      std::printf("%s: %s, confidence %.2f%s\n", argv[i],
                  model->info().prompts[static_cast<std::size_t>(report.prompt)].c_str(),
                  report.confidence, report.bypassed ? ", passed untouched" : "");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
