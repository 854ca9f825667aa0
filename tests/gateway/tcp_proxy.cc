// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace cpl::gateway_test {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// False when there is nothing to read for a while.
bool CanRead(int socket) {
  pollfd one = {socket, POLLIN, 0};
  return poll(&one, 1, 50) == 1;
}

}  // namespace

int ConnectTo(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return socket;
  }
  close(socket);
  return -1;
}

TcpProxy::TcpProxy(int target) : target_(target) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 8) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

TcpProxy::~TcpProxy() {
  stop_ = true;
  acceptor_.join();
  for (std::thread& pump : pumps_) pump.join();
  close(listener_);
}

void TcpProxy::Accept() {
  while (!stop_) {
    if (!CanRead(listener_)) continue;
    const int near = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int far = ConnectTo(target_);
    if (far < 0) {
      close(near);
      continue;
    }
    const std::lock_guard lock(lock_);
    pumps_.emplace_back([this, near, far] {
      std::thread back([this, near, far] { Pump(far, near, true); });
      Pump(near, far, false);
      back.join();
      close(near);
      close(far);
    });
  }
}

void TcpProxy::Pump(int from, int to, bool corrupts) {
  unsigned char bytes[4096];
  long count = 0;
  while (!stop_) {
    if (!CanRead(from)) continue;
    const ssize_t got = read(from, bytes, sizeof(bytes));
    if (got <= 0) break;
    const int every = corrupts ? every_.load() : 0;
    for (ssize_t i = 0; i < got && every > 0; ++i) {
      if (++count % every != 0) continue;
      bytes[i] ^= 0x55;
      ++flipped_;
    }
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t now = send(to, bytes + sent, got - sent, MSG_NOSIGNAL);
      if (now <= 0) break;
      sent += now;
    }
  }
  shutdown(from, SHUT_RDWR);
  shutdown(to, SHUT_RDWR);
}

}  // namespace cpl::gateway_test
