// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "cpl/error.h"
#include "model/pickle_globals.h"
#include "model/pth.h"
#include "model/quote.h"
#include "model/zip.h"

namespace cpl {
namespace {

// Writes protocol 2 as torch.save does, but remembers nothing in the memo: names are repeated.
class PickleWriter {
 public:
  PickleWriter() { text_ = "\x80\x02"; }

  void Raw(std::string_view opcodes) { text_ += opcodes; }

  void Text(std::string_view text) {
    text_ += 'X';
    Put(text.size(), 4);
    text_ += text;
  }

  void Int(std::uint64_t number) {
    if (number <= 0xff) {
      text_ += 'K';
      Put(number, 1);
    } else if (number <= 0x7fffffff) {
      text_ += 'J';
      Put(number, 4);
    } else {
      // LONG1 of eight bytes; no size of ours has the top bit set.
      text_ += "\x8a\x08";
      Put(number, 8);
    }
  }

  void Global(std::string_view module, std::string_view name) {
    text_ += 'c';
    text_ += module;
    text_ += '\n';
    text_ += name;
    text_ += '\n';
  }

  void EmptyOrderedDict() {
    Global("collections", "OrderedDict");
    Raw(")R");
  }

  void Ints(const std::vector<std::int64_t>& numbers) {
    Raw("(");
    for (const std::int64_t number : numbers) Int(static_cast<std::uint64_t>(number));
    Raw("t");
  }

  std::string Finish() && { return std::move(text_) + "."; }

 private:
  void Put(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) text_ += static_cast<char>(value >> (8 * i) & 0xff);
  }

  std::string text_;
};

std::vector<std::int64_t> RowMajorStrides(const TensorView& tensor) {
  std::vector<std::int64_t> strides(tensor.shape.size(), 1);
  // Of no numbers any strides will do, and the product of their sides may be beyond 64 bits.
  if (tensor.data.empty()) return strides;
  for (std::size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * tensor.shape[i];
  return strides;
}

void WriteTensor(PickleWriter& out, const TensorView& tensor, const std::string& key) {
  const std::string_view typed = PickleStorageClass(tensor.dtype);
  out.Global("torch._utils", typed.empty() ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  out.Raw("((");
  out.Text("storage");
  if (typed.empty()) {
    out.Global("torch.storage", "UntypedStorage");
  } else {
    out.Global("torch", typed);
  }
  out.Text(key);
  out.Text("cpu");
  out.Int(typed.empty() ? tensor.data.size() : tensor.data.size() / DTypeSize(tensor.dtype));
  out.Raw("tQ");  // The storage ...
  out.Int(0);     // ... from its begin.
  out.Ints(tensor.shape);
  out.Ints(RowMajorStrides(tensor));
  out.Raw("\x89");  // No gradient is wanted, and there are no hooks.
  out.EmptyOrderedDict();
  if (typed.empty()) out.Global("torch", PickleDTypeName(tensor.dtype));
  out.Raw("tR");
}

}  // namespace

void WritePth(const std::string& path, const std::vector<TensorView>& tensors,
              const TensorMetadata& metadata) {
  const auto refuse = [&path](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, path + ": cannot write it: " + what);
  };
  std::vector<std::string_view> names;
  for (const TensorView& tensor : tensors) {
    const std::optional<std::uint64_t> size = TensorBytes(tensor.shape, tensor.dtype);
    if (!size || *size != tensor.data.size()) {
      refuse("tensor " + QuoteForError(tensor.name) +
             " has data that do not fit its shape and type");
    }
    names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) refuse("two tensors have the name " + QuoteForError(*twice));

  PickleWriter out;
  out.Raw("}(");
  out.Text("params");
  out.EmptyOrderedDict();
  out.Raw("(");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    out.Text(tensors[i].name);
    WriteTensor(out, tensors[i], std::to_string(i));
  }
  out.Raw("u");
  if (!metadata.empty()) {
    out.Text("cpl_metadata");
    out.Raw("}(");
    for (const auto& [key, value] : metadata) {
      out.Text(key);
      out.Text(value);
    }
    out.Raw("u");
  }
  out.Raw("u");
  const std::string pickle = std::move(out).Finish();

  const auto text = [](std::string_view bytes) { return std::as_bytes(std::span(bytes)); };
  std::vector<std::string> record_names;
  record_names.reserve(tensors.size());
  std::vector<ZipRecord> records = {{"archive/data.pkl", text(pickle)},
                                    {"archive/byteorder", text("little")}};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    record_names.push_back("archive/data/" + std::to_string(i));
    records.push_back({record_names.back(), tensors[i].data});
  }
  records.push_back({"archive/version", text("3\n")});
  WriteZip(path, records);
}

}  // namespace cpl
