// SPDX-License-Identifier: Apache-2.0
//
// main of the element's tests.

#include <gst/gst.h>
#include <gtest/gtest.h>

#include <cstdio>

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  GstElementFactory* factory = gst_element_factory_find("cplrestore");
  if (!factory) {
    std::fprintf(stderr, "no element cplrestore: run this through 'meson test --suite gst'\n");
    return 1;
  }
  gst_object_unref(factory);
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  gst_deinit();
  return failed;
}
