// SPDX-License-Identifier: Apache-2.0
//
// cpl-gateway between real RTSP servers and clients on loopback, on the dummy runtime: it inverts
// pictures, so a white camera gives a dark stream, and one can see what was restored.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/gateway/fake_camera.h"
#include "tests/gateway/gateway_process.h"
#include "tests/gateway/tcp_proxy.h"
#include "tests/gateway/viewer.h"

namespace cpl::gateway_test {
namespace {

namespace fs = std::filesystem;

constexpr double kDark = 60;  // white inverted is about 20

std::string Toml(const std::string& name, const std::string& url, const std::string& more = "",
                 int stall_seconds = 20) {
  return "[[camera]]\nname = \"" + name + "\"\nurl = \"" + url +
         "\"\nreconnect_seconds = 0.1\nreconnect_max_seconds = 0.5\nstall_seconds = " +
         std::to_string(stall_seconds) + "\n" + more + "\n";
}

TEST(GatewayEndToEnd, RestoresAndTells) {
  FakeCamera one, other({.pattern = "black"});
  GatewayProcess gateway(Toml("one", one.url()) + Toml("other", other.url(), "strength = 0"));
  ASSERT_TRUE(gateway.IsRunning()) << gateway.LogText();
  Viewer viewer(gateway.RtspUrl("one")), second(gateway.RtspUrl("one"));
  Viewer third(gateway.RtspUrl("other"), "", "", "udp");
  EXPECT_TRUE(viewer.WaitForSize(128, 96)) << gateway.LogText();
  EXPECT_TRUE(viewer.WaitForDark(kDark));
  EXPECT_TRUE(second.WaitForDark(kDark));
  EXPECT_TRUE(third.WaitForSize(128, 96));
  EXPECT_TRUE(third.WaitForDark(kDark)) << "strength 0 leaves it black";
  EXPECT_TRUE(gateway.WaitForFrames("one"));
  EXPECT_TRUE(gateway.WaitForFrames("other"));

  const auto camera = gateway.Camera("one");
  EXPECT_EQ(camera["state"], "live");
  EXPECT_EQ(camera["codec"], "h264");
  EXPECT_EQ(camera["width"], 128);
  EXPECT_EQ(camera["degradation"], "rain");
  EXPECT_EQ(camera["reason"], "none");
  EXPECT_EQ(camera["host"], "127.0.0.1:" + std::to_string(one.port()));
  EXPECT_GE(camera["latency_ms"].get<double>(), camera["restore_ms"].get<double>());
  EXPECT_GT(gateway.Metric("cpl_gateway_frames_total{camera=\"one\"}"), 0);
  EXPECT_GT(
      gateway.Metric("cpl_gateway_degradation_frames_total{camera=\"one\",degradation=\"rain\"}"),
      0);
  EXPECT_GT(
      gateway.Metric("cpl_gateway_frames_bypassed_total{camera=\"other\",reason=\"strength\"}"), 0);
  EXPECT_EQ(gateway.Metric("cpl_gateway_camera_up{camera=\"one\"}"), 1);
  EXPECT_GT(gateway.Metric("cpl_gateway_latency_seconds_count{camera=\"one\"}"), 0);
  EXPECT_EQ(gateway.Metric("cpl_gateway_reconnects_total"), 0) << gateway.LogText();
  EXPECT_TRUE(WaitFor([&] { return gateway.Metric("cpl_gateway_clients{camera=\"one\"}") == 2; }));
  EXPECT_GT(gateway.Metric("process_resident_memory_bytes"), 1e6);

  const std::string picture = gateway.Get("/snapshot/one.jpg");
  EXPECT_EQ(picture.substr(0, 3), "\xff\xd8\xff");
  int status = 0;
  for (const char* path : {"/healthz", "/readyz", "/", "/page.js", "/page.css"}) {
    EXPECT_FALSE(gateway.Get(path, &status).empty()) << path;
    EXPECT_EQ(status, 200) << path;
  }
  for (const char* path : {"/snapshot/none.jpg", "/snapshot/..%2fone.jpg", "/etc/passwd"}) {
    gateway.Get(path, &status);
    EXPECT_EQ(status, 404) << path;
  }
  EXPECT_EQ(viewer.Fault(), "");
}

TEST(GatewayEndToEnd, OutlivesACameraThatIsKilled) {
  FakeCamera lost, steady;
  GatewayProcess gateway(Toml("lost", lost.url()) + Toml("steady", steady.url()));
  Viewer viewer(gateway.RtspUrl("lost")), other(gateway.RtspUrl("steady"));
  ASSERT_TRUE(viewer.WaitForDark(kDark)) << gateway.LogText();
  ASSERT_TRUE(other.WaitForFrames(5));
  lost.Kill();
  EXPECT_TRUE(WaitFor([&] { return gateway.Camera("lost")["state"] != "live"; }));
  // Clients stay and see that there is nothing to see; the neighbour runs on.
  EXPECT_TRUE(viewer.WaitForFrames(4)) << viewer.Fault();
  EXPECT_TRUE(WaitFor([&] {
    return gateway.Metric("cpl_gateway_reconnects_total{camera=\"lost\"") >= 3;
  })) << gateway.LogText();
  int status = 0;
  gateway.Get("/snapshot/lost.jpg", &status);
  EXPECT_EQ(status, 404);
  EXPECT_TRUE(other.WaitForFrames(10));
  lost.Start({.width = 160, .height = 120});
  EXPECT_TRUE(gateway.WaitForState("lost", "live")) << gateway.LogText();
  EXPECT_TRUE(viewer.WaitForSize(160, 120));
  EXPECT_TRUE(viewer.WaitForDark(kDark));
  EXPECT_EQ(viewer.Fault(), "");
  EXPECT_EQ(gateway.Metric("cpl_gateway_reconnects_total{camera=\"steady\""), 0);
  gateway.Signal(SIGTERM);
  EXPECT_EQ(gateway.WaitForEnd(), 0) << gateway.LogText();
}

TEST(GatewayEndToEnd, ServesAPictureBeforeTheCameraIsThere) {
  FakeCamera camera;
  camera.Kill();
  GatewayProcess gateway(Toml("late", camera.url()));
  Viewer viewer(gateway.RtspUrl("late"));
  EXPECT_TRUE(viewer.WaitForSize(640, 360)) << viewer.Fault() << gateway.LogText();
  camera.Start({});
  EXPECT_TRUE(viewer.WaitForSize(128, 96)) << gateway.LogText();
  EXPECT_TRUE(viewer.WaitForDark(kDark));
  EXPECT_EQ(viewer.Fault(), "");
}

TEST(GatewayEndToEnd, FollowsANewSizeAndAnotherCodec) {
  FakeCamera camera;
  GatewayProcess gateway(Toml("a", camera.url()));
  Viewer viewer(gateway.RtspUrl("a"));
  ASSERT_TRUE(viewer.WaitForSize(128, 96)) << gateway.LogText();
  camera.SetSize(192, 144);
  EXPECT_TRUE(viewer.WaitForSize(192, 144)) << gateway.LogText();
  EXPECT_TRUE(viewer.WaitForDark(kDark));
  camera.Kill();
  camera.Start({.width = 96, .height = 64, .codec = "jpeg"});
  EXPECT_TRUE(viewer.WaitForSize(96, 64)) << gateway.LogText();
  EXPECT_TRUE(viewer.WaitForDark(kDark));
  EXPECT_TRUE(WaitFor([&] { return gateway.Camera("a")["codec"] == "jpeg"; }));
  EXPECT_EQ(viewer.Fault(), "");
}

TEST(GatewayEndToEnd, ComesThroughGarbage) {
  FakeCamera camera, steady;
  TcpProxy wire(camera.port());
  GatewayProcess gateway(
      Toml("bad", "rtsp://127.0.0.1:" + std::to_string(wire.port()) + "/stream", "", 3) +
      Toml("steady", steady.url()));
  Viewer viewer(gateway.RtspUrl("bad")), other(gateway.RtspUrl("steady"));
  ASSERT_TRUE(viewer.WaitForDark(kDark)) << gateway.LogText();
  for (const int every : {499, 101, 13, 3}) {
    wire.Corrupt(every);
    const long before = wire.flipped();
    EXPECT_TRUE(WaitFor([&] { return wire.flipped() > before + 20; }));
    ASSERT_TRUE(gateway.IsRunning()) << gateway.LogText();
    EXPECT_TRUE(other.WaitForFrames(5)) << "the neighbour is disturbed";
  }
  wire.Corrupt(0);
  EXPECT_TRUE(gateway.WaitForState("bad", "live")) << gateway.LogText();
  EXPECT_TRUE(gateway.WaitForFrames("bad", 20)) << gateway.LogText();
  EXPECT_TRUE(viewer.WaitForDark(kDark));
  EXPECT_EQ(viewer.Fault(), "");
  EXPECT_EQ(gateway.Metric("cpl_gateway_reconnects_total{camera=\"steady\""), 0);
  int status = 0;
  gateway.Get("/api/cameras", &status);
  EXPECT_EQ(status, 200);
}

TEST(GatewayEndToEnd, KeepsCredentialsToItself) {
  const CameraOptions guarded = {.user = "operator", .password = "c0rrect-horse"};
  FakeCamera camera(guarded);
  const std::string keys = "user_env = \"CAM_USER\"\npassword_env = \"";
  GatewayProcess gateway(Toml("right", camera.url(), keys + "CAM_RIGHT\"") +
                             Toml("wrong", camera.url(), keys + "CAM_WRONG\"") +
                             Toml("without", camera.url()),
                         {{"CAM_USER", "operator"},
                          {"CAM_RIGHT", "c0rrect-horse"},
                          {"CAM_WRONG", "b4ttery-staple"},
                          {"GST_DEBUG", "rtsp*:7,*:4"}});
  ASSERT_TRUE(gateway.IsRunning()) << gateway.LogText();
  EXPECT_TRUE(gateway.WaitForFrames("right"));
  const auto detail = [&](const char* name) {
    return gateway.Camera(name)["detail"].get<std::string>();
  };
  EXPECT_TRUE(WaitFor([&] { return detail("wrong") == "the camera refuses user and password"; }))
      << detail("wrong");
  EXPECT_TRUE(WaitFor([&] {
    return detail("without").find("the camera wants a user and a password") == 0;
  })) << detail("without");
  EXPECT_GT(gateway.Metric("cpl_gateway_reconnects_total{camera=\"wrong\",reason=\"credentials\"}"),
            0);
  const std::string seen =
      gateway.LogText() + gateway.Get("/metrics") + gateway.Get("/api/cameras") + gateway.Get("/");
  EXPECT_NE(seen.find("rtspsrc"), std::string::npos) << "GStreamer's debug lines are not there";
  for (const char* secret : {"c0rrect-horse", "b4ttery-staple", "b3BlcmF0b3I6", "operator"}) {
    EXPECT_EQ(seen.find(secret), std::string::npos) << secret;
  }
}

TEST(GatewayEndToEnd, AsksItsOwnClientsForAPassword) {
  FakeCamera camera;
  GatewayProcess gateway(Toml("a", camera.url()), {{"VIEW_USER", "guard"}, {"VIEW_PW", "s3same"}},
                         "user_env = \"VIEW_USER\"\npassword_env = \"VIEW_PW\"");
  Viewer stranger(gateway.RtspUrl("a")), guard(gateway.RtspUrl("a"), "guard", "s3same");
  EXPECT_TRUE(guard.WaitForDark(kDark)) << guard.Fault() << gateway.LogText();
  EXPECT_TRUE(WaitFor([&] { return !stranger.Fault().empty(); }));
  EXPECT_EQ(stranger.frames(), 0);
}

TEST(GatewayEndToEnd, DoesNotWaitForAClientThatNeverReads) {
  FakeCamera camera({.width = 320, .height = 240, .pattern = "snow"});
  GatewayProcess gateway(Toml("a", camera.url(), "output = { bitrate_kbps = 20000 }"));
  ASSERT_TRUE(gateway.WaitForFrames("a")) << gateway.LogText();
  SilentClient silent(gateway.rtsp_port(), "a"), silent_too(gateway.rtsp_port(), "a");
  ASSERT_TRUE(silent.plays()) << gateway.LogText();
  ASSERT_TRUE(silent_too.plays());
  Viewer viewer(gateway.RtspUrl("a"));
  EXPECT_TRUE(viewer.WaitForFrames(40)) << viewer.Fault();
  const double memory = gateway.Metric("process_resident_memory_bytes");
  EXPECT_TRUE(viewer.WaitForFrames(100)) << viewer.Fault();
  // 100 frames of noise are up to 16 MB at this bitrate; what is kept for the silent ones is
  // bounded.
  EXPECT_LT(gateway.Metric("process_resident_memory_bytes"), memory + 30e6);
  EXPECT_EQ(viewer.Fault(), "");
}

std::vector<fs::path> Recordings(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.path().extension() == ".mkv") files.push_back(entry.path());
  }
  return files;
}

std::string RecordToml(const fs::path& folder, const std::string& more) {
  return "record = { before = true, after = true, min_free_gigabytes = 0, folder = \"" +
         folder.string() + "\", " + more + " }";
}

TEST(GatewayEndToEnd, RecordsBeforeAndAfter) {
  const TempFolder folder;
  FakeCamera camera;
  GatewayProcess gateway(Toml("a", camera.url(), RecordToml(folder.path(), "segment_seconds = 1")));
  EXPECT_TRUE(WaitFor([&] {
    return Recordings(folder.path() / "a/before").size() >= 2 &&
           Recordings(folder.path() / "a/after").size() >= 2;
  })) << gateway.LogText();
  EXPECT_TRUE(WaitFor([&] { return gateway.Camera("a")["recording"]["after"] == "recording"; }));
  camera.SetSize(192, 144);  // no file can hold two sizes
  EXPECT_TRUE(WaitFor([&] { return gateway.Camera("a")["width"] == 192; }));
  EXPECT_TRUE(gateway.WaitForFrames("a", 30));
  gateway.Signal(SIGTERM);
  EXPECT_EQ(gateway.WaitForEnd(), 0) << gateway.LogText();
  bool has_large = false;
  for (const char* which : {"before", "after"}) {
    for (const fs::path& file : Recordings(folder.path() / "a" / which)) {
      Viewer player(file.string());
      EXPECT_TRUE(WaitFor([&] { return player.Fault() == "end of stream"; })) << file;
      EXPECT_GT(player.frames(), 0) << file;
      EXPECT_EQ(player.luma() < kDark, std::string(which) == "after") << file;
      has_large = has_large || player.width() == 192;
    }
  }
  EXPECT_TRUE(has_large);
}

TEST(GatewayEndToEnd, StreamsOnWhenTheDiskIsFull) {
  const TempFolder folder;
  const fs::path flag = folder.path() / "full";
  FakeCamera camera({.pattern = "snow"});
  GatewayProcess gateway(Toml("a", camera.url(), RecordToml(folder.path(), "retry_seconds = 0.3")),
                         {{"LD_PRELOAD", CPL_FULL_DISK}, {"FULL_DISK_FLAG", flag.string()}});
  ASSERT_TRUE(WaitFor([&] { return gateway.Camera("a")["recording"]["before"] == "recording"; }))
      << gateway.LogText();
  Viewer viewer(gateway.RtspUrl("a"));
  std::ofstream(flag) << "full";
  const auto errors = [&](const char* which) {
    return gateway.Metric("cpl_gateway_recording_errors_total{camera=\"a\",stream=\"" +
                          std::string(which) + "\"}");
  };
  EXPECT_TRUE(WaitFor([&] { return errors("before") >= 3 && errors("after") >= 3; }))
      << gateway.LogText();
  EXPECT_EQ(gateway.Camera("a")["recording"]["before"], "stopped");
  EXPECT_TRUE(viewer.WaitForFrames(20)) << viewer.Fault();
  EXPECT_EQ(gateway.Metric("cpl_gateway_reconnects_total"), 0);
  EXPECT_EQ(Count(gateway.LogText(), "recording of 'before' stops"), 1) << gateway.LogText();
  EXPECT_EQ(Count(gateway.LogText(), "recording of 'after' stops"), 1) << gateway.LogText();
  fs::remove(flag);
  EXPECT_TRUE(WaitFor([&] {
    const auto recording = gateway.Camera("a")["recording"];
    return recording["before"] == "recording" && recording["after"] == "recording";
  })) << gateway.LogText();
  EXPECT_EQ(Count(gateway.LogText(), "resumes"), 2) << gateway.LogText();
}

TEST(GatewayEndToEnd, ReadsItsFileAgain) {
  FakeCamera one, two;
  GatewayProcess gateway(Toml("one", one.url()) + Toml("two", two.url()));
  Viewer viewer(gateway.RtspUrl("one")), goes(gateway.RtspUrl("two"));
  ASSERT_TRUE(viewer.WaitForDark(kDark)) << gateway.LogText();
  ASSERT_TRUE(goes.WaitForFrames(5));
  const auto reload = [&](const std::string& text) {
    const int before = Count(gateway.LogText(), "again") + Count(gateway.LogText(), "as before");
    gateway.Write(text);
    gateway.Signal(SIGHUP);
    return WaitFor([&] {
      return Count(gateway.LogText(), "again") + Count(gateway.LogText(), "as before") > before;
    });
  };
  EXPECT_TRUE(reload(Toml("one", one.url(), "strenght = 1")));
  EXPECT_TRUE(viewer.WaitForFrames(5)) << "a wrong file changes nothing";
  EXPECT_NE(gateway.LogText().find("the nearest known one is"), std::string::npos);
  EXPECT_TRUE(reload(Toml("one", one.url(), "strength = 0") + Toml("three", two.url())));
  EXPECT_TRUE(WaitFor([&] { return viewer.luma() > 200; })) << "strength 0 leaves it white";
  EXPECT_TRUE(gateway.WaitForFrames("three")) << gateway.LogText();
  EXPECT_TRUE(gateway.Camera("two").is_null());
  EXPECT_EQ(gateway.Metric("cpl_gateway_frames_total{camera=\"two\"}"), 0);
  EXPECT_TRUE(WaitFor([&] { return !goes.Fault().empty(); })) << "clients of a removed camera go";
  EXPECT_EQ(gateway.Metric("cpl_gateway_reconnects_total{camera=\"one\""), 0);
  EXPECT_EQ(viewer.Fault(), "");
}

TEST(GatewayEndToEnd, TellsSystemd) {
  const TempFolder folder;
  const std::string path = (folder.path() / "notify").string();
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  FakeCamera camera;
  GatewayProcess gateway(Toml("a", camera.url()),
                         {{"NOTIFY_SOCKET", path}, {"WATCHDOG_USEC", "200000"}});
  ASSERT_TRUE(gateway.WaitForFrames("a"));
  gateway.Signal(SIGTERM);
  EXPECT_EQ(gateway.WaitForEnd(), 0);
  std::string told;
  char text[128];
  for (ssize_t got = 0; (got = recv(socket, text, sizeof(text), MSG_DONTWAIT)) > 0;) {
    told += std::string(text, static_cast<std::size_t>(got)) + ";";
  }
  close(socket);
  EXPECT_EQ(told.rfind("READY=1;", 0), 0u) << told;
  EXPECT_GT(Count(told, "WATCHDOG=1;"), 0) << told;
  EXPECT_NE(told.find("STOPPING=1;"), std::string::npos) << told;
}

// With a real browser, where there is one.
TEST(GatewayEndToEnd, ShowsItsPageInABrowser) {
  FakeCamera one({.pattern = "smpte"}), two({.pattern = "ball"});
  GatewayProcess gateway(Toml("one", one.url()) + Toml("two", two.url()) +
                         Toml("away", "rtsp://127.0.0.1:9/x"));
  ASSERT_TRUE(gateway.WaitForFrames("one")) << gateway.LogText();
  ASSERT_TRUE(gateway.WaitForFrames("two"));
  const std::string command = std::string(CPL_CHECK_PAGE) +
                              " http://127.0.0.1:" + std::to_string(gateway.http_port()) + "/";
  const int status = std::system(command.c_str());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "chromium is not installed";
  EXPECT_EQ(status, 0);
}

TEST(GatewayEndToEnd, SaysWhatKeepsItFromStarting) {
  int status = 0;
  EXPECT_NE(RunGateway({"/nonexistent.toml"}, &status).find("/nonexistent.toml"),
            std::string::npos);
  EXPECT_EQ(status, 1);
  const TempFolder folder;
  const std::string path = (folder.path() / "c.toml").string();
  std::ofstream(path) << "[model]\nname = \"none-such\"\n" << Toml("a", "rtsp://127.0.0.1:9/x");
  EXPECT_NE(RunGateway({path}, &status).find("none-such"), std::string::npos);
  EXPECT_EQ(status, 1);
  FakeCamera taken;
  std::ofstream(path) << "[rtsp]\nport = " << taken.port() << "\n"
                      << Toml("a", "rtsp://127.0.0.1:9/x");
  EXPECT_NE(RunGateway({path}, &status).find("is the port taken? (rtsp.port)"), std::string::npos);
  EXPECT_EQ(status, 1);
  EXPECT_NE(RunGateway({path, "--check"}, &status).find("a\t127.0.0.1:9\t/a"), std::string::npos);
  EXPECT_EQ(status, 0);
  EXPECT_NE(RunGateway({path, "--shard", "2/2"}, &status).find("--shard 2/2"), std::string::npos);
  EXPECT_EQ(status, 1);
}

TEST(GatewayEndToEnd, KeepsTryingAHostThatIsNotThere) {
  GatewayProcess gateway(Toml("closed", "rtsp://127.0.0.1:9/x") +
                         Toml("nowhere", "rtsp://no-such-host.invalid/x"));
  for (const char* name : {"closed", "nowhere"}) {
    const std::string metric =
        "cpl_gateway_reconnects_total{camera=\"" + std::string(name) + "\",reason=\"unreachable\"}";
    EXPECT_TRUE(WaitFor([&] { return gateway.Metric(metric) >= 2; })) << name;
  }
  // Attempts, which come at least every half second, are no new state.
  EXPECT_TRUE(WaitFor([&] { return gateway.Camera("closed").value("since_seconds", 0.0) >= 3; }));
  const std::string log = gateway.LogText();
  EXPECT_NE(log.find("closed: cannot reach 127.0.0.1:9: "), std::string::npos) << log;
  EXPECT_NE(log.find("nowhere: cannot reach no-such-host.invalid: "), std::string::npos) << log;
  int status = 0;
  gateway.Get("/healthz", &status);
  EXPECT_EQ(status, 200) << "a camera's fault is none of the gateway";
}

}  // namespace
}  // namespace cpl::gateway_test
