// SPDX-License-Identifier: Apache-2.0
//
// What the processes ("ranks") of a distributed training say to each other. The engines are MPI, on
// CPUs, and NCCL, on GPUs; each is there if its headers were when this was built.
//
// Every call is collective: all ranks make the same calls in the same order. One thread at a time.
// A rank that keeps the others waiting longer than the time limit makes them throw
// Error(kInternal), which ends the job. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cpl::train {

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;            // 0 .. size() - 1; rank 0 writes files and speaks
  virtual int size() const = 0;            // at least 1
  virtual const char* engine() const = 0;  // "MPI", "NCCL"

  // In place, over all ranks; every rank gets the same bits. Host memory.
  virtual void Sum(double* values, std::size_t count) = 0;
  virtual void Max(double* values, std::size_t count) = 0;

  // Sums float32 gradients in place, in the memory of the device that trains.
  virtual void SumGradients(float* values, std::size_t count) = 0;

  // Waits for all, however long it takes: rank 0 may be measuring or writing.
  virtual void Barrier() = 0;

  // Ends the job, all of its ranks: after an error that the others do not know of. `why` was told.
  [[noreturn]] virtual void Abort(const std::string& why) = 0;
};

// Where a launcher put this process. mpirun, srun and torchrun say so in the environment.
struct Launch {
  std::string launcher;  // "mpirun", "srun", "torchrun"; empty: none
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // among the ranks of this machine: the GPU to use
};
Launch DetectLaunch();

// Connects the ranks of the launch; null for a single process. `device` is "cpu" or "cuda".
// Throws Error(kUnsupported) where the engine was not built in, naming the build option, and
// Error(kInternal) where the ranks do not find each other.
std::unique_ptr<Communicator> Connect(const Launch& launch, const std::string& device,
                                      double timeout_seconds);

// Throws Error(kInvalidArgument), on all ranks alike, unless all pass the same text; `what` names
// it in the message.
void RequireSame(Communicator& communicator, const std::string& text, const std::string& what);

// The engines; null where they were not built in.
std::unique_ptr<Communicator> ConnectMpi(const Launch& launch, double timeout_seconds);
std::unique_ptr<Communicator> ConnectNccl(const Launch& launch, double timeout_seconds);

// Hands `bytes` of rank 0 to all, through what the launcher offers (MPI, or torchrun's store): how
// NCCL's ranks find each other. Throws Error(kUnsupported, kInternal).
void ShareAtStart(const Launch& launch, std::vector<char>& bytes, double timeout_seconds);
bool ShareByMpi(const Launch& launch, std::vector<char>& bytes);  // false where not built in

}  // namespace cpl::train
