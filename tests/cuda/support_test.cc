// SPDX-License-Identifier: Apache-2.0
//
// What a machine without a usable GPU is told, on the fake driver.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/cuda_support.h"
#include "tests/cuda/fake_driver.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

class CudaSupportTest : public testing::Test {
 protected:
  void SetUp() override {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    ASSERT_NE(driver, nullptr) << dlerror();
    const auto fake = reinterpret_cast<CplFakeCudaFunction>(dlsym(driver, "cpl_fake_cuda"));
    ASSERT_NE(fake, nullptr) << "run this with the fake driver in LD_LIBRARY_PATH";
    fake_ = fake();
    *fake_ = {};
  }

  static void ExpectRefused(int id, ErrorCode code, const std::string& part) {
    try {
      CheckCuda(id);
      ADD_FAILURE() << "not refused: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("set device to cpu or auto"), std::string::npos);
    }
  }

  CplFakeCuda* fake_ = nullptr;
};

TEST_F(CudaSupportTest, NamesWhatIsMissing) {
  EXPECT_NO_THROW(CheckCuda(-1));
  EXPECT_NO_THROW(CheckCuda(0));
  ExpectRefused(3, ErrorCode::kNotFound, "no GPU 3, the driver sees 1");
  fake_->version = 12040;
  ExpectRefused(0, ErrorCode::kUnsupported, "too old: it knows CUDA 12.4");
  *fake_ = {};
  fake_->devices = 0;
  ExpectRefused(0, ErrorCode::kNotFound, "sees no GPU");
  *fake_ = {};
  fake_->major = 6, fake_->minor = 1;
  ExpectRefused(0, ErrorCode::kUnsupported, "Fake GPU) is of compute capability 6.1");
  *fake_ = {};
  fake_->init = 803;
  ExpectRefused(0, ErrorCode::kUnsupported, "restart the machine");
  fake_->init = 999;
  ExpectRefused(0, ErrorCode::kUnsupported, "does not start (error 999)");
}

TEST_F(CudaSupportTest, NamesABackendThatIsNone) {
  const std::string backend = std::getenv("CPL_CUDA_BACKEND");
  EXPECT_EQ(OpenCudaDevice(0).info().name, "host");
  setenv("CPL_CUDA_BACKEND", "/nonexistent/libcpl_cuda.so", 1);
  try {
    OpenCudaDevice(0);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent"), std::string::npos) << error.what();
  }
  setenv("CPL_CUDA_BACKEND", backend.c_str(), 1);
}

TEST_F(CudaSupportTest, LoadsModelsOnTheDevice) {
  const test::TempFolder folder;
  const std::string path = folder.File("m.safetensors");
  test::WriteModel(path, test::SmallConfig(), test::Weights::kRandom);
  const auto model = LoadModel(path, {.device = DeviceKind::kCuda});
  EXPECT_EQ(model->device(), DeviceKind::kCuda);
  EXPECT_EQ(model->precision(), Precision::kFp16);
  test::TestFrame frame(PixelFormat::kNV12, 64, 48, 1);
  EXPECT_EQ(model->NewStream()->Restore(frame.in(), frame.view(), {.prompt = 2}).prompt, 2);
}

}  // namespace
}  // namespace cpl
