// SPDX-License-Identifier: Apache-2.0
#include "model/cuda_support.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "cpl/error.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;

constexpr char kBackend[] = "libcpl_cuda.so";
constexpr char kRemedy[] = ", or set device to cpu or auto.";

// LibTorch's CUDA libraries run on any driver of the same major version of CUDA or a later one.
#ifdef CPL_CUDA_MAJOR
constexpr int kLeastDriver = CPL_CUDA_MAJOR * 1000;
#else
constexpr int kLeastDriver = 13000;
#endif
// What LibTorch is compiled for begins here.
constexpr int kLeastCapability = 75;

fs::path BackendFile() {
  if (const char* named = std::getenv("CPL_CUDA_BACKEND"); named && *named) return named;
  Dl_info info;
  std::error_code error;
  fs::path own;
  if (dladdr(reinterpret_cast<const void*>(&CheckCuda), &info) != 0 && info.dli_fname) {
    own = fs::canonical(info.dli_fname, error);
  }
  if (own.empty() || error) own = fs::canonical("/proc/self/exe", error);
  own = own.parent_path();
  // The build tree (build/model/libcpl.so, build/train/cpl), then installations of libcpl.so and of
  // the command.
  for (const fs::path& folder :
       {own.parent_path() / "cuda", own, (own / CPL_RUNTIME_FROM_BIN).lexically_normal()}) {
    if (fs::exists(folder / kBackend, error)) return folder / kBackend;
  }
  return {};
}

// The parts of the driver's interface (cuda.h) that tell what there is.
struct Driver {
  int (*init)(unsigned);
  int (*version)(int*);
  int (*count)(int*);
  int (*get)(int* device, int ordinal);
  int (*attribute)(int* value, int attribute, int device);
  int (*name)(char* name, int size, int device);
};
constexpr int kNoDevice = 100;        // CUDA_ERROR_NO_DEVICE
constexpr int kMismatch = 803;        // CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
constexpr int kCapabilityMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
constexpr int kCapabilityMinor = 76;

const Driver& OpenDriver() {
  static const Driver driver = [] {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      throw Error(ErrorCode::kUnsupported,
                  std::string("There is no NVIDIA driver (libcuda.so.1 cannot be opened): install "
                              "one") +
                      kRemedy);
    }
    Driver found{};
    const auto find = [&](auto& function, const char* symbol) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, symbol));
      return function != nullptr;
    };
    if (!find(found.init, "cuInit") || !find(found.version, "cuDriverGetVersion") ||
        !find(found.count, "cuDeviceGetCount") || !find(found.get, "cuDeviceGet") ||
        !find(found.attribute, "cuDeviceGetAttribute") || !find(found.name, "cuDeviceGetName")) {
      throw Error(ErrorCode::kUnsupported,
                  std::string("libcuda.so.1 is no NVIDIA driver: install one") + kRemedy);
    }
    return found;
  }();
  return driver;
}

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void CheckDriver(int device_id) {
  const Driver& driver = OpenDriver();
  const int status = driver.init(0);
  int version = 0;
  if (driver.version(&version) == 0 && version < kLeastDriver) {
    throw Error(ErrorCode::kUnsupported,
                "The NVIDIA driver is too old: it knows CUDA " + VersionText(version) + ", and " +
                    VersionText(kLeastDriver) + " is needed. Install a newer one" + kRemedy);
  }
  if (status == kMismatch) {
    throw Error(ErrorCode::kUnsupported,
                std::string("The NVIDIA driver's library and its kernel module are of different "
                            "versions: restart the machine") +
                    kRemedy);
  }
  int count = 0;
  if (status == kNoDevice || (status == 0 && (driver.count(&count) != 0 || count == 0))) {
    throw Error(ErrorCode::kNotFound,
                std::string("The NVIDIA driver sees no GPU: check nvidia-smi and "
                            "CUDA_VISIBLE_DEVICES") +
                    kRemedy);
  }
  if (status != 0) {
    throw Error(ErrorCode::kUnsupported, "The NVIDIA driver does not start (error " +
                                             std::to_string(status) + "): check nvidia-smi" +
                                             kRemedy);
  }
  const int id = device_id < 0 ? 0 : device_id;
  if (id >= count) {
    throw Error(ErrorCode::kNotFound, "There is no GPU " + std::to_string(id) +
                                          ", the driver sees " + std::to_string(count) +
                                          " (numbered from 0): correct cuda-device-id" + kRemedy);
  }
  int device = 0, major = 0, minor = 0;
  char name[256] = "unknown";
  if (driver.get(&device, id) != 0 || driver.attribute(&major, kCapabilityMajor, device) != 0 ||
      driver.attribute(&minor, kCapabilityMinor, device) != 0) {
    throw Error(ErrorCode::kUnsupported,
                "GPU " + std::to_string(id) + " does not answer: check nvidia-smi" + kRemedy);
  }
  driver.name(name, sizeof name, device);
  if (10 * major + minor < kLeastCapability) {
    throw Error(ErrorCode::kUnsupported,
                "GPU " + std::to_string(id) + " (" + name + ") is of compute capability " +
                    std::to_string(major) + "." + std::to_string(minor) +
                    "; 7.5 (Turing) or later is needed: choose another with cuda-device-id" +
                    kRemedy);
  }
}

std::string FindBackend() {
  const fs::path file = BackendFile();
  if (file.empty()) {
    throw Error(ErrorCode::kUnsupported,
                std::string("This build of cplrestore cannot use a GPU, since it was built without "
                            "CUDA: build it where nvcc and LibTorch with CUDA are") +
                    kRemedy);
  }
  return file.string();
}

cuda::DeviceFunction OpenBackend(const std::string& file) {
  // LibTorch's CUDA part must come before the first question for CUDA in the process, which it
  // answers once for all. Never closed.
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw Error(ErrorCode::kUnsupported,
                std::string("The CUDA backend cannot be opened (") + (reason ? reason : file) +
                    "): install LibTorch with its CUDA libraries (CPL_TORCH=full ./setup.sh)" +
                    kRemedy);
  }
  const auto function = reinterpret_cast<cuda::DeviceFunction>(dlsym(library, cuda::kDeviceSymbol));
  if (function == nullptr) {
    throw Error(ErrorCode::kUnsupported, file + " is not cplrestore's CUDA backend.");
  }
  return function;
}

}  // namespace

void CheckCuda(int device_id) {
  FindBackend();
  CheckDriver(device_id);
}

cuda::Device& OpenCudaDevice(int device_id) {
  const std::string file = FindBackend();
  CheckDriver(device_id);
  char error[512] = "";
  cuda::Device* device =
      OpenBackend(file)(cuda::kDeviceAbi, device_id < 0 ? 0 : device_id, error, sizeof error);
  if (device == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                "The CUDA backend " + file + " cannot be used: " + error + kRemedy);
  }
  return *device;
}

}  // namespace cpl
