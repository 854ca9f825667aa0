// SPDX-License-Identifier: Apache-2.0
//
// cpl-gateway on the runtime with LibTorch and the model that ships, at a small size.

#include <gtest/gtest.h>
#include <signal.h>

#include "tests/gateway/fake_camera.h"
#include "tests/gateway/gateway_process.h"
#include "tests/gateway/viewer.h"

namespace cpl::gateway_test {
namespace {

TEST(GatewayReal, RestoresWithTheShippedModel) {
  FakeCamera one({.pattern = "ball"}), two({.pattern = "smpte"});
  GatewayProcess gateway("[defaults]\nbypass = \"off\"\n[[camera]]\nname = \"one\"\nurl = \"" +
                         one.url() + "\"\n[[camera]]\nname = \"two\"\nurl = \"" + two.url() +
                         "\"\n");
  ASSERT_TRUE(gateway.IsRunning()) << gateway.LogText();
  for (const char* name : {"one", "two"}) {
    EXPECT_TRUE(gateway.WaitForFrames(name)) << gateway.LogText();
    EXPECT_EQ(gateway.Camera(name)["reason"], "none");
    EXPECT_NE(gateway.Camera(name)["degradation"], "");
    EXPECT_GT(gateway.Camera(name)["restore_ms"], 0.0);
  }
  Viewer viewer(gateway.RtspUrl("one"));
  EXPECT_TRUE(viewer.WaitForFrames(10)) << viewer.Fault() << gateway.LogText();
  gateway.Signal(SIGTERM);
  EXPECT_EQ(gateway.WaitForEnd(), 0) << gateway.LogText();
}

}  // namespace
}  // namespace cpl::gateway_test
