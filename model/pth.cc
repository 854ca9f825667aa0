// SPDX-License-Identifier: Apache-2.0
#include "model/pth.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "cpl/error.h"
#include "model/pickle.h"
#include "model/quote.h"
#include "model/zip.h"

static_assert(std::endian::native == std::endian::little, "tensors are handed out little-endian");

namespace cpl {
namespace {

constexpr char kPickleName[] = "data.pkl";
constexpr std::size_t kNamesInError = 10;

// The number by which torch.save began its files before 1.6, as a pickle has it.
constexpr char kLegacyMagic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

bool LooksLikeLegacy(std::span<const std::byte> bytes) {
  const std::span<const std::byte> magic = std::as_bytes(std::span(kLegacyMagic)).first(10);
  const std::span<const std::byte> head = bytes.first(std::min<std::size_t>(bytes.size(), 32));
  return std::search(head.begin(), head.end(), magic.begin(), magic.end()) != head.end();
}

// Python's repr of a path: it goes into a command that a person runs.
std::string PythonText(const std::string& text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\\' || c == '\'') quoted += '\\';
    quoted += c;
  }
  return "'" + quoted + "'";
}

std::string ConvertCommand(const std::string& path) {
  return "python3 -c \"import torch; torch.save(torch.load(" + PythonText(path) +
         ", map_location='cpu', weights_only=True), " + PythonText(path + ".new.pth") + ")\"";
}

struct CopiedTensors {
  MappedFile file;
  std::vector<std::vector<std::byte>> buffers;
};

class PthReader {
 public:
  PthReader(const MappedFile& mapped, const std::string& path)
      : path_(path), store_(std::make_shared<CopiedTensors>()) {
    store_->file = mapped;
    // Views can stand for more numbers than there are in the file; so many more may be asked for.
    copies_left_ = (std::size_t{16} << 20) + 4 * mapped.bytes.size();
  }

  void Read() {
    if (!LooksLikeZip(store_->file.bytes)) RefuseForeign();
    for (const ZipRecord& record : ReadZip(store_->file.bytes, path_)) {
      records_.emplace(record.name, record);
    }
    FindPrefix();
    ReadByteOrder();
    const ZipRecord& pickle = Record(kPickleName);
    CheckSum(pickle);
    pickle_ = Pickle::Read(pickle.data, path_);
    ReadMetadata();
    ReadTensors(ChooseDict());
    StripPrefixes();
  }

  TensorMetadata TakeMetadata() { return std::move(metadata_); }
  std::vector<TensorView> TakeTensors() { return std::move(tensors_); }
  std::shared_ptr<const void> owner() const { return store_; }

 private:
  [[noreturn]] void Bad(const std::string& what) const {
    throw Error(ErrorCode::kBadFormat, path_ + ": " + what);
  }

  [[noreturn]] void Unsupported(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported, path_ + ": " + what);
  }

  [[noreturn]] void RefuseForeign() const {
    if (LooksLikeLegacy(store_->file.bytes)) {
      Unsupported("a checkpoint in the format that PyTorch wrote before 1.6; convert it once: " +
                  ConvertCommand(path_));
    }
    Bad("not a PyTorch checkpoint (no zip archive)");
  }

  void FindPrefix() {
    std::optional<std::string_view> found;
    for (const auto& [name, record] : records_) {
      const std::size_t slash = name.find('/');
      if (slash == std::string_view::npos || name.substr(slash + 1) != kPickleName) continue;
      if (found) Bad("a zip archive with more than one data.pkl in it");
      found = name.substr(0, slash + 1);
    }
    if (!found) Bad("a zip archive, but no PyTorch checkpoint (there is no data.pkl in a folder)");
    prefix_ = *found;
    if (records_.count(prefix_ + "constants.pkl") > 0) {
      Unsupported(
          "a TorchScript program; save its weights alone: python3 -c \"import torch; "
          "torch.save(torch.jit.load(" +
          PythonText(path_) + ").state_dict(), " + PythonText(path_ + ".new.pth") +
          ")\" (which runs the program)");
    }
  }

  const ZipRecord& Record(const std::string& name) const {
    const auto found = records_.find(prefix_ + name);
    if (found == records_.end()) Bad("it has no record " + QuoteForError(name));
    const ZipRecord& record = found->second;
    if (record.method != 0) {
      Unsupported(
          "record " + QuoteForError(record.name) + " is compressed (method " +
          std::to_string(record.method) +
          "), which PyTorch does not do; unzip the file and pack it again with `zip -0 -r`");
    }
    return record;
  }

  void CheckSum(const ZipRecord& record) {
    if (!summed_[record.name] && !ChecksumHolds(record)) {
      Bad("record " + QuoteForError(record.name) + " is damaged (its checksum is another)");
    }
    summed_[record.name] = true;
  }

  // Files from before the record was introduced are little-endian: nobody had the others.
  void ReadByteOrder() {
    if (records_.count(prefix_ + "byteorder") == 0) return;
    const std::span<const std::byte> data = Record("byteorder").data;
    const std::string_view order(reinterpret_cast<const char*>(data.data()), data.size());
    if (order != "little" && order != "big") Bad("unknown byte order " + QuoteForError(order));
    swap_ = order == "big";
  }

  void ReadMetadata() {
    const auto found = pickle_.Find(pickle_.root(), "cpl_metadata");
    if (!found || pickle_.kind(*found) != PickleKind::kDict) return;
    const std::span<const PickleRef> entries = pickle_.items(*found);
    for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
      if (pickle_.kind(entries[i]) != PickleKind::kText ||
          pickle_.kind(entries[i + 1]) != PickleKind::kText) {
        Bad("its cpl_metadata holds something that is no text");
      }
      metadata_[std::string(pickle_.text(entries[i]))] = pickle_.text(entries[i + 1]);
    }
  }

  PickleRef ChooseDict() const {
    const PickleRef root = pickle_.root();
    if (pickle_.kind(root) != PickleKind::kDict) {
      Bad("a PyTorch file, but no checkpoint: it holds no dict of tensors");
    }
    for (const char* key : {"params_ema", "params", "state_dict"}) {
      const auto found = pickle_.Find(root, key);
      if (found && pickle_.kind(*found) == PickleKind::kDict) return *found;
    }
    return root;
  }

  void ReadTensors(PickleRef dict) {
    const std::span<const PickleRef> entries = pickle_.items(dict);
    std::string others;
    std::size_t other_count = 0;
    for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
      const PickleRef key = entries[i];
      if (pickle_.kind(key) == PickleKind::kText &&
          pickle_.kind(entries[i + 1]) == PickleKind::kTensor) {
        ReadTensor(std::string(pickle_.text(key)), pickle_.tensor(entries[i + 1]));
      } else if (pickle_.kind(key) == PickleKind::kText && other_count++ < kNamesInError) {
        others += (others.empty() ? "" : ", ") + QuoteForError(pickle_.text(key));
      }
    }
    if (tensors_.empty()) {
      Bad("a PyTorch checkpoint without tensors where they are looked for (params_ema, params, "
          "state_dict, or the outermost dict" +
          (others.empty() ? "" : ", which has " + others) + ")");
    }
  }

  void ReadTensor(const std::string& name, const PickledTensor& tensor) {
    const auto bad_tensor = [&](const std::string& what) {
      Bad("tensor " + QuoteForError(name) + " " + what);
    };
    const ZipRecord& record = Record("data/" + std::string(tensor.storage.key));
    if (record.data.size() != tensor.storage.bytes) {
      bad_tensor("says its storage has " + std::to_string(tensor.storage.bytes) +
                 " bytes, and its record " + QuoteForError(record.name) + " has " +
                 std::to_string(record.data.size()));
    }
    CheckSum(record);
    const std::size_t size = DTypeSize(tensor.dtype);
    const std::uint64_t bytes = TensorBytes(tensor.shape, tensor.dtype).value();
    TensorView view{name, tensor.dtype, tensor.shape, {}};
    if (bytes > 0 && IsContiguous(tensor) && (!swap_ || size == 1)) {
      view.data = record.data.subspan(tensor.offset * size, bytes);
    } else if (bytes > 0) {
      if (bytes > copies_left_) {
        bad_tensor("is a view that repeats its few numbers to " + std::to_string(bytes) +
                   " bytes, too many for a file of this size");
      }
      copies_left_ -= bytes;
      view.data = Copy(tensor, record.data, bytes);
    }
    tensors_.push_back(std::move(view));
  }

  static bool IsContiguous(const PickledTensor& tensor) {
    std::int64_t expected = 1;
    for (std::size_t i = tensor.shape.size(); i-- > 0;) {
      if (tensor.shape[i] == 1) continue;
      if (tensor.strides[i] != expected) return false;
      expected *= tensor.shape[i];
    }
    return true;
  }

  // The numbers in row-major order, little-endian.
  std::span<const std::byte> Copy(const PickledTensor& tensor, std::span<const std::byte> from,
                                  std::uint64_t bytes) {
    std::vector<std::byte>& to = store_->buffers.emplace_back(bytes);
    const std::size_t size = DTypeSize(tensor.dtype);
    std::vector<std::int64_t> index(tensor.shape.size(), 0);
    std::uint64_t source = tensor.offset;
    for (std::size_t at = 0; at < bytes; at += size) {
      std::memcpy(&to[at], &from[source * size], size);
      for (std::size_t d = index.size(); d-- > 0;) {
        source += static_cast<std::uint64_t>(tensor.strides[d]);
        if (++index[d] < tensor.shape[d]) break;
        source -= static_cast<std::uint64_t>(tensor.strides[d]) *
                  static_cast<std::uint64_t>(tensor.shape[d]);
        index[d] = 0;
      }
    }
    // A complex number is two of half its size.
    const std::size_t word = tensor.dtype == DType::kC64 ? size / 2 : size;
    if (swap_) {
      for (auto it = to.begin(); it != to.end(); it += static_cast<std::ptrdiff_t>(word)) {
        std::reverse(it, it + static_cast<std::ptrdiff_t>(word));
      }
    }
    return to;
  }

  void StripPrefixes() {
    if (pickle_.Find(pickle_.root(), "pytorch-lightning_version")) {
      const std::string& first = tensors_.front().name;
      Strip(first.substr(0, first.find('.') + 1));
    }
    bool stripped = true;
    while (stripped) {
      stripped = Strip("module.") || Strip("_orig_mod.");
    }
  }

  // From all names or from none.
  bool Strip(const std::string& prefix) {
    const auto has = [&prefix](const TensorView& tensor) {
      return tensor.name.size() > prefix.size() && tensor.name.starts_with(prefix);
    };
    if (prefix.empty() || !std::all_of(tensors_.begin(), tensors_.end(), has)) return false;
    for (TensorView& tensor : tensors_) tensor.name.erase(0, prefix.size());
    return true;
  }

  const std::string& path_;
  std::shared_ptr<CopiedTensors> store_;
  std::map<std::string_view, ZipRecord, std::less<>> records_;
  std::string prefix_;
  bool swap_ = false;
  std::map<std::string_view, bool> summed_;
  std::size_t copies_left_ = 0;
  Pickle pickle_;
  TensorMetadata metadata_;
  std::vector<TensorView> tensors_;
};

}  // namespace

bool LooksLikePth(std::span<const std::byte> bytes) {
  // A safetensors file may begin with any length, and then has a brace.
  const bool brace = bytes.size() > 8 && bytes[8] == std::byte{'{'};
  return !brace && (LooksLikeZip(bytes) || LooksLikeLegacy(bytes));
}

PthFile PthFile::Open(const std::string& path) { return FromMapped(MappedFile::Open(path), path); }

PthFile PthFile::Parse(std::span<const std::byte> bytes, const std::string& name) {
  return FromMapped({bytes, nullptr}, name);
}

PthFile PthFile::FromMapped(const MappedFile& mapped, const std::string& path) {
  PthReader reader(mapped, path);
  reader.Read();
  return {path, reader.TakeMetadata(), reader.TakeTensors(), reader.owner()};
}

}  // namespace cpl
