// SPDX-License-Identifier: Apache-2.0
//
// A wire between gateway and camera that can be made bad: bytes that the camera sends are flipped.
#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <thread>

namespace cpl::gateway_test {

class TcpProxy {
 public:
  // Listens on a free port of loopback and passes on to `target`.
  explicit TcpProxy(int target);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  int port() const { return port_; }
  // Every n-th byte from the camera is flipped; 0 = none.
  void Corrupt(int every) { every_ = every; }
  long flipped() const { return flipped_; }

 private:
  void Accept();
  void Pump(int from, int to, bool corrupts);

  int target_;
  int port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::atomic<int> every_{0};
  std::atomic<long> flipped_{0};
  std::mutex lock_;
  std::list<std::thread> pumps_;
  std::thread acceptor_;
};

// A connected socket, or -1.
int ConnectTo(int port);

}  // namespace cpl::gateway_test
