// SPDX-License-Identifier: Apache-2.0
//
// Pictures from files and to files, by OpenCV.
//
// Pixels are 8 bits a sample in the order R, G, B (CV_8UC3) or R, G, B, alpha (CV_8UC4). Grey
// pictures come as three equal channels, 16-bit ones rounded to 8 bits (v / 257). Colour profiles
// and gamma chunks are ignored. All functions may run in any number of threads.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "cpl/frame.h"

namespace cpl::train {

enum class Alpha { kDrop, kKeep };

// A camera held upright writes its picture lying and an EXIF note that says so.
enum class Orientation {
  kAsStored,  // the note is ignored
  kUpright,   // the pixels are turned as the note says
};

// Reads a picture: PNG, JPEG, WebP, TIFF, BMP, PNM and what else OpenCV was built with. With
// Alpha::kKeep a picture that has alpha comes as CV_8UC4, any other as CV_8UC3.
// Throws Error that names the file: kNotFound, kCannotRead, kBadFormat (no picture, damaged, or
// ending early: a JPEG without its end would come half grey), kUnsupported (float samples).
cv::Mat ReadImage(const std::string& path, Alpha alpha, Orientation orientation);

// As training and evaluation want it: no alpha, as stored. CV_8UC3.
cv::Mat ReadRgb(const std::string& path);

// Writes CV_8UC3 or CV_8UC4 in the format that the name's extension tells (.png, .jpg, .webp, .tif,
// .bmp, .ppm); JPEG and WebP with quality 95. Alpha is left out where the format has none. The
// file appears under its name only when it is whole.
// Throws Error: kUnsupported (extension), kCannotWrite.
void WriteImage(const std::string& path, const cv::Mat& image);

// Whether the extension is one that WriteImage knows.
bool IsImageName(const std::string& path);

// Whether the file begins like a picture that ReadImage knows, whatever its name. False too for
// files that cannot be opened.
bool IsImageFile(const std::string& path);

// The files of a folder that are named like pictures, in the order of their numbers ("2.png" before
// "10.png"), without those of sub-folders and hidden ones. Full paths. Throws Error(kNotFound,
// kCannotRead).
std::vector<std::string> ListImages(const std::string& folder);

// Orders names as people do: digits as numbers, everything else byte by byte.
bool NaturalLess(const std::string& a, const std::string& b);

// A view of the pixels, for Restorer: RGB or RGBA, full range. Shares them.
FrameView ViewOf(cv::Mat& image);

}  // namespace cpl::train
