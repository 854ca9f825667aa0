// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/rtsp_output.h"

#include <utility>

#include "cpl/error.h"
#include "examples/gateway/log.h"

namespace cpl::gateway {
namespace {

constexpr char kRole[] = "viewer";
constexpr std::uint64_t kQueueBytes = 4 << 20;
constexpr guint kCleanupSeconds = 5;

void Unref(gpointer object) { g_object_unref(object); }

GstRTSPAuth* MakeAuth(const Credentials& credentials) {
  GstRTSPAuth* auth = gst_rtsp_auth_new();
  gst_rtsp_auth_set_supported_methods(auth, GST_RTSP_AUTH_DIGEST);
  GstRTSPToken* token =
      gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, kRole, nullptr);
  gst_rtsp_auth_add_digest(auth, credentials.user.c_str(), credentials.password.c_str(), token);
  gst_rtsp_token_unref(token);
  return auth;
}

// One media's tie to the encoder.
struct Tie {
  std::shared_ptr<Encoder> encoder;
  std::shared_ptr<Feed> feed;
};

void OnUnprepared(GstRTSPMedia*, gpointer data) {
  auto* tie = static_cast<Tie*>(data);
  tie->encoder->Detach(tie->feed.get());
}

void DeleteTie(gpointer data, GClosure*) {
  auto* tie = static_cast<Tie*>(data);
  tie->encoder->Detach(tie->feed.get());
  delete tie;
}

GstRTSPFilterResult MediaMatches(GstRTSPSession*, GstRTSPSessionMedia* media, gpointer data) {
  auto* query = static_cast<std::pair<const char*, bool>*>(data);
  gint matched = 0;
  if (gst_rtsp_session_media_matches(media, query->first, &matched)) query->second = true;
  return GST_RTSP_FILTER_KEEP;
}

GstRTSPFilterResult SessionMatches(GstRTSPClient*, GstRTSPSession* session, gpointer data) {
  g_list_free_full(gst_rtsp_session_filter(session, MediaMatches, data), Unref);
  return GST_RTSP_FILTER_KEEP;
}

gboolean CleanUp(gpointer data) {
  GstRTSPSessionPool* pool = gst_rtsp_server_get_session_pool(GST_RTSP_SERVER(data));
  gst_rtsp_session_pool_cleanup(pool);
  g_object_unref(pool);
  return G_SOURCE_CONTINUE;
}

}  // namespace

struct RtspOutput::Mount {
  explicit Mount(std::shared_ptr<Encoder> from) : encoder(std::move(from)) {
    g_weak_ref_init(&media, nullptr);
  }
  ~Mount() { g_weak_ref_clear(&media); }
  std::shared_ptr<Encoder> encoder;
  GWeakRef media;
};

RtspOutput::RtspOutput(const ServerConfig& config)
    : config_(config), server_(gst_rtsp_server_new()) {
  gst_rtsp_server_set_address(server_, config.address.c_str());
  gst_rtsp_server_set_service(server_, std::to_string(config.port).c_str());
  if (!config.credentials.empty()) {
    GstRTSPAuth* auth = MakeAuth(config.credentials);
    gst_rtsp_server_set_auth(server_, auth);
    g_object_unref(auth);
  }
  // A thread for each client: setting a stream up for one of them takes a while.
  GstRTSPThreadPool* pool = gst_rtsp_server_get_thread_pool(server_);
  gst_rtsp_thread_pool_set_max_threads(pool, -1);
  g_object_unref(pool);
  g_signal_connect(server_, "client-connected", G_CALLBACK(OnClient), this);
  source_ = gst_rtsp_server_attach(server_, nullptr);
  if (source_ == 0) {
    g_object_unref(server_);
    throw Error(ErrorCode::kCannotWrite, "cannot listen for RTSP on " + config.address + " port " +
                                             std::to_string(config.port) +
                                             "; is the port taken? (rtsp.port)");
  }
  cleanup_ = g_timeout_add_seconds(kCleanupSeconds, CleanUp, server_);
}

RtspOutput::~RtspOutput() {
  g_source_remove(source_);
  g_source_remove(cleanup_);
  while (!mounts_.empty()) Remove(mounts_.begin()->first);
  CloseClients(nullptr);
  g_object_unref(server_);
}

int RtspOutput::port() const { return gst_rtsp_server_get_bound_port(server_); }

void RtspOutput::OnClient(GstRTSPServer* server, GstRTSPClient* client, gpointer data) {
  auto* self = static_cast<RtspOutput*>(data);
  GList* clients = gst_rtsp_server_client_filter(server, nullptr, nullptr);
  const auto count = static_cast<int>(g_list_length(clients));
  g_list_free_full(clients, Unref);
  if (count > self->config_.max_clients) {
    Log(Level::kWarning, "", "an RTSP client was turned away: there are rtsp.max_clients already");
    gst_rtsp_client_close(client);
  }
}

void RtspOutput::Add(const std::string& path, std::shared_ptr<Encoder> encoder) {
  auto mount = std::make_shared<Mount>(std::move(encoder));
  GstRTSPMediaFactory* factory = gst_rtsp_media_factory_new();
  gst_rtsp_media_factory_set_launch(
      factory,
      "( appsrc name=source ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )");
  gst_rtsp_media_factory_set_shared(factory, TRUE);
  gst_rtsp_media_factory_set_stop_on_disconnect(factory, TRUE);
  gst_rtsp_media_factory_set_protocols(
      factory, static_cast<GstRTSPLowerTrans>(GST_RTSP_LOWER_TRANS_TCP | GST_RTSP_LOWER_TRANS_UDP));
  if (!config_.credentials.empty()) {
    gst_rtsp_media_factory_add_role(factory, kRole, GST_RTSP_PERM_MEDIA_FACTORY_ACCESS,
                                    G_TYPE_BOOLEAN, TRUE, GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT,
                                    G_TYPE_BOOLEAN, TRUE, nullptr);
  }
  g_signal_connect_data(
      factory, "media-configure", G_CALLBACK(OnMedia), new std::shared_ptr<Mount>(mount),
      [](gpointer data, GClosure*) { delete static_cast<std::shared_ptr<Mount>*>(data); },
      static_cast<GConnectFlags>(0));
  GstRTSPMountPoints* points = gst_rtsp_server_get_mount_points(server_);
  gst_rtsp_mount_points_add_factory(points, path.c_str(), factory);  // takes the factory
  g_object_unref(points);
  mounts_[path] = std::move(mount);
}

void RtspOutput::OnMedia(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer data) {
  const auto& mount = *static_cast<std::shared_ptr<Mount>*>(data);
  const train::GstPtr<GstElement> element(gst_rtsp_media_get_element(media));
  const train::GstPtr<GstElement> source(
      gst_bin_get_by_name_recurse_up(GST_BIN(element.get()), "source"));
  auto* tie = new Tie{mount->encoder, std::make_shared<Feed>(source.get(), kQueueBytes)};
  g_signal_connect_data(media, "unprepared", G_CALLBACK(OnUnprepared), tie, DeleteTie,
                        static_cast<GConnectFlags>(0));
  g_weak_ref_set(&mount->media, media);
  mount->encoder->Attach(tie->feed);
}

void RtspOutput::Remove(const std::string& path) {
  const auto found = mounts_.find(path);
  if (found == mounts_.end()) return;
  GstRTSPMountPoints* points = gst_rtsp_server_get_mount_points(server_);
  gst_rtsp_mount_points_remove_factory(points, path.c_str());
  g_object_unref(points);
  CloseClients(path.c_str());
  mounts_.erase(found);
}

void RtspOutput::CloseClients(const char* path) {
  GList* clients = gst_rtsp_server_client_filter(server_, nullptr, nullptr);
  for (GList* item = clients; item != nullptr; item = item->next) {
    auto* client = GST_RTSP_CLIENT(item->data);
    std::pair<const char*, bool> query(path, path == nullptr);
    if (path != nullptr) {
      g_list_free_full(gst_rtsp_client_session_filter(client, SessionMatches, &query), Unref);
    }
    if (query.second) gst_rtsp_client_close(client);
  }
  g_list_free_full(clients, Unref);
}

int RtspOutput::Clients(const std::string& path) const {
  const auto found = mounts_.find(path);
  if (found == mounts_.end()) return 0;
  auto* media = static_cast<GstRTSPMedia*>(g_weak_ref_get(&found->second->media));
  if (media == nullptr) return 0;
  int count = 0;
  if (GstRTSPStream* stream = gst_rtsp_media_get_stream(media, 0)) {
    GList* transports = gst_rtsp_stream_transport_filter(stream, nullptr, nullptr);
    count = static_cast<int>(g_list_length(transports));
    g_list_free_full(transports, Unref);
  }
  g_object_unref(media);
  return count;
}

}  // namespace cpl::gateway
