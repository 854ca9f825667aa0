// SPDX-License-Identifier: Apache-2.0
//
// The library that the plugin opens, as the plugin opens it.
#include "cpl/runtime.h"

#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

struct Line {
  LogLevel level;
  std::string text;
};
std::mutex lines_lock;
std::vector<Line> lines;

// What the runtime calls while it loads a model, on the thread that does so: a place from where a
// warning of LibTorch can be set off.
void Log(LogLevel level, const char* text) {
  {
    const std::lock_guard lock(lines_lock);
    lines.push_back({level, text});
  }
  if (level == LogLevel::kInfo) TORCH_WARN("set off on purpose");
}

const Runtime& Open() {
  void* library = dlopen(CPL_RUNTIME_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(dlerror());
  return *reinterpret_cast<RuntimeFunction>(dlsym(library, kRuntimeSymbol))();
}

TEST(Runtime, LogsWhatLibTorchWarnsOf) {
  const test::TempFolder folder;
  const std::string path = folder.File("m.safetensors");
  test::WriteModel(path, test::SmallConfig(), test::Weights::kRandom);
  const Runtime& runtime = Open();
  EXPECT_EQ(runtime.abi, kRuntimeAbi);
  runtime.set_log(&Log);
  const auto model = runtime.load_model(path, {Precision::kFp32, 1});
  runtime.set_log(nullptr);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].text, "loading " + path);
  EXPECT_EQ(lines[1].level, LogLevel::kWarning);
  EXPECT_NE(lines[1].text.find("set off on purpose"), std::string::npos) << lines[1].text;

  // Warnings of the program's own threads are not the runtime's business.
  TORCH_WARN("to standard error");
  EXPECT_EQ(lines.size(), 2u);
}

TEST(Runtime, ErrorsComeAsTheyAre) {
  try {
    Open().load_model("/nonexistent/model.safetensors", {});
    ADD_FAILURE() << "it was loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace cpl
