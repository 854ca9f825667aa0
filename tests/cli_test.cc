// SPDX-License-Identifier: Apache-2.0
//
// The built `cpl` as a user meets it: a process with arguments, two streams and an exit status.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/model_fixture.h"
#include "train/image_io.h"
#include "train/metrics.h"
#include "train/video_io.h"

namespace cpl::train {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::TempFolder;
using test::Weights;

std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Result {
  int status = -1;  // exit status; 128 + signal
  std::string out;
  std::string err;
};

class Cli : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.File(name); }

  // Starts cpl with its output in files of the folder.
  pid_t Start(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {CPL_EXE};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      if (freopen(Path("stdout").c_str(), "w", stdout) == nullptr ||
          freopen(Path("stderr").c_str(), "w", stderr) == nullptr) {
        _exit(126);
      }
      execv(CPL_EXE, argv.data());
      _exit(127);
    }
    return pid;
  }

  Result Wait(pid_t pid) const {
    int status = 0;
    waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), Bytes(Path("stdout")),
            Bytes(Path("stderr"))};
  }

  Result Cpl(const std::vector<std::string>& arguments) const { return Wait(Start(arguments)); }

  // A failure is one line that begins with the program's name and mentions `what`.
  void ExpectFailure(const std::vector<std::string>& arguments, const std::string& what) const {
    const Result result = Cpl(arguments);
    SCOPED_TRACE(result.err);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    EXPECT_TRUE(result.err.starts_with("cpl: "));
    EXPECT_NE(result.err.find(what), std::string::npos) << what;
  }

  void ExpectSuccess(const std::vector<std::string>& arguments) const {
    const Result result = Cpl(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
  }

  std::string ModelFile(Weights weights) const {
    const std::string path =
        Path(weights == Weights::kRandom ? "random.safetensors" : "zero.safetensors");
    if (!fs::exists(path)) test::WriteModel(path, test::SmallConfig(), weights);
    return path;
  }

  // A picture with structure; `seed` tells them apart.
  cv::Mat Picture(int seed, int width = 48, int height = 40) const {
    cv::Mat image(height, width, CV_8UC3);
    cv::RNG rng(static_cast<std::uint64_t>(seed) + 1);
    rng.fill(image, cv::RNG::UNIFORM, 40, 60);
    image(cv::Rect(8, 8, 16, 16)).setTo(cv::Scalar(180, 120 + seed, 90));
    return image;
  }

  void PutPicture(const std::string& name, const cv::Mat& image) const {
    fs::create_directories(fs::path(Path(name)).parent_path());
    WriteImage(Path(name), image);
  }

  void PutVideo(const std::string& name, int frames, int width = 64, int height = 48) const {
    VideoInfo info;
    info.format = PixelFormat::kI420;
    info.width = width;
    info.height = height;
    info.fps_num = 25;
    VideoWriter writer(Path(name), info, {.lossless = true});
    VideoFrame frame;
    frame.Allocate(info.format, width, height);
    for (int t = 0; t < frames; ++t) {
      for (std::size_t i = 0; i < frame.pixels.size(); ++i) {
        frame.pixels[i] =
            static_cast<std::uint8_t>(60 + (i / 5 + static_cast<std::size_t>(t)) % 90);
      }
      frame.pts_ns = t * 40'000'000LL;
      frame.duration_ns = 40'000'000;
      writer.Write(frame);
    }
    writer.Finish();
  }

  TempFolder folder_;
};

bool SamePicture(const std::string& a, const std::string& b) {
  const cv::Mat x = ReadImage(a, Alpha::kKeep, Orientation::kAsStored);
  const cv::Mat y = ReadImage(b, Alpha::kKeep, Orientation::kAsStored);
  return x.size() == y.size() && x.type() == y.type() && cv::norm(x, y, cv::NORM_INF) == 0;
}

TEST_F(Cli, ExplainsItself) {
  const Result version = Cpl({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_TRUE(version.out.starts_with("cpl ")) << version.out;
  const Result help = Cpl({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* command : {"restore", "eval", "degrade", "convert", "info", "train", "bench"}) {
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
  }
  const Result more = Cpl({"eval", "--help"});
  EXPECT_EQ(more.status, 0);
  EXPECT_NE(more.out.find("--prompt-matrix"), std::string::npos);
}

TEST_F(Cli, RefusesWhatItDoesNotUnderstand) {
  ExpectFailure({}, "--help");
  ExpectFailure({"frobnicate"}, "--help");
  ExpectFailure({"restore", "only-one"}, "out");
  ExpectFailure({"restore", "a.png", "b.png", "--strength", "2"}, "--strength");
  ExpectFailure({"restore", "a.png", "b.png", "--precision", "int4"}, "--precision");
  ExpectFailure({"restore", "a.png", "b.png", "--no-such-option"}, "--no-such-option");
  ExpectFailure({"restore", "a.png", "b.png", "--device", "cuda"}, "cuda");
}

TEST_F(Cli, InfoSaysWhatAModelIs) {
  const std::string model = ModelFile(Weights::kRandom);
  const Result result = Cpl({"info", model, "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json info = Json::parse(result.out);
  EXPECT_EQ(info.at("architecture"), "live");
  EXPECT_EQ(info.at("prompts").size(), 5u);
  EXPECT_GT(info.at("parameters").get<int>(), 0);
  EXPECT_GT(info.at("tensors").get<int>(), 0);
  EXPECT_GT(info.at("macs_per_pixel").get<double>(), 0);
  EXPECT_TRUE(info.contains("framework"));
  EXPECT_TRUE(info.contains("metrics"));

  const Result text = Cpl({"info", model});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.out.find("live"), std::string::npos);

  ExpectFailure({"info", Path("missing.safetensors")}, "missing.safetensors");
  std::ofstream(Path("foreign.safetensors")) << "not a model at all";
  ExpectFailure({"info", Path("foreign.safetensors")}, "foreign.safetensors");
}

TEST_F(Cli, ConvertsBothWays) {
  const std::string model = ModelFile(Weights::kRandom);
  ExpectSuccess({"convert", model, Path("a.pth"), "--prompt-names", "one,two,three,four,five"});
  const Result info = Cpl({"info", Path("a.pth"), "--json"});
  ASSERT_EQ(info.status, 0) << info.err;
  EXPECT_EQ(Json::parse(info.out).at("prompts"), Json({"one", "two", "three", "four", "five"}));
  ExpectSuccess({"convert", Path("a.pth"), Path("b.safetensors"), "--prompt-names",
                 "clean,noise,rain,snow,haze"});
  EXPECT_EQ(Bytes(Path("b.safetensors")), Bytes(model));

  ExpectFailure({"convert", model, Path("a.onnx")}, ".safetensors, .pth");
  ExpectFailure({"convert", model, model}, "the file that is read");
  ExpectFailure({"convert", model, Path("c.pth"), "--prompt-names", "one"}, "5 prompts");
  std::ofstream(Path("text.pth")) << "no checkpoint at all";
  ExpectFailure({"convert", Path("text.pth"), Path("c.safetensors")}, "text.pth");
  EXPECT_FALSE(fs::exists(Path("c.pth")) || fs::exists(Path("c.safetensors")));
}

TEST_F(Cli, RestoresPictures) {
  PutPicture("in.png", Picture(1));
  ExpectSuccess(
      {"restore", Path("in.png"), Path("same.png"), "--model", ModelFile(Weights::kZeroResidual)});
  EXPECT_TRUE(SamePicture(Path("in.png"), Path("same.png")));
  const std::string random = ModelFile(Weights::kRandom);
  const std::vector<std::string> restore = {"restore", Path("in.png"),  Path("out.png"),
                                            "--model", random,          "--bypass",
                                            "off",     "--degradation", "rain"};
  ExpectSuccess(restore);
  EXPECT_FALSE(SamePicture(Path("in.png"), Path("out.png")));
  std::vector<std::string> nothing = restore;
  nothing.insert(nothing.end(), {"--strength", "0"});
  ExpectSuccess(nothing);
  EXPECT_TRUE(SamePicture(Path("in.png"), Path("out.png")));

  cv::Mat with_alpha(40, 48, CV_8UC4, cv::Scalar(90, 100, 110, 33));
  PutPicture("alpha.png", with_alpha);
  ExpectSuccess({"restore", Path("alpha.png"), Path("out.png"), "--model", random});
  const cv::Mat out = ReadImage(Path("out.png"), Alpha::kKeep, Orientation::kAsStored);
  ASSERT_EQ(out.type(), CV_8UC4);
  EXPECT_EQ(out.at<cv::Vec4b>(20, 20)[3], 33);
}

TEST_F(Cli, RefusesToRestoreWhatItCannot) {
  const std::string model = ModelFile(Weights::kRandom);
  PutPicture("in.png", Picture(1));
  PutPicture("tiny.png", Picture(1).colRange(0, 9));
  ExpectFailure({"restore", Path("missing.png"), Path("o.png"), "--model", model}, "missing.png");
  ExpectFailure({"restore", Path("in.png"), Path("in.png"), "--model", model}, "in.png");
  ExpectFailure({"restore", Path("in.png"), Path("o.mp4"), "--model", model}, "o.mp4");
  ExpectFailure({"restore", Path("in.png"), Path("no/o.png"), "--model", model}, "no/o.png");
  ExpectFailure({"restore", Path("tiny.png"), Path("o.png"), "--model", model}, "tiny.png");
  ExpectFailure(
      {"restore", Path("in.png"), Path("o.png"), "--model", model, "--degradation", "fog"},
      "clean, noise, rain, snow, haze");
  EXPECT_FALSE(fs::exists(Path("o.png")));
}

TEST_F(Cli, RestoresFoldersAndNamesWhatItSkips) {
  const std::string model = ModelFile(Weights::kZeroResidual);
  PutPicture("in/1.png", Picture(1));
  PutPicture("in/2.png", Picture(2, 64, 48));
  std::ofstream(Path("in/notes.txt")) << "no picture";
  ExpectSuccess({"restore", Path("in"), Path("out"), "--model", model});
  EXPECT_TRUE(SamePicture(Path("in/1.png"), Path("out/1.png")));
  EXPECT_TRUE(SamePicture(Path("in/2.png"), Path("out/2.png")));
  EXPECT_FALSE(fs::exists(Path("out/notes.txt")));

  std::ofstream(Path("in/0.png")) << "damaged";
  const Result result = Cpl({"restore", Path("in"), Path("again"), "--model", model});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("in/0.png"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("1 of 3"), std::string::npos) << result.err;
  EXPECT_TRUE(SamePicture(Path("in/2.png"), Path("again/2.png")));

  ExpectFailure({"restore", Path("in"), Path("in"), "--model", model}, "in");
  fs::create_directory(Path("empty"));
  ExpectFailure({"restore", Path("empty"), Path("o"), "--model", model}, "empty");
}

// With state, the second of two equal frames comes out differently; on its own it does not.
TEST_F(Cli, ClipsCarryStateAndFoldersDoNot) {
  const std::string model = ModelFile(Weights::kRandom);
  PutPicture("in/0000.png", Picture(1));
  PutPicture("in/0001.png", Picture(1));
  const std::vector<std::string> options = {"--model", model,           "--bypass",
                                            "off",     "--degradation", "noise"};
  std::vector<std::string> folder = {"restore", Path("in"), Path("folder")};
  folder.insert(folder.end(), options.begin(), options.end());
  ExpectSuccess(folder);
  EXPECT_TRUE(SamePicture(Path("folder/0000.png"), Path("folder/0001.png")));
  std::vector<std::string> clip = {"restore", Path("in"), Path("clip"), "--clip"};
  clip.insert(clip.end(), options.begin(), options.end());
  ExpectSuccess(clip);
  EXPECT_TRUE(SamePicture(Path("folder/0000.png"), Path("clip/0000.png")));
  EXPECT_FALSE(SamePicture(Path("clip/0000.png"), Path("clip/0001.png")));
}

TEST_F(Cli, RestoresVideo) {
  PutVideo("in.mkv", 10);
  ExpectSuccess({"restore", Path("in.mkv"), Path("out.mp4"), "--lossless", "--strength", "0",
                 "--model", ModelFile(Weights::kRandom)});
  VideoReader in(Path("in.mkv"), VideoLayout::kNative), out(Path("out.mp4"), VideoLayout::kNative);
  VideoFrame a, b;
  int frames = 0;
  while (in.Next(&a)) {
    ASSERT_TRUE(out.Next(&b));
    EXPECT_TRUE(a.pixels == b.pixels) << frames;
    EXPECT_NEAR(a.pts_ns, b.pts_ns, 1e6);
    ++frames;
  }
  EXPECT_EQ(frames, 10);
  EXPECT_FALSE(out.Next(&b));

  std::ofstream(Path("text.mp4")) << "This is no video, but a plain text.\n";
  ExpectFailure(
      {"restore", Path("text.mp4"), Path("o.mp4"), "--model", ModelFile(Weights::kRandom)},
      "text.mp4");
  ExpectFailure({"restore", Path("in.mkv"), Path("o.xyz"), "--model", ModelFile(Weights::kRandom)},
                "o.xyz");
}

TEST_F(Cli, DegradesBySeed) {
  PutPicture("in.png", Picture(1));
  const auto degrade = [&](const std::string& out, const std::string& seed,
                           const std::string& level) {
    ExpectSuccess({"degrade", Path("in.png"), Path(out), "--kind", "rain,noise", "--seed", seed,
                   "--level", level});
  };
  degrade("a.png", "7", "0.5");
  degrade("b.png", "7", "0.5");
  degrade("c.png", "8", "0.5");
  degrade("nothing.png", "7", "0");
  EXPECT_TRUE(SamePicture(Path("a.png"), Path("b.png")));
  EXPECT_FALSE(SamePicture(Path("a.png"), Path("c.png")));
  EXPECT_FALSE(SamePicture(Path("a.png"), Path("in.png")));
  EXPECT_TRUE(SamePicture(Path("nothing.png"), Path("in.png")));

  PutPicture("alpha.png", cv::Mat(40, 48, CV_8UC4, cv::Scalar(90, 100, 110, 33)));
  ExpectSuccess({"degrade", Path("alpha.png"), Path("o.png"), "--kind", "noise"});
  const cv::Mat out = ReadImage(Path("o.png"), Alpha::kKeep, Orientation::kAsStored);
  ASSERT_EQ(out.type(), CV_8UC4);
  EXPECT_EQ(out.at<cv::Vec4b>(3, 3)[3], 33);
  EXPECT_FALSE(SamePicture(Path("alpha.png"), Path("o.png")));

  ExpectFailure({"degrade", Path("in.png"), Path("o.png"), "--kind", "hail"}, "hail");
  ExpectFailure({"degrade", Path("in.png"), Path("o.png"), "--kind", "rain", "--level", "3"},
                "--level");
}

TEST_F(Cli, DegradesVideo) {
  PutVideo("in.mp4", 5);
  ExpectSuccess({"degrade", Path("in.mp4"), Path("a.mp4"), "--kind", "snow", "--lossless"});
  VideoReader in(Path("in.mp4")), out(Path("a.mp4"));
  VideoFrame a, b;
  int frames = 0;
  for (; in.Next(&a) && out.Next(&b); ++frames) {
    const double psnr = Psnr(a.ToRgb(), b.ToRgb());
    EXPECT_LT(psnr, 35);
    EXPECT_GT(psnr, 5);
    EXPECT_EQ(a.pts_ns, b.pts_ns);
  }
  EXPECT_EQ(frames, 5);
}

TEST_F(Cli, EvaluatesStills) {
  for (int i = 0; i < 3; ++i) {
    const std::string name = std::to_string(i) + ".png";
    PutPicture("set/clean/input/" + name, Picture(i));
    PutPicture("set/clean/target/" + name, Picture(i));
    cv::Mat brighter = Picture(i) + cv::Scalar::all(10);
    PutPicture("set/bright/input/" + name, brighter);
    PutPicture("set/bright/target/" + name, Picture(i));
  }
  const std::string json = Path("report.json");
  ExpectSuccess({"eval", "--data", Path("set"), "--model", ModelFile(Weights::kZeroResidual),
                 "--prompt-matrix", "--precision", "fp32", "--threads", "1", "--json", json});
  const Json report = Json::parse(Bytes(json));
  EXPECT_EQ(report.at("model"), ModelFile(Weights::kZeroResidual));
  EXPECT_EQ(report.at("precision"), "fp32");
  EXPECT_EQ(report.at("threads"), 1);
  EXPECT_EQ(report.at("bypass"), "off");
  const Json& clean = report.at("kinds").at("clean");
  EXPECT_EQ(clean.at("n"), 3);
  EXPECT_EQ(clean.at("bit_exact"), 3);
  EXPECT_TRUE(clean.at("psnr_rgb").is_null());
  EXPECT_TRUE(clean.at("psnr_input_y").is_null());
  EXPECT_EQ(clean.at("ssim_rgb"), 1.0);
  EXPECT_FALSE(clean.contains("flicker"));
  const Json& bright = report.at("kinds").at("bright");
  const double want = 20 * std::log10(255.0 / 10);
  EXPECT_NEAR(bright.at("psnr_rgb").get<double>(), want, 1e-6);
  EXPECT_NEAR(bright.at("psnr_input_rgb").get<double>(), want, 1e-6);
  int routed = 0;
  for (const auto& [prompt, count] : bright.at("prompt_counts").items()) routed += count.get<int>();
  EXPECT_EQ(routed, 3);
  // The mean over kinds leaves out the infinite one.
  EXPECT_NEAR(report.at("mean").at("psnr_rgb").get<double>(), want, 1e-6);
  EXPECT_NEAR(report.at("mean").at("ssim_y").get<double>(),
              (1 + bright.at("ssim_y").get<double>()) / 2, 1e-9);
  EXPECT_EQ(report.at("mean").at("bit_exact"), 3.0);
  EXPECT_EQ(report.at("matrix").at("bright").size(), 5u);
  EXPECT_NEAR(report.at("matrix").at("bright").at("rain").get<double>(),
              bright.at("psnr_y").get<double>(), 1e-6);

  ExpectSuccess(
      {"eval", "--data", Path("set"), "--kinds", "bright", "--model", "none", "--json", json});
  EXPECT_EQ(Json::parse(Bytes(json)).at("kinds").size(), 1u);
}

TEST_F(Cli, EvaluatesClips) {
  for (int t = 0; t < 4; ++t) {
    const std::string name = "000" + std::to_string(t) + ".png";
    PutPicture("set/dim/a/target/" + name, Picture(1));
    PutPicture("set/dim/a/input/" + name, Picture(1) - cv::Scalar::all(t % 2 == 0 ? 5 : 15));
  }
  const std::string json = Path("report.json");
  ExpectSuccess({"eval", "--clips", Path("set"), "--model", "none", "--json", json});
  const Json dim = Json::parse(Bytes(json)).at("kinds").at("dim");
  EXPECT_EQ(dim.at("n"), 4);
  EXPECT_EQ(dim.at("bit_exact"), 4);
  EXPECT_NEAR(dim.at("psnr_rgb_first").get<double>(), 20 * std::log10(255.0 / 5), 1e-6);
  EXPECT_NEAR(dim.at("psnr_rgb_last").get<double>(), 20 * std::log10(255.0 / 15), 1e-6);
  EXPECT_NEAR(dim.at("psnr_y_last").get<double>() - dim.at("psnr_rgb_last").get<double>(),
              20 * std::log10(255.0 / 219), 1e-4);
  EXPECT_NEAR(dim.at("flicker").get<double>(), 5 * 219.0 / 255, 1e-3);

  // A model that remembers makes the clip tremble less than its input does.
  ExpectSuccess({"eval", "--clips", Path("set"), "--model", ModelFile(Weights::kZeroResidual),
                 "--json", json});
  const Json remembered = Json::parse(Bytes(json)).at("kinds").at("dim");
  EXPECT_LT(remembered.at("flicker").get<double>(), dim.at("flicker").get<double>() - 0.5);
  EXPECT_EQ(remembered.at("psnr_input_rgb"), dim.at("psnr_input_rgb"));
  EXPECT_EQ(remembered.at("prompt_changes"), 0);

  // Without a past there is nothing to remember.
  ExpectSuccess({"eval", "--clips", Path("set"), "--model", ModelFile(Weights::kZeroResidual),
                 "--temporal", "off", "--json", json});
  EXPECT_EQ(Json::parse(Bytes(json)).at("kinds").at("dim").at("bit_exact"), 4);
}

TEST_F(Cli, EvaluatesWhatWasRestoredBefore) {
  for (int t = 0; t < 4; ++t) {
    const std::string name = "000" + std::to_string(t) + ".png";
    PutPicture("set/dim/a/target/" + name, Picture(1));
    PutPicture("set/dim/a/input/" + name, Picture(1) - cv::Scalar::all(t % 2 == 0 ? 5 : 15));
    PutPicture("set/dim/b/target/" + name, Picture(1));
    PutPicture("set/dim/b/input/" + name, Picture(1));
  }
  const std::string json = Path("report.json"), saved = Path("saved");
  ExpectSuccess({"eval", "--clips", Path("set"), "--model", ModelFile(Weights::kZeroResidual),
                 "--save", saved, "--json", json});
  const Json by_model = Json::parse(Bytes(json)).at("kinds").at("dim");
  ExpectSuccess({"eval", "--clips", Path("set"), "--restored", saved, "--json", json});
  const Json report = Json::parse(Bytes(json));
  EXPECT_EQ(report.at("model"), saved);
  for (const char* key : {"n", "psnr_rgb", "psnr_y_last", "ssim_y", "flicker", "bit_exact"}) {
    EXPECT_EQ(report.at("kinds").at("dim").at(key), by_model.at(key)) << key;
  }

  // What is not there is left out.
  fs::remove_all(saved + "/dim/b");
  fs::remove(saved + "/dim/a/0003.png");
  ExpectSuccess({"eval", "--clips", Path("set"), "--restored", saved, "--no-ssim", "--json", json});
  const Json fewer = Json::parse(Bytes(json)).at("kinds").at("dim");
  EXPECT_EQ(fewer.at("n"), 3);
  EXPECT_GT(fewer.at("psnr_y").get<double>(), 20);
  EXPECT_TRUE(fewer.at("ssim_y").is_null());
  fs::remove_all(saved);
  ExpectFailure({"eval", "--clips", Path("set"), "--restored", saved}, "holds no restored picture");
}

TEST_F(Cli, EvaluationSkipsAndNamesWhatItCannotUse) {
  const std::string model = ModelFile(Weights::kZeroResidual);
  for (const char* name : {"1.png", "2.png", "3.png"}) {
    PutPicture(std::string("set/rain/input/") + name, Picture(1));
    PutPicture(std::string("set/rain/target/") + name, Picture(2));
  }
  std::ofstream(Path("set/rain/input/1.png")) << "damaged";
  PutPicture("set/rain/target/3.png", Picture(2, 64, 64));
  PutPicture("set/rain/input/4.png", Picture(1));
  const std::string json = Path("report.json");
  const Result result = Cpl({"eval", "--data", Path("set"), "--model", model, "--json", json});
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* name : {"input/1.png", "input/3.png", "input/4.png"}) {
    EXPECT_NE(result.err.find(name), std::string::npos) << name << "\n" << result.err;
  }
  EXPECT_NE(result.out.find("1 evaluated, 3 skipped"), std::string::npos) << result.out;
  EXPECT_EQ(Json::parse(Bytes(json)).at("kinds").at("rain").at("n"), 1);

  ExpectFailure({"eval", "--data", Path("nowhere"), "--model", model}, "nowhere");
  ExpectFailure({"eval", "--data", Path("set"), "--kinds", "fog", "--model", model}, "fog");
  ExpectFailure({"eval", "--model", model}, "--data");
}

// Figures differ from run to run; that they are all there, and of what was asked for, does not.
TEST_F(Cli, LooksAtDataBeforeTraining) {
  for (int i = 0; i < 3; ++i) PutPicture("photos/p" + std::to_string(i) + ".png", Picture(i));
  PutPicture("rain/input/1.png", Picture(7));
  PutPicture("rain/target/1.png", Picture(8));
  PutPicture("rain/input/2.png", Picture(9));
  std::ofstream(Path("photos/torn.png")) << "x";
  std::ofstream(Path("recipe.toml")) << "name = \"m\"\n[model]\nprompts = [\"noise\", \"rain\"]\n"
                                        "[data]\nclean = [\"photos\"]\npairs = [\"rain\"]\n[run]\n"
                                        "output = \"" +
                                            Path("run") +
                                            "\"\n"
                                            "[[stage]]\nname = \"one\"\nsteps = 1\npatch = 64\n"
                                            "batch = { noise = 1, rain = 2 }\n";
  const Result result = Cpl({"train", Path("recipe.toml"), "--dry-run"});
  EXPECT_EQ(result.status, 0) << result.err;
  for (const char* part :
       {"3 photos", "1 pairs", "torn.png", "1 without a partner", "2.png", "data-one.png", "MiB"}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  }
  EXPECT_GT(ReadRgb(Path("run/samples/data-one.png")).rows, 128);
  EXPECT_FALSE(fs::exists(Path("run/checkpoint.safetensors")));

  // The recipe is not taken for one more setting.
  ExpectSuccess({"train", "--dry-run", "--set", "stage.one.steps=2", "--set",
                 "run.output=" + Path("other"), Path("recipe.toml")});
  EXPECT_TRUE(fs::exists(Path("other/samples/data-one.png")));
}

TEST_F(Cli, TunesAModelForFootage) {
  PutVideo("camera.mkv", 30, 128, 96);
  const std::string model = ModelFile(Weights::kRandom);
  const Result result = Cpl({"train", "--from", model, "--clean", Path("camera.mkv"), "--steps",
                             "3", "--output", Path("tuned")});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("held-back footage"), std::string::npos) << result.out;
  EXPECT_EQ(Json::parse(Bytes(Path("tuned/figures.json"))).size(), 5u);
  EXPECT_NE(result.out.find("how much of the tuning to keep"), std::string::npos) << result.out;
  EXPECT_FALSE(fs::exists(Path("tuned/blend.safetensors")));
  // The training had 24 of the 30 frames, and started from the model's weights.
  EXPECT_NE(Bytes(Path("tuned/recipe.toml")).find("last = 24"), std::string::npos);
  PutPicture("in.png", Picture(1, 64, 64));
  ExpectSuccess(
      {"restore", Path("in.png"), Path("out.png"), "--model", Path("tuned/model.safetensors")});
  ExpectFailure({"train", "--from", model, "--clean", Path("camera.mkv"), "--steps", "3",
                 "--output", Path("tuned")},
                "holds a run already");
  PutPicture("few/1.png", Picture(1));
  PutPicture("few/2.png", Picture(1));
  ExpectFailure({"train", "--clean", Path("few"), "--from", model}, "holds 2 frames");
  ExpectFailure({"train", "--clean", Path("nowhere"), "--from", model}, "no such file");
  ExpectFailure({"train"}, "needs a recipe");
}

TEST_F(Cli, MeasuresAsIfTheProcessorWereOlder) {
  const std::string json = Path("bench.json");
  ExpectSuccess({"bench", "--model", ModelFile(Weights::kZeroResidual), "--size", "64x48",
                 "--frames", "3", "--precision", "fp32", "--threads", "1", "--isa", "avx2",
                 "--quick", "--json", json});
  const Json report = Json::parse(Bytes(json));
  if (__builtin_cpu_supports("avx2")) {
    EXPECT_EQ(report.at("isa"), "avx2");
  }
  EXPECT_EQ(report.at("size"), "64x48");
  EXPECT_EQ(report.at("threads"), 1);
  for (const char* key : {"macs_per_pixel", "peak_gmacs", "network_share", "rss_mb"}) {
    EXPECT_GT(report.at(key).get<double>(), 0) << key;
  }
  EXPECT_GT(report.at("network_ms").at("p50").get<double>(), 0);
  EXPECT_LT(report.at("first_frame_s").get<double>(), 600);
  ExpectFailure({"bench", "--size", "8x8"}, "--size");
  ExpectFailure({"bench", "--isa", "mmx"}, "--isa");
}

TEST_F(Cli, InterruptLeavesNothingHalfDone) {
  PutVideo("in.mp4", 400, 320, 240);
  const std::string out = Path("out.mp4");
  const pid_t pid = Start({"degrade", Path("in.mp4"), out, "--kind", "rain,snow,haze,noise"});
  for (int i = 0; i < 3000 && !fs::exists(out + ".part"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(fs::exists(out + ".part"));
  kill(pid, SIGINT);
  const Result result = Wait(pid);
  EXPECT_EQ(result.status, 128 + SIGINT);
  EXPECT_NE(result.err.find("interrupted"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(out));
  EXPECT_FALSE(fs::exists(out + ".part"));
}

}  // namespace
}  // namespace cpl::train
