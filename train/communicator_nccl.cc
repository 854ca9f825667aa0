// SPDX-License-Identifier: Apache-2.0
//
// Compiled and linked where NCCL's and CUDA's headers are; not run by this project's own tests, for
// which no machine with GPUs was there.
#include "cpl/error.h"
#include "train/communicator.h"

#ifdef CPL_WITH_NCCL
#include <cuda_runtime.h>
#include <nccl.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#endif

namespace cpl::train {

#ifdef CPL_WITH_NCCL
namespace {

using Clock = std::chrono::steady_clock;

void Check(cudaError_t code) {
  if (code == cudaSuccess) return;
  throw Error(ErrorCode::kInternal, std::string("CUDA: ") + cudaGetErrorString(code));
}

void Check(ncclResult_t code) {
  if (code == ncclSuccess || code == ncclInProgress) return;
  throw Error(ErrorCode::kInternal, std::string("NCCL: ") + ncclGetErrorString(code));
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(const Launch& launch, double timeout_seconds)
      : launch_(launch), timeout_(timeout_seconds) {
    int devices = 0;
    Check(cudaGetDeviceCount(&devices));
    if (launch.local_rank >= devices) {
      throw Error(ErrorCode::kInvalidArgument,
                  "rank " + std::to_string(launch.rank) + " is number " +
                      std::to_string(launch.local_rank) + " on its machine, which has " +
                      std::to_string(devices) + " GPUs: start as many processes as GPUs");
    }
    Check(cudaSetDevice(launch.local_rank));
    ncclUniqueId id;
    if (launch.rank == 0) Check(ncclGetUniqueId(&id));
    std::vector<char> bytes(sizeof(id));
    std::memcpy(bytes.data(), &id, sizeof(id));
    ShareAtStart(launch, bytes, timeout_seconds);
    std::memcpy(&id, bytes.data(), sizeof(id));
    Check(ncclCommInitRank(&comm_, launch.size, id, launch.rank));
    Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    Check(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming));
    Check(cudaMalloc(&scratch_, kScratch * sizeof(double)));
  }
  ~NcclCommunicator() override {
    cudaFree(scratch_);
    cudaEventDestroy(done_);
    cudaStreamDestroy(stream_);
    ncclCommDestroy(comm_);
  }

  int rank() const override { return launch_.rank; }
  int size() const override { return launch_.size; }
  const char* engine() const override { return "NCCL"; }

  void Sum(double* values, std::size_t count) override { Host(values, count, ncclSum, timeout_); }
  void Max(double* values, std::size_t count) override { Host(values, count, ncclMax, timeout_); }

  void SumGradients(float* values, std::size_t count) override {
    Check(cudaSetDevice(launch_.local_rank));  // of this thread
    // What LibTorch's streams still write is done first.
    Check(cudaDeviceSynchronize());
    Check(ncclAllReduce(values, values, count, ncclFloat, ncclSum, comm_, stream_));
    Wait(timeout_);
  }

  void Barrier() override {
    double nothing = 0;
    Host(&nothing, 1, ncclSum, 1e9);
  }

  void Abort(const std::string&) override {
    ncclCommAbort(comm_);
    std::_Exit(1);
  }

 private:
  static constexpr std::size_t kScratch = 4096;

  void Host(double* values, std::size_t count, ncclRedOp_t op, double limit) {
    Check(cudaSetDevice(launch_.local_rank));
    for (std::size_t at = 0; at < count; at += kScratch) {
      const std::size_t part = count - at < kScratch ? count - at : kScratch;
      Check(cudaMemcpyAsync(scratch_, values + at, part * sizeof(double), cudaMemcpyHostToDevice,
                            stream_));
      Check(ncclAllReduce(scratch_, scratch_, part, ncclDouble, op, comm_, stream_));
      Check(cudaMemcpyAsync(values + at, scratch_, part * sizeof(double), cudaMemcpyDeviceToHost,
                            stream_));
      Wait(limit);
    }
  }

  void Wait(double limit) {
    Check(cudaEventRecord(done_, stream_));
    const auto begin = Clock::now();
    while (true) {
      const cudaError_t state = cudaEventQuery(done_);
      if (state == cudaSuccess) return;
      if (state != cudaErrorNotReady) Check(state);
      ncclResult_t async = ncclSuccess;
      Check(ncclCommGetAsyncError(comm_, &async));
      Check(async);
      const double waited = std::chrono::duration<double>(Clock::now() - begin).count();
      if (waited > limit) {
        char text[160];
        std::snprintf(text, sizeof(text),
                      "rank %d waited %.0f s for the others: one of them hangs or is gone "
                      "(run.rank_timeout); go on from the last checkpoint with --resume",
                      launch_.rank, waited);
        throw Error(ErrorCode::kInternal, text);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  Launch launch_;
  double timeout_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t done_ = nullptr;
  double* scratch_ = nullptr;
};

}  // namespace

std::unique_ptr<Communicator> ConnectNccl(const Launch& launch, double timeout_seconds) {
  return std::make_unique<NcclCommunicator>(launch, timeout_seconds);
}

#else

std::unique_ptr<Communicator> ConnectNccl(const Launch&, double) { return nullptr; }

#endif

}  // namespace cpl::train
