// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/config.h"

#include <glib.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "cpl/error.h"
#include "examples/gateway/log.h"
#include "train/toml_table.h"

namespace cpl::gateway {
namespace {

using train::TomlTable;

struct UriUnref {
  void operator()(GUri* uri) const { g_uri_unref(uri); }
};
using UriPtr = std::unique_ptr<GUri, UriUnref>;

// Text for a message, out of g_ functions that give or lend a string.
std::string Text(const char* text) { return text != nullptr ? text : ""; }

UriPtr ParseUrl(const std::string& url) {
  const auto flags = static_cast<GUriFlags>(G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED |
                                            G_URI_FLAGS_PARSE_RELAXED);
  return UriPtr(g_uri_parse(url.c_str(), flags, nullptr));
}

// The value of the environment variable that `key` names; empty where the key is not given.
std::string FromEnvironment(TomlTable& table, const char* key, const Environment& environment) {
  std::string variable;
  table.Read(key, variable);
  if (variable.empty()) return "";
  const char* value = environment(variable.c_str());
  if (value == nullptr || *value == '\0') {
    table.Fail("'" + table.Path(key) + "' names the environment variable " + variable +
               ", which is not set");
  }
  return value;
}

Credentials ReadCredentials(TomlTable& table, const Environment& environment) {
  for (const char* key : {"user", "password"}) {
    if (table.Node(key) != nullptr) {
      table.Fail("'" + table.Path(key) + "' does not belong into the file; put it into an " +
                 "environment variable and name that in '" + table.Path(key) + "_env'");
    }
  }
  Credentials credentials;
  credentials.user = FromEnvironment(table, "user_env", environment);
  credentials.password = FromEnvironment(table, "password_env", environment);
  if (credentials.user.empty() != credentials.password.empty()) {
    table.Fail("'" + table.Path("user_env") + "' and '" + table.Path("password_env") +
               "' belong together; one of them is missing");
  }
  KeepSecret(credentials);
  return credentials;
}

void ReadServer(TomlTable& table, const Environment& environment, ServerConfig& server) {
  table.Read("address", server.address);
  table.Read("port", server.port, 0, 65535);
  table.Read("max_clients", server.max_clients, 1, 10000);
  server.credentials = ReadCredentials(table, environment);
  table.Done();
  if (!g_hostname_is_ip_address(server.address.c_str()) && server.address != "localhost") {
    table.Fail("'" + table.Path("address") + "' must be an IP address of this machine: " +
               "127.0.0.1 for this machine alone, 0.0.0.0 for all networks");
  }
}

void ReadOutput(TomlTable table, OutputConfig& output) {
  table.ReadOneOf("encoder", output.encoder, {"x264", "openh264", "nvh264"});
  table.Read("bitrate_kbps", output.bitrate_kbps, 50, 200000);
  table.Read("keyframe_seconds", output.keyframe_seconds, 0.1, 60);
  table.Read("path", output.path);
  table.Done();
  if (!output.path.empty() && output.path[0] != '/') {
    table.Fail("'" + table.Path("path") + "' must begin with '/'");
  }
}

void ReadRecord(TomlTable table, RecordConfig& record) {
  table.Read("before", record.before);
  table.Read("after", record.after);
  table.Read("folder", record.folder);
  table.Read("segment_seconds", record.segment_seconds, 1, 86400);
  table.Read("max_gigabytes", record.max_gigabytes, 0.001, 1e6);
  table.Read("max_days", record.max_days, 0.001, 36500);
  table.Read("min_free_gigabytes", record.min_free_gigabytes, 0, 1e6);
  table.Read("retry_seconds", record.retry_seconds, 0.1, 86400);
  table.Done();
}

// What [defaults] and [[camera]] share.
void ReadShared(TomlTable& table, const toml::table* node, const std::string& file,
                const std::string& name, const Environment& environment, CameraConfig& camera) {
  const Credentials own = ReadCredentials(table, environment);
  if (!own.empty()) camera.credentials = own;
  table.ReadOneOf("transport", camera.transport, {"tcp", "udp", "auto"});
  table.Read("tls_verify", camera.tls_verify);
  table.Read("latency_ms", camera.latency_ms, 0, 60000);
  table.Read("stall_seconds", camera.stall_seconds, 1, 3600);
  table.Read("reconnect_seconds", camera.reconnect_seconds, 0.001, 3600);
  table.Read("reconnect_max_seconds", camera.reconnect_max_seconds, 0.001, 86400);
  table.Read("degradation", camera.degradation);
  table.Read("strength", camera.strength, 0, 1);
  table.ReadOneOf("bypass", camera.bypass, {"auto", "off", "on"});
  table.ReadOneOf("compare", camera.compare, {"none", "split", "side-by-side"});
  table.Read("max_latency_ms", camera.max_latency_ms, 0, 600000);
  const auto sub = [&](const char* key) {
    const toml::node* found = table.Node(key);
    if (found != nullptr && !found->is_table()) {
      table.Fail("'" + table.Path(key) + "' must be a table");
    }
    return TomlTable(file, node ? (*node)[key].as_table() : nullptr, name + "." + key);
  };
  ReadOutput(sub("output"), camera.output);
  ReadRecord(sub("record"), camera.record);
}

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return g_ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

void CheckUrl(const TomlTable& table, const CameraConfig& camera) {
  const UriPtr uri = ParseUrl(camera.url);
  const std::string scheme = uri ? Text(g_uri_get_scheme(uri.get())) : "";
  if ((scheme != "rtsp" && scheme != "rtsps") || Text(g_uri_get_host(uri.get())).empty()) {
    table.Fail("the URL of camera '" + camera.name + "' must be rtsp://HOST[:PORT]/PATH");
  }
  if (g_uri_get_userinfo(uri.get()) != nullptr) {
    table.Fail("the URL of camera '" + camera.name + "' holds a user or a password; name " +
               "environment variables in 'user_env' and 'password_env' instead");
  }
}

CameraConfig ReadCamera(const toml::table& node, const std::string& file,
                        const CameraConfig& defaults, const Environment& environment) {
  CameraConfig camera = defaults;
  TomlTable unnamed(file, &node, "camera");
  unnamed.Read("name", camera.name);
  if (!IsName(camera.name)) {
    unnamed.Fail("every [[camera]] needs a 'name' of up to 64 letters, digits, '-', '_' and '.'" +
                 (camera.name.empty() ? "" : ", which '" + camera.name + "' is not"));
  }
  const std::string name = "camera '" + camera.name + "'";
  TomlTable table(file, &node, name);
  table.Node("name");
  table.Read("url", camera.url);
  const std::string secret_url = FromEnvironment(table, "url_env", environment);
  if (camera.url.empty() == secret_url.empty()) {
    table.Fail(name + " needs either 'url' or 'url_env'");
  }
  if (!secret_url.empty()) {
    camera.url = secret_url;
    KeepSecretUrl(secret_url);
  }
  ReadShared(table, &node, file, name, environment, camera);
  table.Done();
  CheckUrl(table, camera);
  if (camera.output.path.empty()) camera.output.path = "/" + camera.name;
  if ((camera.record.before || camera.record.after) && camera.record.folder.empty()) {
    table.Fail("'" + table.Path("record") + ".folder' is missing: where to record to");
  }
  camera.reconnect_max_seconds = std::max(camera.reconnect_max_seconds, camera.reconnect_seconds);
  return camera;
}

void CheckUnique(const TomlTable& top, const std::vector<CameraConfig>& cameras) {
  std::map<std::string, std::string> names, paths;
  for (const CameraConfig& camera : cameras) {
    if (!names.emplace(camera.name, camera.name).second) {
      top.Fail("two cameras are named '" + camera.name + "'; names must differ");
    }
    const auto [other, is_new] = paths.emplace(camera.output.path, camera.name);
    if (!is_new) {
      top.Fail("cameras '" + other->second + "' and '" + camera.name +
               "' have the same output path '" + camera.output.path + "'");
    }
  }
}

}  // namespace

Config LoadConfig(const std::string& path, const Environment& environment) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  if (stream) text << stream.rdbuf();
  if (!stream || stream.bad()) {
    throw Error(ErrorCode::kCannotRead, path + ": cannot read the list of cameras");
  }
  const toml::table root = train::ParseToml(text.str(), path);
  Config config;
  TomlTable top(path, &root, "");
  const auto sub = [&](const char* key) {
    const toml::node* node = top.Node(key);
    if (node != nullptr && !node->is_table()) {
      top.Fail("'" + std::string(key) + "' must be a table");
    }
    return TomlTable(path, root[key].as_table(), key);
  };
  TomlTable rtsp = sub("rtsp"), http = sub("http"), model = sub("model"), shared = sub("defaults");
  ReadServer(rtsp, environment, config.rtsp);
  ReadServer(http, environment, config.http);
  model.Read("name", config.model.name);
  model.ReadOneOf("device", config.model.device, {"auto", "cpu", "cuda"});
  model.ReadOneOf("precision", config.model.precision, {"auto", "fp32", "bf16", "int8"});
  model.Read("threads", config.model.threads, 0, 1024);
  model.Done();
  CameraConfig defaults;
  ReadShared(shared, root["defaults"].as_table(), path, "defaults", environment, defaults);
  shared.Done();
  if (!defaults.output.path.empty()) {
    shared.Fail("'defaults.output.path' makes no sense: paths must differ between cameras");
  }
  const toml::node* cameras = top.Node("camera");
  top.Done();
  if (cameras != nullptr && !cameras->is_array_of_tables()) {
    top.Fail("cameras are written as [[camera]], with two brackets");
  }
  if (cameras == nullptr) top.Fail("there is no [[camera]]");
  for (const toml::node& node : *cameras->as_array()) {
    config.cameras.push_back(ReadCamera(*node.as_table(), path, defaults, environment));
  }
  CheckUnique(top, config.cameras);
  return config;
}

std::string HostOf(const std::string& url) {
  const UriPtr uri = ParseUrl(url);
  if (!uri) return "?";
  std::string host = Text(g_uri_get_host(uri.get()));
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  const int port = g_uri_get_port(uri.get());
  return port > 0 ? host + ":" + std::to_string(port) : host;
}

bool IsLoopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.rfind("127.", 0) == 0;
}

}  // namespace cpl::gateway
