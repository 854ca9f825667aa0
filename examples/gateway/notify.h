// SPDX-License-Identifier: Apache-2.0
//
// Tells systemd how the service is: the protocol of sd_notify(3), a datagram to $NOTIFY_SOCKET.
#pragma once

#include <string>

namespace cpl::gateway {

// Sends `state`, such as "READY=1"; does nothing where nobody asked for it. False when it could not
// be sent.
bool Notify(const std::string& state);

// Seconds between signs of life that systemd expects ($WATCHDOG_USEC); 0: none.
double WatchdogSeconds();

}  // namespace cpl::gateway
