// SPDX-License-Identifier: Apache-2.0
//
// cpl-gateway: RTSP cameras in, restored RTSP out. See docs/gateway.md.

#include <glib-unix.h>
#include <gst/gst.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "cpl/error.h"
#include "examples/gateway/config.h"
#include "examples/gateway/gateway.h"
#include "examples/gateway/log.h"
#include "examples/gateway/notify.h"
#include "examples/gateway/web.h"
#include "train/gst_util.h"

namespace cpl::gateway {
namespace {

constexpr guint kShardSeconds = 15;

const char* GetEnvironment(const char* name) { return std::getenv(name); }

// What the signal handlers and timers of the main loop share.
struct Service {
  std::string path;  // of the configuration
  GMainLoop* loop = nullptr;
  Gateway* gateway = nullptr;
};

gboolean OnStop(gpointer data) {
  Notify("STOPPING=1");
  Log(Level::kInfo, "", "stopping");
  g_main_loop_quit(static_cast<Service*>(data)->loop);
  return G_SOURCE_CONTINUE;
}

gboolean OnReload(gpointer data) {
  auto* service = static_cast<Service*>(data);
  Notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(g_get_monotonic_time()));
  try {
    const std::string waits = service->gateway->Apply(LoadConfig(service->path, GetEnvironment));
    Log(Level::kInfo, "", service->path + " was read again");
    if (!waits.empty()) Log(Level::kWarning, "", "changes of " + waits + " count after a restart");
  } catch (const std::exception& error) {
    Log(Level::kError, "", std::string(error.what()) + "; all goes on as before");
  }
  Notify("READY=1");
  return G_SOURCE_CONTINUE;
}

gboolean OnSecond(gpointer data) {
  static_cast<Service*>(data)->gateway->CountClients();
  return G_SOURCE_CONTINUE;
}

gboolean OnShard(gpointer data) {
  try {
    static_cast<Service*>(data)->gateway->RefreshShard();
  } catch (const std::exception& error) {
    Log(Level::kError, "", error.what());
  }
  return G_SOURCE_CONTINUE;
}

// A hung camera ends the signs of life, and systemd starts the service anew.
gboolean OnWatchdog(gpointer data) {
  if (static_cast<Service*>(data)->gateway->Hung().empty()) Notify("WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

Shard MakeShard(const std::string& fixed, const std::string& service) {
  if (!fixed.empty()) {
    int index = 0, count = 0;
    char rest = 0;
    if (std::sscanf(fixed.c_str(), "%d/%d%c", &index, &count, &rest) != 2) {
      throw Error(ErrorCode::kInvalidArgument, "--shard " + fixed + ": expected INDEX/COUNT");
    }
    return Shard::Fixed(index, count);
  }
  if (service.empty()) return Shard();
  const auto ordinal = OrdinalOf(g_get_host_name());
  if (!ordinal) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string("--shard-srv: the host name '") + g_get_host_name() +
                    "' does not end in '-NUMBER', as that of a pod of a StatefulSet does");
  }
  return Shard::OfPeers(*ordinal, service);
}

void WarnOfOpenDoors(const char* what, const ServerConfig& server) {
  if (IsLoopback(server.address) || !server.credentials.empty()) return;
  Log(Level::kWarning, "",
      std::string(what) + " listens on " + server.address + " and asks nobody for a password (" +
          what + ".user_env, " + what + ".password_env)");
}

std::string UrlHost(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

void Serve(const std::string& path, Shard shard) {
  Service service;
  service.path = path;
  const Config config = LoadConfig(path, GetEnvironment);
  WarnOfOpenDoors("rtsp", config.rtsp);
  WarnOfOpenDoors("http", config.http);
  service.loop = g_main_loop_new(nullptr, FALSE);
  g_unix_signal_add(SIGTERM, OnStop, &service);
  g_unix_signal_add(SIGINT, OnStop, &service);
  const bool is_dynamic = shard.is_dynamic();
  Gateway gateway(config, std::move(shard), CPL_VERSION);
  service.gateway = &gateway;
  g_unix_signal_add(SIGHUP, OnReload, &service);
  Web web(config.http, {[&] { return gateway.Status(); },
                        [&](const std::string& name) { return gateway.Snapshot(name); },
                        [&] { return gateway.metrics().Text(); }, [&] { return gateway.Hung(); },
                        gateway.rtsp_port()});
  g_timeout_add_seconds(1, OnSecond, &service);
  if (is_dynamic) g_timeout_add_seconds(kShardSeconds, OnShard, &service);
  const double watchdog = WatchdogSeconds();
  if (watchdog > 0) {
    g_timeout_add(std::max(1u, static_cast<guint>(watchdog * 500)), OnWatchdog, &service);
  }
  Log(Level::kInfo, "",
      "rtsp://" + UrlHost(config.rtsp.address) + ":" + std::to_string(gateway.rtsp_port()) +
          " serves " + std::to_string(gateway.Status().size()) + " cameras; page and metrics on " +
          "http://" + UrlHost(config.http.address) + ":" + std::to_string(web.port()) + "/");
  web.SetReady(true);
  if (!Notify("READY=1")) Log(Level::kWarning, "", "cannot tell systemd that the service is ready");
  g_main_loop_run(service.loop);
  web.SetReady(false);
  g_main_loop_unref(service.loop);
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Takes video from RTSP cameras, removes rain, haze, snow and noise, and serves it by RTSP.",
      "cpl-gateway");
  std::string path, fixed, peers;
  bool check = false;
  app.set_version_flag("--version", std::string("cpl-gateway " CPL_VERSION));
  app.add_option("CONFIG", path, "TOML file of cameras (see docs/gateway.md)")->required();
  app.add_flag("--check", check, "Read the file, say what it holds, and end");
  auto* shard = app.add_option("--shard", fixed, "INDEX/COUNT: serve this part of the cameras");
  app.add_option("--shard-srv", peers,
                 "DNS service record of all gateways; serve a part of the cameras by the number at "
                 "the end of the host's name")
      ->excludes(shard);
  try {
    app.parse(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error of that recording
    train::InitGStreamer();
    CleanGStreamerLog();
    train::FindOwnPlugin(CPL_PLUGINS_FROM_BIN);
    if (check) {
      const Shard part = MakeShard(fixed, "");
      for (const CameraConfig& camera : LoadConfig(path, GetEnvironment).cameras) {
        if (!part.Owns(camera.name)) continue;
        std::printf("%s\t%s\t%s\n", camera.name.c_str(), HostOf(camera.url).c_str(),
                    camera.output.path.c_str());
      }
      return 0;
    }
    if (!train::HaveElement("cplrestore")) {
      throw Error(ErrorCode::kNotFound,
                  "GStreamer does not find the element cplrestore; set GST_PLUGIN_PATH to the "
                  "folder of libgstcplrestore.so");
    }
    Serve(path, MakeShard(fixed, peers));
    Log(Level::kInfo, "", "stopped");
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    Log(Level::kError, "", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace cpl::gateway

int main(int argc, char** argv) { return cpl::gateway::Main(argc, argv); }
