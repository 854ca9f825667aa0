// SPDX-License-Identifier: Apache-2.0
//
// The gateway's parts that need no camera.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cpl/error.h"
#include "examples/gateway/backoff.h"
#include "examples/gateway/metrics.h"
#include "examples/gateway/notify.h"
#include "examples/gateway/retention.h"
#include "examples/gateway/shard.h"
#include "tests/gateway/gateway_process.h"

namespace cpl::gateway {
namespace {

namespace fs = std::filesystem;
using gateway_test::TempFolder;

TEST(Backoff, DoublesUpToItsLimitAndVaries) {
  std::set<double> seen;
  for (int run = 0; run < 20; ++run) {
    Backoff backoff(1, 60);
    for (int n = 0; n < 100; ++n) {
      const double limit = n < 6 ? 1 << n : 60;
      const double pause = backoff.Next();
      EXPECT_LE(pause, limit);
      EXPECT_GE(pause, limit / 2);
      seen.insert(pause);
    }
    backoff.Reset();
    EXPECT_LE(backoff.Next(), 1);
  }
  EXPECT_GT(seen.size(), 100u);
}

void WriteFile(const fs::path& path, int bytes, int seconds_old) {
  std::ofstream(path) << std::string(bytes, 'x');
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(seconds_old));
}

TEST(Retention, DeletesTheOldestUntilAllFits) {
  const TempFolder folder;
  for (int i = 0; i < 5; ++i) {
    WriteFile(folder.path() / (std::to_string(i) + ".mkv"), 100, 1000 - 100 * i);
  }
  WriteFile(folder.path() / "notes.txt", 1000, 100000);
  EXPECT_EQ(KeepWithin(folder.path(), {250, 1e9}, folder.path() / "0.mkv"), 3);
  EXPECT_TRUE(fs::exists(folder.path() / "0.mkv")) << "it is being written";
  EXPECT_FALSE(fs::exists(folder.path() / "3.mkv"));
  EXPECT_TRUE(fs::exists(folder.path() / "4.mkv"));
  EXPECT_TRUE(fs::exists(folder.path() / "notes.txt")) << "it is none of ours";
}

TEST(Retention, DeletesWhatIsTooOld) {
  const TempFolder folder;
  WriteFile(folder.path() / "old.mkv", 1, 5000);
  WriteFile(folder.path() / "new.mkv", 1, 10);
  EXPECT_EQ(KeepWithin(folder.path(), {1000, 3600}, ""), 1);
  EXPECT_TRUE(fs::exists(folder.path() / "new.mkv"));
  EXPECT_EQ(KeepWithin(folder.path() / "none", {0, 0}, ""), 0);
}

std::vector<std::string> Names(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("camera-" + std::to_string(i));
  return names;
}

TEST(Shard, SharesEvenly) {
  std::set<int> live;
  for (int i = 0; i < 10; ++i) live.insert(i);
  std::vector<int> counts(10);
  for (const std::string& name : Names(10000)) ++counts[OwnerOf(name, live)];
  for (const int count : counts) {
    EXPECT_GT(count, 850);
    EXPECT_LT(count, 1150);
  }
}

TEST(Shard, AGatewayThatLeavesMovesOnlyItsOwnCameras) {
  const std::set<int> before = {0, 1, 2, 3, 4}, after = {0, 1, 3, 4};
  int moved = 0;
  for (const std::string& name : Names(1000)) {
    const int owner = OwnerOf(name, before);
    if (owner == 2) {
      ++moved;
      EXPECT_NE(OwnerOf(name, after), 2);
    } else {
      EXPECT_EQ(OwnerOf(name, after), owner);
    }
  }
  EXPECT_GT(moved, 100);
}

TEST(Shard, EachCameraHasOneOwnerAmongFixedShards) {
  for (const std::string& name : Names(100)) {
    int owners = 0;
    for (int i = 0; i < 7; ++i) owners += Shard::Fixed(i, 7).Owns(name);
    EXPECT_EQ(owners, 1);
  }
  EXPECT_TRUE(Shard().Owns("any"));
  EXPECT_THROW(Shard::Fixed(3, 3), Error);
  EXPECT_THROW(Shard::Fixed(-1, 3), Error);
}

TEST(Shard, BelievesPeersThatWereSeenTwice) {
  Shard shard = Shard::OfPeers(1, "_rtsp._tcp.example.invalid");
  EXPECT_FALSE(shard.Owns("a")) << "before it knows its peers it would take all";
  EXPECT_FALSE(shard.Consider({}));
  EXPECT_FALSE(shard.Consider({0, 1, 2}));
  EXPECT_TRUE(shard.Consider({0, 1, 2}));
  EXPECT_EQ(shard.live().size(), 3u);
  EXPECT_FALSE(shard.Consider({0, 1})) << "a pod restarts";
  EXPECT_FALSE(shard.Consider({0, 1, 2}));
  EXPECT_FALSE(shard.Consider({})) << "no answer is no news";
  EXPECT_EQ(shard.live().size(), 3u);
  EXPECT_FALSE(shard.Consider({0, 2}));
  EXPECT_FALSE(shard.Consider({0, 2})) << "itself always counts";
  EXPECT_EQ(shard.live(), (std::set<int>{0, 1, 2}));
}

TEST(Shard, ReadsOrdinals) {
  EXPECT_EQ(OrdinalOf("cpl-gateway-12"), 12);
  EXPECT_EQ(OrdinalOf("cpl-gateway-0.cpl-gateway-peers.cameras.svc.cluster.local"), 0);
  EXPECT_FALSE(OrdinalOf("host"));
  EXPECT_FALSE(OrdinalOf("host-"));
  EXPECT_FALSE(OrdinalOf("host-12x"));
  EXPECT_FALSE(OrdinalOf("host-99999999"));
  EXPECT_TRUE(LookUpPeers("no service name").empty());
}

TEST(Notify, SendsADatagram) {
  const TempFolder folder;
  const std::string path = (folder.path() / "notify").string();
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  EXPECT_TRUE(Notify("READY=1"));
  char text[32] = {};
  EXPECT_EQ(recv(socket, text, sizeof(text), 0), 7);
  EXPECT_STREQ(text, "READY=1");
  setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
  EXPECT_FALSE(Notify("READY=1"));
  unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(Notify("READY=1")) << "nobody asked";
  close(socket);
}

TEST(Metrics, ForgetsACameraThatIsRemoved) {
  Metrics metrics("1.2.3");
  {
    CameraMetrics camera(metrics, "gate");
    camera.CountFrame("rain", "none", 0.02, 0.3);
    camera.CountFrame("haze", "clear", 0.001, 0.3);
    camera.CountReconnect("stalled");
    const std::string text = metrics.Text();
    for (const char* line :
         {"cpl_gateway_frames_total{camera=\"gate\"} 2\n",
          "cpl_gateway_frames_bypassed_total{camera=\"gate\",reason=\"clear\"} 1\n",
          "cpl_gateway_degradation{camera=\"gate\",degradation=\"rain\"} 0\n",
          "cpl_gateway_degradation{camera=\"gate\",degradation=\"haze\"} 1\n",
          "cpl_gateway_degradation_frames_total{camera=\"gate\",degradation=\"rain\"} 1\n",
          "cpl_gateway_reconnects_total{camera=\"gate\",reason=\"stalled\"} 1\n",
          "cpl_gateway_restore_seconds_count{camera=\"gate\"} 2\n",
          "cpl_gateway_build_info{version=\"1.2.3\"} 1\n"}) {
      EXPECT_NE(text.find(line), std::string::npos) << line;
    }
    camera.SetDegradation("");
    EXPECT_NE(metrics.Text().find("degradation=\"haze\"} 0\n"), std::string::npos);
  }
  EXPECT_EQ(metrics.Text().find("camera="), std::string::npos);
  CameraMetrics again(metrics, "gate");
  EXPECT_NE(metrics.Text().find("cpl_gateway_frames_total{camera=\"gate\"} 0\n"),
            std::string::npos);
}

}  // namespace
}  // namespace cpl::gateway
