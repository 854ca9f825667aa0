// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "cpl/error.h"
#include "train/communicator.h"

namespace cpl::train {
namespace {

constexpr char kKey[] = "cpl/start";

}  // namespace

void ShareAtStart(const Launch& launch, std::vector<char>& bytes, double timeout_seconds) {
  if (ShareByMpi(launch, bytes)) return;
  const char* host = std::getenv("MASTER_ADDR");
  const char* port = std::getenv("MASTER_PORT");
  if (host == nullptr || port == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                "the ranks cannot find each other: " + launch.launcher +
                    " sets no MASTER_ADDR and MASTER_PORT, and MPI was not built in");
  }
  try {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(std::atoi(port));
    options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds * 1e3));
    // torchrun keeps a store open at this address itself and says so; else rank 0 does, for as long
    // as the process lives.
    const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
    options.isServer = launch.rank == 0 && !(agent != nullptr && std::string(agent) == "True");
    options.waitWorkers = false;
    static const auto* store = new c10d::TCPStore(host, options);
    auto* mutable_store = const_cast<c10d::TCPStore*>(store);
    // A restarted job meets the keys of its former life.
    const char* restart = std::getenv("TORCHELASTIC_RESTART_COUNT");
    const std::string key = std::string(kKey) + (restart != nullptr ? restart : "0");
    if (launch.rank == 0) {
      mutable_store->set(key, std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
    } else {
      const std::vector<std::uint8_t> got = mutable_store->get(key);
      bytes.assign(got.begin(), got.end());
    }
  } catch (const c10::Error& error) {
    throw Error(ErrorCode::kInternal, "rank " + std::to_string(launch.rank) +
                                          " finds no store at " + host + ":" + port + ": " +
                                          error.what_without_backtrace());
  }
}

}  // namespace cpl::train
