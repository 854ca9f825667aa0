// SPDX-License-Identifier: Apache-2.0
#include "train/image_io.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "cpl/error.h"

namespace cpl::train {
namespace {
namespace fs = std::filesystem;

class ImageIo : public testing::Test {
 protected:
  ImageIo() {
    std::string name = (fs::temp_directory_path() / "image_io_test.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~ImageIo() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  std::string Put(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }

  std::string Bytes(const std::string& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_;
};

// R, G and B tell left from right, top from bottom and each other.
cv::Mat Pattern(int width, int height) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at<cv::Vec3b>(y, x) = {static_cast<uchar>(x * 7), static_cast<uchar>(y * 5),
                                   static_cast<uchar>(200 - x)};
    }
  }
  return image;
}

bool Same(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() && cv::norm(a, b, cv::NORM_INF) == 0;
}

ErrorCode CodeOf(const std::string& path) {
  try {
    ReadRgb(path);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    return error.code();
  }
  ADD_FAILURE() << path << " was read";
  return ErrorCode::kInternal;
}

TEST_F(ImageIo, LosslessFormatsKeepEveryPixel) {
  const cv::Mat image = Pattern(33, 21);
  for (const char* name : {"a.png", "a.bmp", "a.tif", "a.ppm"}) {
    SCOPED_TRACE(name);
    WriteImage(Path(name), image);
    EXPECT_TRUE(Same(ReadRgb(Path(name)), image));
    EXPECT_FALSE(fs::exists(Path(std::string(name) + ".part")));
  }
}

TEST_F(ImageIo, JpegIsClose) {
  const cv::Mat image(64, 64, CV_8UC3, cv::Scalar(200, 120, 40));
  WriteImage(Path("a.jpg"), image);
  EXPECT_LE(cv::norm(ReadRgb(Path("a.jpg")), image, cv::NORM_INF), 3);
}

TEST_F(ImageIo, RedComesFirst) {
  cv::imwrite(Path("red.png"), cv::Mat(2, 2, CV_8UC3, cv::Scalar(0, 0, 255)));  // B, G, R
  EXPECT_EQ(ReadRgb(Path("red.png")).at<cv::Vec3b>(0, 0), cv::Vec3b(255, 0, 0));
}

TEST_F(ImageIo, GreyBecomesThreeEqualChannels) {
  cv::imwrite(Path("grey.png"), cv::Mat(2, 3, CV_8UC1, cv::Scalar(77)));
  const cv::Mat image = ReadImage(Path("grey.png"), Alpha::kKeep, Orientation::kUpright);
  ASSERT_EQ(image.type(), CV_8UC3);
  EXPECT_EQ(image.at<cv::Vec3b>(1, 2), cv::Vec3b(77, 77, 77));
}

TEST_F(ImageIo, SixteenBitsAreRounded) {
  cv::Mat deep(1, 3, CV_16UC1);
  deep.at<ushort>(0, 0) = 65535;
  deep.at<ushort>(0, 1) = 257 * 100 + 128;  // 100.498
  deep.at<ushort>(0, 2) = 257 * 100 + 129;  // 100.502
  cv::imwrite(Path("deep.png"), deep);
  const cv::Mat image = ReadRgb(Path("deep.png"));
  EXPECT_EQ(image.at<cv::Vec3b>(0, 0)[0], 255);
  EXPECT_EQ(image.at<cv::Vec3b>(0, 1)[0], 100);
  EXPECT_EQ(image.at<cv::Vec3b>(0, 2)[0], 101);
}

TEST_F(ImageIo, AlphaIsKeptOnlyWhereAskedFor) {
  cv::Mat image(4, 5, CV_8UC4, cv::Scalar(10, 20, 30, 99));  // R, G, B, alpha
  WriteImage(Path("alpha.png"), image);
  EXPECT_TRUE(Same(ReadImage(Path("alpha.png"), Alpha::kKeep, Orientation::kAsStored), image));
  const cv::Mat rgb = ReadRgb(Path("alpha.png"));
  ASSERT_EQ(rgb.type(), CV_8UC3);
  EXPECT_EQ(rgb.at<cv::Vec3b>(0, 0), cv::Vec3b(10, 20, 30));

  WriteImage(Path("alpha.bmp"), image);  // has none: it is left out
  EXPECT_EQ(ReadImage(Path("alpha.bmp"), Alpha::kKeep, Orientation::kAsStored).type(), CV_8UC3);
}

TEST_F(ImageIo, ExifOrientationIsFollowedOnlyWhereAskedFor) {
  WriteImage(Path("plain.jpg"), cv::Mat(16, 48, CV_8UC3, cv::Scalar::all(90)));
  const std::string plain = Bytes(Path("plain.jpg"));
  const char exif[] =
      "\xFF\xE1\x00\x22"
      "Exif\0\0MM\0\x2A\0\0\0\x08"
      "\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";  // orientation 6: turn clockwise
  const std::string path =
      Put("turned.jpg", plain.substr(0, 2) + std::string(exif, sizeof(exif) - 1) + plain.substr(2));
  EXPECT_EQ(ReadRgb(path).size(), cv::Size(48, 16));
  EXPECT_EQ(ReadImage(path, Alpha::kKeep, Orientation::kUpright).size(), cv::Size(16, 48));
}

TEST_F(ImageIo, RefusesWhatIsNoPicture) {
  EXPECT_EQ(CodeOf(Path("missing.png")), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(folder_.string()), ErrorCode::kCannotRead);
  EXPECT_EQ(CodeOf(Put("empty.png", "")), ErrorCode::kBadFormat);
  EXPECT_EQ(CodeOf(Put("text.png", "this is no picture at all")), ErrorCode::kBadFormat);
  cv::imwrite(Path("float.tiff"), cv::Mat(4, 4, CV_32FC3, cv::Scalar::all(0.5)));
  EXPECT_EQ(CodeOf(Path("float.tiff")), ErrorCode::kUnsupported);
}

TEST_F(ImageIo, RefusesTruncatedPictures) {
  cv::Mat noise(128, 128, CV_8UC3);
  cv::theRNG().state = 7;
  cv::randu(noise, 0, 255);
  for (const char* name : {"a.png", "a.jpg"}) {
    SCOPED_TRACE(name);
    WriteImage(Path(name), noise);
    const std::string whole = Bytes(Path(name));
    for (const std::size_t part : {whole.size() / 3, whole.size() * 2 / 3, whole.size() - 3}) {
      const std::string cut = std::string("cut") + name;
      EXPECT_EQ(CodeOf(Put(cut, whole.substr(0, part))), ErrorCode::kBadFormat);
    }
    // What cameras append after the picture does no harm.
    EXPECT_NO_THROW(ReadRgb(Put("more.jpg", whole + "\xFF\xDA trailing bytes")));
  }
}

TEST_F(ImageIo, RefusesToWriteWhatItCannot) {
  const cv::Mat image = Pattern(8, 8);
  EXPECT_THROW(WriteImage(Path("a.xyz"), image), Error);
  EXPECT_THROW(WriteImage(Path("no/such/folder/a.png"), image), Error);
  EXPECT_THROW(WriteImage(Path("a.png"), cv::Mat(8, 8, CV_32FC3)), Error);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ImageIo, ListsPicturesInTheOrderOfTheirNumbers) {
  for (const char* name : {"10.png", "2.png", "1.JPG", "b.jpeg", "notes.txt", ".hidden.png"}) {
    Put(name, "x");
  }
  fs::create_directory(Path("folder.png"));
  const std::vector<std::string> want = {Path("1.JPG"), Path("2.png"), Path("10.png"),
                                         Path("b.jpeg")};
  EXPECT_EQ(ListImages(folder_.string()), want);
  EXPECT_THROW(ListImages(Path("missing")), Error);
  EXPECT_THROW(ListImages(Path("2.png")), Error);
}

TEST(NaturalLess, IsAStrictOrder) {
  const std::vector<std::string> sorted = {"", "1", "01", "2", "10", "a", "a1", "a1b", "a02", "b"};
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    for (std::size_t j = 0; j < sorted.size(); ++j) {
      if (sorted[i] == "1" || sorted[i] == "01") continue;  // equal numbers: either way round
      EXPECT_EQ(NaturalLess(sorted[i], sorted[j]), i < j) << sorted[i] << " " << sorted[j];
    }
  }
  EXPECT_NE(NaturalLess("1", "01"), NaturalLess("01", "1"));
}

TEST_F(ImageIo, TellsPicturesByTheirContent) {
  WriteImage(Path("a.png"), Pattern(8, 8));
  fs::rename(Path("a.png"), Path("a.bin"));
  EXPECT_TRUE(IsImageFile(Path("a.bin")));
  EXPECT_FALSE(IsImageFile(Put("fake.png", "text")));
  EXPECT_FALSE(IsImageFile(Path("missing.png")));
  EXPECT_TRUE(IsImageName("x/Y.PNG"));
  EXPECT_FALSE(IsImageName("x.mp4"));
}

TEST(ViewOf, SharesThePixels) {
  cv::Mat image = Pattern(9, 7);
  const FrameView view = ViewOf(image);
  EXPECT_EQ(view.format, PixelFormat::kRGB);
  EXPECT_EQ(view.width, 9);
  EXPECT_EQ(view.height, 7);
  view.plane[0][view.stride[0] + 3] = 123;
  EXPECT_EQ(image.at<cv::Vec3b>(1, 1)[0], 123);
  cv::Mat grey(4, 4, CV_8UC1);
  EXPECT_THROW(ViewOf(grey), Error);
}

}  // namespace
}  // namespace cpl::train
