// SPDX-License-Identifier: Apache-2.0
//
// Which of several gateways that share a list of cameras serves which camera.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace cpl::gateway {

// Rendezvous hashing: each camera has an order of preference among all gateways that could be, and
// goes to the first that lives. So a gateway that comes or goes moves only its own share of the
// cameras. The same answer on every machine. `live` is not empty.
int OwnerOf(const std::string& camera, const std::set<int>& live);

// The number at the end of a pod's host name: 3 of "cpl-gateway-3.peers.cameras.svc". None where
// there is none.
std::optional<int> OrdinalOf(const std::string& host);

// The ordinals of all gateways that the DNS service record `name` lists, such as
// "_rtsp._tcp.cpl-gateway-peers.cameras.svc.cluster.local". Empty when the look-up fails. Blocks.
std::set<int> LookUpPeers(const std::string& name);

// The cameras of a gateway. One that was told nothing serves all.
class Shard {
 public:
  Shard() = default;
  // Gateway `index` of `count`. Throws cpl::Error where 0 <= index < count does not hold.
  static Shard Fixed(int index, int count);
  // Gateway `index` of those that LookUpPeers finds, itself always among them; it serves none until
  // Refresh() has found out. So the first of many that start together does not take everything.
  static Shard OfPeers(int index, std::string service);

  bool Owns(const std::string& camera) const;

  // Looks the peers up again. They count as changed when two look-ups in a row say the same, so
  // that a pod that restarts does not move cameras to and fro. True when the cameras have changed.
  bool Refresh();
  bool is_dynamic() const { return !service_.empty(); }
  const std::set<int>& live() const { return live_; }
  int index() const { return index_; }

  // What Refresh asks; for tests.
  bool Consider(std::set<int> peers);

 private:
  int index_ = 0;
  std::string service_;
  std::set<int> live_ = {0};
  std::set<int> candidate_;
};

}  // namespace cpl::gateway
