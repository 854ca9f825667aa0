// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/shard.h"

#include <gio/gio.h>

#include <utility>

#include "cpl/error.h"

namespace cpl::gateway {
namespace {

// FNV-1a, then the finaliser of MurmurHash3, without which near names give near numbers.
std::uint64_t Hash(const std::string& text) {
  std::uint64_t hash = 1469598103934665603u;
  for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  return hash ^ (hash >> 33);
}

}  // namespace

int OwnerOf(const std::string& camera, const std::set<int>& live) {
  int owner = *live.begin();
  std::uint64_t best = 0;
  for (const int index : live) {
    const std::uint64_t weight = Hash(std::to_string(index) + "/" + camera);
    if (weight >= best) {
      best = weight;
      owner = index;
    }
  }
  return owner;
}

std::optional<int> OrdinalOf(const std::string& host) {
  const std::string pod = host.substr(0, host.find('.'));
  const auto dash = pod.rfind('-');
  if (dash == std::string::npos || dash + 1 == pod.size() || pod.size() - dash > 7) {
    return std::nullopt;
  }
  for (const char c : pod.substr(dash + 1)) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  return std::stoi(pod.substr(dash + 1));
}

std::set<int> LookUpPeers(const std::string& name) {
  std::set<int> peers;
  // _SERVICE._PROTOCOL.DOMAIN
  const auto first = name.find('.');
  const auto second = first == std::string::npos ? first : name.find('.', first + 1);
  if (second == std::string::npos || name[0] != '_' || name[first + 1] != '_') return peers;
  GResolver* resolver = g_resolver_get_default();
  GList* targets = g_resolver_lookup_service(resolver, name.substr(1, first - 1).c_str(),
                                             name.substr(first + 2, second - first - 2).c_str(),
                                             name.substr(second + 1).c_str(), nullptr, nullptr);
  for (GList* item = targets; item != nullptr; item = item->next) {
    const char* host = g_srv_target_get_hostname(static_cast<GSrvTarget*>(item->data));
    if (const auto ordinal = OrdinalOf(host)) peers.insert(*ordinal);
  }
  g_resolver_free_targets(targets);
  g_object_unref(resolver);
  return peers;
}

Shard Shard::Fixed(int index, int count) {
  if (index < 0 || index >= count) {
    throw Error(ErrorCode::kInvalidArgument,
                "--shard " + std::to_string(index) + "/" + std::to_string(count) +
                    ": the first number must be less than the second, and not less than 0");
  }
  Shard shard;
  shard.index_ = index;
  shard.live_.clear();
  for (int i = 0; i < count; ++i) shard.live_.insert(i);
  return shard;
}

Shard Shard::OfPeers(int index, std::string service) {
  Shard shard;
  shard.index_ = index;
  shard.service_ = std::move(service);
  shard.live_.clear();
  return shard;
}

bool Shard::Owns(const std::string& camera) const {
  return !live_.empty() && OwnerOf(camera, live_) == index_;
}

bool Shard::Refresh() { return is_dynamic() && Consider(LookUpPeers(service_)); }

bool Shard::Consider(std::set<int> peers) {
  if (peers.empty()) return false;  // no answer is no news
  peers.insert(index_);
  const bool repeated = peers == candidate_;
  candidate_ = std::move(peers);
  if (!repeated || candidate_ == live_) return false;
  live_ = candidate_;
  return true;
}

}  // namespace cpl::gateway
