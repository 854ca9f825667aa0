// SPDX-License-Identifier: Apache-2.0
//
// Turns on the CPUs, and weights that streams share.

#include "model/model_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpl/error.h"
#include "model/work_pool.h"

namespace cpl {
namespace {

using std::chrono::milliseconds;
constexpr std::chrono::nanoseconds kForever{0};

// Something that a test opens.
class Gate {
 public:
  void Open() { promise_.set_value(); }
  void Wait() const { future_.wait(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

TEST(WorkPool, RunsTheWorkOnAThreadOfItsOwn) {
  std::atomic<int> starts{0};
  WorkPool pool(2, [&] { ++starts; });
  std::thread::id where;
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(pool.Run(0, kForever, [&] { where = std::this_thread::get_id(); }));
  }
  EXPECT_NE(where, std::this_thread::get_id());
  EXPECT_EQ(starts, 1) << "one after the other needs one thread, and so one team of OpenMP's";
}

TEST(WorkPool, ThrowsWhatTheWorkThrows) {
  WorkPool pool(1);
  EXPECT_THROW(pool.Run(1, kForever, [] { throw std::out_of_range("x"); }), std::out_of_range);
  EXPECT_TRUE(pool.Run(1, kForever, [] {})) << "its CPU is free again";
}

TEST(WorkPool, NeverRunsMoreThanFit) {
  WorkPool pool(4);
  std::atomic<int> taken{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      const int threads = i % 5;  // 0 is all four
      const int cpus = threads == 0 ? 4 : threads;
      for (int n = 0; n < 50; ++n) {
        pool.Run(threads, kForever, [&] {
          const int now = taken += cpus;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
          }
          std::this_thread::yield();
          taken -= cpus;
          ++done;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(done, 12 * 50);
  EXPECT_LE(most, 4);
}

TEST(WorkPool, SmallWorkRunsSideBySide) {
  WorkPool pool(2);
  Gate both;
  std::thread other([&] { pool.Run(1, kForever, [&] { both.Wait(); }); });
  // Would not return if the two took turns.
  pool.Run(1, kForever, [&] { both.Open(); });
  other.join();
}

TEST(WorkPool, GivesUpWaiting) {
  WorkPool pool(1);
  Gate begun, end;
  std::thread other([&] {
    pool.Run(1, kForever, [&] {
      begun.Open();
      end.Wait();
    });
  });
  begun.Wait();
  bool ran = false;
  EXPECT_FALSE(pool.Run(1, milliseconds(1), [&] { ran = true; }));
  end.Open();
  other.join();
  EXPECT_TRUE(pool.Run(1, kForever, [] {}));
  EXPECT_FALSE(ran);
}

// A file in the folder of temporary files.
class ModelFile {
 public:
  ModelFile()
      : path_((std::filesystem::temp_directory_path() /
               ("cpl-cache-" + std::to_string(std::random_device()()) + ".safetensors"))
                  .string()) {
    Write("weights");
  }
  ~ModelFile() { std::filesystem::remove(path_); }
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class NoModel : public Model {
 public:
  const ModelInfo& info() const override { return info_; }
  Precision precision() const override { return Precision::kFp32; }
  std::unique_ptr<Restorer> NewStream() override { return nullptr; }

 private:
  ModelInfo info_;
};

class Cache : public testing::Test {
 protected:
  ModelFile file_;
  std::atomic<int> loads_{0};
  ModelCache cache_{[this](const std::string&, Precision) {
    ++loads_;
    return std::make_shared<NoModel>();
  }};
};

TEST_F(Cache, GivesTheSameModelForTheSameFile) {
  const auto model = cache_.Get(file_.path(), Precision::kFp32);
  EXPECT_EQ(cache_.Get(file_.path(), Precision::kFp32), model);
  const std::filesystem::path other_way = std::filesystem::path(file_.path()).parent_path() / "." /
                                          "" / std::filesystem::path(file_.path()).filename();
  EXPECT_EQ(cache_.Get(other_way.string(), Precision::kFp32), model);
  EXPECT_EQ(loads_, 1);
  EXPECT_NE(cache_.Get(file_.path(), Precision::kBf16), model);
}

TEST_F(Cache, AutoIsWhatItTurnsOutToBe) {
  const auto model = cache_.Get(file_.path(), Precision::kAuto);
  EXPECT_EQ(cache_.Get(file_.path(), Precision::kFp32), model);
  EXPECT_EQ(cache_.Get(file_.path(), Precision::kAuto), model);
  EXPECT_EQ(loads_, 1);
}

TEST_F(Cache, LoadsAFileAnewThatHasChanged) {
  const auto old = cache_.Get(file_.path(), Precision::kFp32);
  file_.Write("other weights");
  EXPECT_NE(cache_.Get(file_.path(), Precision::kFp32), old);
  EXPECT_EQ(loads_, 2);
}

TEST_F(Cache, HoldsNoModelThatNobodyUses) {
  std::weak_ptr<Model> model = cache_.Get(file_.path(), Precision::kFp32);
  EXPECT_TRUE(model.expired());
  cache_.Get(file_.path(), Precision::kFp32);
  EXPECT_EQ(loads_, 2);
}

TEST_F(Cache, LoadsOnceForAllWhoAskMeanwhile) {
  Gate gate;
  ModelCache cache([&](const std::string&, Precision) {
    ++loads_;
    gate.Wait();
    return std::make_shared<NoModel>();
  });
  std::vector<std::future<std::shared_ptr<Model>>> models;
  for (int i = 0; i < 8; ++i) {
    models.push_back(
        std::async(std::launch::async, [&] { return cache.Get(file_.path(), Precision::kFp32); }));
  }
  gate.Open();
  const std::shared_ptr<Model> first = models[0].get();
  for (int i = 1; i < 8; ++i) EXPECT_EQ(models[i].get(), first);
  EXPECT_EQ(loads_, 1);
}

TEST_F(Cache, FailureIsThrownAndTriedAnew) {
  bool broken = true;
  ModelCache cache([&](const std::string&, Precision) -> std::shared_ptr<Model> {
    if (broken) throw Error(ErrorCode::kBadFormat, "broken");
    return std::make_shared<NoModel>();
  });
  EXPECT_THROW(cache.Get(file_.path(), Precision::kFp32), Error);
  broken = false;
  EXPECT_TRUE(cache.Get(file_.path(), Precision::kFp32));
}

}  // namespace
}  // namespace cpl
