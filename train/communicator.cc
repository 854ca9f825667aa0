// SPDX-License-Identifier: Apache-2.0
#include "train/communicator.h"

#include <cstdlib>
#include <functional>
#include <string_view>

#include "cpl/error.h"

namespace cpl::train {
namespace {

int Number(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return otherwise;
  char* end = nullptr;
  const long number = std::strtol(value, &end, 10);
  return *end == '\0' ? static_cast<int>(number) : otherwise;
}

}  // namespace

Launch DetectLaunch() {
  Launch launch;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) {
    launch = {"mpirun", Number("OMPI_COMM_WORLD_RANK", 0), Number("OMPI_COMM_WORLD_SIZE", 1),
              Number("OMPI_COMM_WORLD_LOCAL_RANK", 0)};
  } else if (std::getenv("PMI_SIZE") != nullptr && std::getenv("SLURM_STEP_NUM_TASKS") == nullptr) {
    // MPICH and its relatives.
    launch = {"mpirun", Number("PMI_RANK", 0), Number("PMI_SIZE", 1), Number("MPI_LOCALRANKID", 0)};
  } else if (std::getenv("SLURM_STEP_NUM_TASKS") != nullptr &&
             std::getenv("SLURM_PROCID") != nullptr) {
    launch = {"srun", Number("SLURM_PROCID", 0), Number("SLURM_STEP_NUM_TASKS", 1),
              Number("SLURM_LOCALID", 0)};
  } else if (std::getenv("TORCHELASTIC_RUN_ID") != nullptr ||
             (std::getenv("WORLD_SIZE") != nullptr && std::getenv("MASTER_ADDR") != nullptr)) {
    launch = {"torchrun", Number("RANK", 0), Number("WORLD_SIZE", 1), Number("LOCAL_RANK", 0)};
  }
  if (launch.size < 1 || launch.rank < 0 || launch.rank >= launch.size) {
    throw Error(ErrorCode::kInvalidArgument, launch.launcher + " says that this is rank " +
                                                 std::to_string(launch.rank) + " of " +
                                                 std::to_string(launch.size) + ", which cannot be");
  }
  return launch;
}

std::unique_ptr<Communicator> Connect(const Launch& launch, const std::string& device,
                                      double timeout_seconds) {
  if (launch.size == 1) return nullptr;
  if (device == "cuda") {
    auto nccl = ConnectNccl(launch, timeout_seconds);
    if (nccl) return nccl;
    throw Error(ErrorCode::kUnsupported,
                "several GPUs need NCCL, which was not there when this program was built "
                "(meson setup -Dnccl=enabled)");
  }
  if (launch.launcher == "torchrun") {
    throw Error(ErrorCode::kUnsupported,
                "torchrun starts jobs on GPUs (--device cuda); on CPUs start with mpirun -n " +
                    std::to_string(launch.size));
  }
  auto mpi = ConnectMpi(launch, timeout_seconds);
  if (mpi) return mpi;
  throw Error(ErrorCode::kUnsupported,
              "started by " + launch.launcher + " as one of " + std::to_string(launch.size) +
                  " processes, but MPI was not there when this program was built (meson setup "
                  "-Dmpi=enabled, Debian's libopenmpi-dev)");
}

void RequireSame(Communicator& communicator, const std::string& text, const std::string& what) {
  // FNV-1a; 32 bits are exact in a double.
  std::uint32_t hash = 2166136261u;
  for (const unsigned char byte : text) hash = (hash ^ byte) * 16777619u;
  double extremes[2] = {static_cast<double>(hash), -static_cast<double>(hash)};
  communicator.Max(extremes, 2);
  if (extremes[0] == -extremes[1]) return;
  throw Error(ErrorCode::kInvalidArgument,
              "the ranks do not have the same " + what +
                  "; all of them must see the same files and be started with the same arguments");
}

}  // namespace cpl::train
