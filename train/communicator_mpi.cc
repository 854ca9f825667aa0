// SPDX-License-Identifier: Apache-2.0
#include "cpl/error.h"
#include "train/communicator.h"

#ifdef CPL_WITH_MPI
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <thread>
#endif

namespace cpl::train {

#ifdef CPL_WITH_MPI
namespace {

using Clock = std::chrono::steady_clock;

void InitMpi() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized) return;
  int provided = 0;
  // The thread that sums gradients is not the one that trains.
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS ||
      provided < MPI_THREAD_SERIALIZED) {
    throw Error(ErrorCode::kInternal, "MPI does not start, or not for programs with threads");
  }
}

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(double timeout_seconds) : timeout_(timeout_seconds) {
    InitMpi();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    // A peer that breaks down is to be an error of ours, with a sentence.
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  }
  ~MpiCommunicator() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const char* engine() const override { return "MPI"; }

  void Sum(double* values, std::size_t count) override {
    Reduce(values, count, MPI_DOUBLE, sizeof(double), MPI_SUM);
  }
  void Max(double* values, std::size_t count) override {
    Reduce(values, count, MPI_DOUBLE, sizeof(double), MPI_MAX);
  }
  void SumGradients(float* values, std::size_t count) override {
    Reduce(values, count, MPI_FLOAT, sizeof(float), MPI_SUM);
  }

  void Barrier() override {
    MPI_Request request;
    Check(MPI_Ibarrier(MPI_COMM_WORLD, &request));
    Wait(request, 1e9);
  }

  void Abort(const std::string&) override {
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();
  }

 private:
  void Reduce(void* values, std::size_t count, MPI_Datatype type, std::size_t size, MPI_Op op) {
    auto* at = static_cast<char*>(values);
    while (count > 0) {
      const int part = static_cast<int>(std::min<std::size_t>(count, INT_MAX / 2));
      MPI_Request request;
      Check(MPI_Iallreduce(MPI_IN_PLACE, at, part, type, op, MPI_COMM_WORLD, &request));
      Wait(request, timeout_);
      at += part * size;
      count -= part;
    }
  }

  // MPI's own wait would burn a core and know no limit.
  void Wait(MPI_Request& request, double limit) {
    const auto begin = Clock::now();
    auto pause = std::chrono::microseconds(0);
    while (true) {
      int done = 0;
      Check(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
      if (done) return;
      const double waited = std::chrono::duration<double>(Clock::now() - begin).count();
      if (waited > limit) {
        char text[160];
        std::snprintf(text, sizeof(text),
                      "rank %d waited %.0f s for the others: one of them hangs or is gone "
                      "(run.rank_timeout); go on from the last checkpoint with --resume",
                      rank_, waited);
        throw Error(ErrorCode::kInternal, text);
      }
      // Short at first, since most waits are.
      if (waited > 0.0005) {
        pause = std::min(pause + std::chrono::microseconds(20), std::chrono::microseconds(1000));
        std::this_thread::sleep_for(pause);
      } else {
        std::this_thread::yield();
      }
    }
  }

  void Check(int code) const {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw Error(ErrorCode::kInternal,
                "rank " + std::to_string(rank_) + " lost the others: " + std::string(text, length));
  }

  double timeout_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

std::unique_ptr<Communicator> ConnectMpi(const Launch& launch, double timeout_seconds) {
  auto communicator = std::make_unique<MpiCommunicator>(timeout_seconds);
  if (communicator->size() != launch.size) {
    throw Error(ErrorCode::kInternal,
                launch.launcher + " started " + std::to_string(launch.size) +
                    " processes, but MPI sees " + std::to_string(communicator->size()) +
                    ": the launcher belongs to another MPI than the one this program was built "
                    "with (srun: try --mpi=pmix)");
  }
  return communicator;
}

bool ShareByMpi(const Launch& launch, std::vector<char>& bytes) {
  if (launch.launcher == "torchrun") return false;
  InitMpi();
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size != launch.size) return false;
  return MPI_Bcast(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, 0, MPI_COMM_WORLD) ==
         MPI_SUCCESS;
}

#else

std::unique_ptr<Communicator> ConnectMpi(const Launch&, double) { return nullptr; }
bool ShareByMpi(const Launch&, std::vector<char>&) { return false; }

#endif

}  // namespace cpl::train
