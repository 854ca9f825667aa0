// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/web.h"

#include <glib.h>
#include <httplib.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "cpl/error.h"
#include "examples/gateway/page.h"

namespace cpl::gateway {
namespace {

using httplib::Request;
using httplib::Response;
using httplib::Server;

constexpr int kThreads = 8;

double Rounded(double value, double scale) { return std::round(value * scale) / scale; }

nlohmann::json ToJson(const CameraStatus& status) {
  return {{"name", status.name},
          {"host", status.host},
          {"path", status.path},
          {"state", status.state},
          {"detail", status.detail},
          {"since_seconds", Rounded(status.since_seconds, 1)},
          {"width", status.width},
          {"height", status.height},
          {"codec", status.codec},
          {"fps", Rounded(status.fps, 10)},
          {"degradation", status.last.degradation},
          {"confidence", Rounded(status.last.confidence, 1000)},
          {"clean", Rounded(status.last.clean, 1000)},
          {"reason", status.last.reason},
          {"restore_ms", Rounded(status.last.restore_seconds * 1000, 10)},
          {"latency_ms", Rounded(status.last.latency_seconds * 1000, 10)},
          {"frames", status.frames},
          {"bypassed", status.bypassed},
          {"dropped", status.dropped},
          {"reconnects", status.reconnects},
          {"clients", status.clients},
          {"recording", {{"before", status.before}, {"after", status.after}}}};
}

// "host:port" without the port; an IPv6 address without its brackets.
std::string HostName(const std::string& header) {
  if (!header.empty() && header[0] == '[') return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

// Takes as long for a wrong one as for the right one.
bool Same(const std::string& a, const std::string& b) {
  unsigned difference = static_cast<unsigned>(a.size() ^ b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^
                  static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]);
  }
  return difference == 0;
}

std::string BasicHeader(const Credentials& credentials) {
  const auto header =
      httplib::make_basic_authentication_header(credentials.user, credentials.password);
  return header.second;
}

}  // namespace

Web::Web(const ServerConfig& config, WebSource source)
    : config_(config), source_(std::move(source)), server_(std::make_unique<Server>()) {
  server_->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server_->set_read_timeout(5);
  server_->set_write_timeout(5);
  server_->set_keep_alive_timeout(2);
  server_->set_payload_max_length(1024);
  server_->set_default_headers(
      {{"Content-Security-Policy",
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
       {"X-Content-Type-Options", "nosniff"},
       {"Referrer-Policy", "no-referrer"},
       {"Cache-Control", "no-store"}});
  AddRoutes();
  port_ = config.port == 0 ? server_->bind_to_any_port(config.address)
          : server_->bind_to_port(config.address, config.port) ? config.port
                                                               : -1;
  if (port_ <= 0) {
    throw Error(ErrorCode::kCannotWrite, "cannot listen for HTTP on " + config.address + " port " +
                                             std::to_string(config.port) +
                                             "; is the port taken? (http.port)");
  }
  thread_ = std::thread([this] { server_->listen_after_bind(); });
}

Web::~Web() {
  // stop() does nothing on a server that has not begun yet.
  while (!server_->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server_->stop();
  thread_.join();
}

bool Web::MayEnter(const Request& request, Response& response) const {
  // A page elsewhere can make its name mean 127.0.0.1, and so ask a browser on this machine for our
  // pictures. The name gives it away.
  const std::string host = HostName(request.get_header_value("Host"));
  if (host != "localhost" && !g_hostname_is_ip_address(host.c_str()) &&
      config_.credentials.empty()) {
    response.status = 421;
    response.set_content(
        "Ask by IP address or as localhost, or set http.user_env and http.password_env.\n",
        "text/plain");
    return false;
  }
  const bool is_probe = request.path == "/healthz" || request.path == "/readyz";
  if (is_probe || config_.credentials.empty() ||
      Same(request.get_header_value("Authorization"), BasicHeader(config_.credentials))) {
    return true;
  }
  response.status = 401;
  response.set_header("WWW-Authenticate", "Basic realm=\"cpl-gateway\", charset=\"UTF-8\"");
  response.set_content("Who are you?\n", "text/plain");
  return false;
}

void Web::AddRoutes() {
  server_->set_pre_routing_handler([this](const Request& request, Response& response) {
    return MayEnter(request, response) ? Server::HandlerResponse::Unhandled
                                       : Server::HandlerResponse::Handled;
  });
  const auto give = [this](const char* path, const char* text, const char* type) {
    server_->Get(path, [text, type](const Request&, Response& r) { r.set_content(text, type); });
  };
  give("/", kPageHtml, "text/html; charset=utf-8");
  give("/page.js", kPageJs, "text/javascript; charset=utf-8");
  give("/page.css", kPageCss, "text/css; charset=utf-8");
  server_->Get("/metrics", [this](const Request&, Response& response) {
    response.set_content(source_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
  });
  server_->Get("/api/cameras", [this](const Request&, Response& response) {
    nlohmann::json cameras = nlohmann::json::array();
    for (const CameraStatus& status : source_.status()) cameras.push_back(ToJson(status));
    const nlohmann::json all = {{"rtsp_port", source_.rtsp_port}, {"cameras", cameras}};
    // A camera's error text may hold anything: what is no UTF-8 is replaced.
    response.set_content(all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                         "application/json");
  });
  server_->Get(R"(/snapshot/([A-Za-z0-9._-]{1,64})\.jpg)",
               [this](const Request& request, Response& response) {
                 const std::string picture = source_.snapshot(request.matches[1]);
                 if (picture.empty()) {
                   response.status = 404;
                 } else {
                   response.set_content(picture, "image/jpeg");
                 }
               });
  server_->Get("/healthz", [this](const Request&, Response& response) {
    std::string text = "ok\n";
    for (const std::string& name : source_.hung()) {
      if (response.status != 503) text.clear();
      response.status = 503;
      text += name + " hangs\n";
    }
    response.set_content(text, "text/plain");
  });
  server_->Get("/readyz", [this](const Request&, Response& response) {
    const bool ready = ready_;
    response.status = ready ? 200 : 503;
    response.set_content(ready ? "ready\n" : "not ready\n", "text/plain");
  });
}

}  // namespace cpl::gateway
