// SPDX-License-Identifier: Apache-2.0
//
// The gateway's file: what it reads, and what it says to one that is wrong.

#include "examples/gateway/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "cpl/error.h"
#include "examples/gateway/log.h"
#include "tests/gateway/gateway_process.h"

namespace cpl::gateway {
namespace {

using gateway_test::TempFolder;

const std::map<std::string, std::string> kEnvironment = {
    {"USER_A", "operator"}, {"PASSWORD_A", "Tr0ub4dor&3"}, {"URL_B", "rtsp://h/s?pw=hush1234"}};

const char* Get(const char* name) {
  const auto found = kEnvironment.find(name);
  return found == kEnvironment.end() ? nullptr : found->second.c_str();
}

Config Load(const std::string& text) {
  const TempFolder folder;
  const std::string path = (folder.path() / "cameras.toml").string();
  std::ofstream(path) << text;
  return LoadConfig(path, Get);
}

// The error that `text` gives, without the folder.
std::string ErrorOf(const std::string& text) {
  try {
    Load(text);
  } catch (const Error& error) {
    const std::string what = error.what();
    return what.substr(what.find("cameras.toml"));
  }
  return "none";
}

const char kCamera[] = "[[camera]]\nname = \"a\"\nurl = \"rtsp://h/s\"\n";

TEST(GatewayConfig, ReadsDefaultsAndWhatOverridesThem) {
  const Config config = Load(R"(
[rtsp]
port = 8555
[defaults]
strength = 0.5
[defaults.record]
folder = "/videos"
after = true
[[camera]]
name = "a"
url = "rtsp://192.0.2.1:8554/one"
user_env = "USER_A"
password_env = "PASSWORD_A"
[camera.output]
bitrate_kbps = 900
[[camera]]
name = "b"
url_env = "URL_B"
strength = 0.25
record = { after = false }
)");
  ASSERT_EQ(config.cameras.size(), 2u);
  EXPECT_EQ(config.rtsp.port, 8555);
  EXPECT_EQ(config.rtsp.address, "127.0.0.1");
  EXPECT_EQ(config.http.address, "127.0.0.1");
  const CameraConfig& a = config.cameras[0];
  EXPECT_EQ(a.strength, 0.5);
  EXPECT_TRUE(a.record.after);
  EXPECT_FALSE(a.record.before);
  EXPECT_EQ(a.output.path, "/a");
  EXPECT_EQ(a.output.bitrate_kbps, 900);
  EXPECT_EQ(a.credentials.user, "operator");
  EXPECT_EQ(a.credentials.password, "Tr0ub4dor&3");
  const CameraConfig& b = config.cameras[1];
  EXPECT_EQ(b.strength, 0.25);
  EXPECT_EQ(b.record.folder, "/videos");
  EXPECT_FALSE(b.record.after);
  EXPECT_TRUE(b.credentials.empty());
  EXPECT_EQ(HostOf(a.url), "192.0.2.1:8554");
}

TEST(GatewayConfig, KeepsWhatItReadFromTheEnvironmentOutOfTheLog) {
  Load(std::string("[[camera]]\nname = \"a\"\nuser_env = \"USER_A\"\n") +
       "password_env = \"PASSWORD_A\"\nurl_env = \"URL_B\"\n");
  const std::string text = WithoutSecrets(
      "x Tr0ub4dor&3 x Tr0ub4dor%263 x Basic b3BlcmF0b3I6VHIwdWI0ZG9yJjM= x "
      "rtsp://h/s?pw=hush1234");
  EXPECT_EQ(text, "x *** x *** x Basic *** x rtsp://h/***");
}

TEST(GatewayConfig, NamesWhatIsWrong) {
  const std::string camera = kCamera;
  const std::pair<std::string, std::string> cases[] = {
      {"[[camera]\n", "cameras.toml: line 1: "},
      {"", "cameras.toml: there is no [[camera]]"},
      {"[camera]\n", "cameras.toml: cameras are written as [[camera]], with two brackets"},
      {camera + "[rstp]\n", "unknown key 'rstp'; the nearest known one is 'rtsp'"},
      {camera + "strenght = 1\n",
       "unknown key 'camera 'a'.strenght'; the nearest known one is 'camera 'a'.strength'"},
      {camera + "[camera.record]\nbefor = true\n", "the nearest known one is "},
      {camera + "strength = 2\n", "'camera 'a'.strength' must lie in 0..1"},
      {camera + "strength = \"full\"\n", "'camera 'a'.strength' must be a number"},
      {camera + "compare = \"half\"\n",
       "'camera 'a'.compare' must be none, split or side-by-side, not 'half'"},
      {camera + camera, "two cameras are named 'a'; names must differ"},
      {camera + "[[camera]]\nname = \"b\"\nurl = \"rtsp://h/s\"\noutput = { path = \"/a\" }\n",
       "cameras 'a' and 'b' have the same output path '/a'"},
      {camera + "output = { path = \"a\" }\n", "must begin with '/'"},
      {camera + "output = 3\n", "'camera 'a'.output' must be a table"},
      {camera + "record = { before = true }\n", "'camera 'a'.record.folder' is missing"},
      {"[[camera]]\nurl = \"rtsp://h/s\"\n", "every [[camera]] needs a 'name'"},
      {"[[camera]]\nname = \"../a\"\nurl = \"rtsp://h/s\"\n", "which '../a' is not"},
      {"[[camera]]\nname = \"a\"\n", "camera 'a' needs either 'url' or 'url_env'"},
      {"[[camera]]\nname = \"a\"\nurl = \"http://h/s\"\n",
       "the URL of camera 'a' must be rtsp://HOST[:PORT]/PATH"},
      {"[[camera]]\nname = \"a\"\nurl = \"rtsp:///s\"\n", "must be rtsp://HOST[:PORT]/PATH"},
      {"[[camera]]\nname = \"a\"\nurl = \"rtsp://me:letmein@h/s\"\n",
       "the URL of camera 'a' holds a user or a password; name environment variables in "
       "'user_env' and 'password_env' instead"},
      {camera + "password = \"letmein\"\n", "does not belong into the file"},
      {camera + "password_env = \"NOT_THERE\"\n",
       "names the environment variable NOT_THERE, which is not set"},
      {camera + "user_env = \"USER_A\"\n", "belong together; one of them is missing"},
      {camera + "[http]\naddress = \"example.org\"\n", "must be an IP address of this machine"},
      {camera + "[http]\nport = 65536\n", "'http.port' must lie in 0..65535"},
      {camera + "[model]\ndevice = \"tpu\"\n", "must be auto, cpu or cuda, not 'tpu'"},
      {camera + "[model]\nprecision = \"int4\"\n", "must be auto, fp32, bf16 or int8, not 'int4'"},
  };
  for (const auto& [text, error] : cases) {
    const std::string got = ErrorOf(text);
    EXPECT_NE(got.find(error), std::string::npos) << text << "\ngave: " << got;
    EXPECT_EQ(got.find("letmein"), std::string::npos) << got;
  }
}

TEST(GatewayConfig, AMissingFileIsNamed) {
  try {
    LoadConfig("/nonexistent/cameras.toml", Get);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCannotRead);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/cameras.toml"), std::string::npos);
  }
}

}  // namespace
}  // namespace cpl::gateway
