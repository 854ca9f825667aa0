// SPDX-License-Identifier: Apache-2.0
//
// The input is a pickle: read alone, and as the data.pkl of a checkpoint with four storages.
#include <string>
#include <vector>

#include "model/pickle.h"
#include "model/pth.h"
#include "tests/fuzz/fuzz.h"

namespace cpl::fuzz {
namespace {

void Put(std::string& text, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
}

// A zip archive without checksums (zeros: none were reckoned).
std::string Archive(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string file, directory;
  for (const auto& [name, data] : records) {
    std::string common(14, '\0');
    Put(common, data.size(), 4);
    Put(common, data.size(), 4);
    Put(common, name.size(), 2);
    common += std::string(2, '\0');
    directory += "PK\1\2" + std::string(2, '\0') + common + std::string(12, '\0');
    Put(directory, file.size(), 4);
    directory += name;
    file += "PK\3\4" + common + name + data;
  }
  const std::size_t at = file.size();
  file += directory + "PK\5\6" + std::string(4, '\0');
  Put(file, records.size(), 2);
  Put(file, records.size(), 2);
  Put(file, directory.size(), 4);
  Put(file, at, 4);
  return file + std::string(2, '\0');
}

// Follows objects a few levels down; they may contain themselves.
void Walk(const Pickle& pickle, PickleRef object, int depth) {
  volatile std::size_t used = pickle.text(object).size();
  if (pickle.kind(object) == PickleKind::kTensor) {
    const PickledTensor tensor = pickle.tensor(object);
    Require(tensor.shape.size() == tensor.strides.size());
    Require(TensorBytes(tensor.shape, tensor.dtype).has_value());
    used = used + tensor.storage.key.size();
  }
  if (depth == 0) return;
  std::size_t left = 100;
  for (const PickleRef item : pickle.items(object)) {
    if (left-- == 0) break;
    Walk(pickle, item, depth - 1);
  }
}

}  // namespace
}  // namespace cpl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cpl;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  fuzz::MayThrow([&] {
    const Pickle pickle = Pickle::Read(bytes, "FILE");
    fuzz::Walk(pickle, pickle.root(), 2);
    const std::string numbers(432, 'n');
    // The sizes of the storages in the corpus, and one that fits nothing.
    const std::string archive =
        fuzz::Archive({{"a/data.pkl", std::string(reinterpret_cast<const char*>(data), size)},
                       {"a/byteorder", size % 2 ? "big" : "little"},
                       {"a/data/0", numbers.substr(0, 24)},
                       {"a/data/1", numbers.substr(0, 8)},
                       {"a/data/2", numbers.substr(0, 96)},
                       {"a/data/3", numbers.substr(0, 5)}});
    fuzz::CheckTensors(PthFile::Parse(std::as_bytes(std::span(archive)), "FILE"));
  });
  return 0;
}
