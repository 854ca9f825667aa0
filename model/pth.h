// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes PyTorch's checkpoints (.pth, .pt, .ckpt) without PyTorch and without executing
// anything: a zip archive (zip.h) of PREFIX/data.pkl, a pickle (pickle.h) that says what there is,
// and PREFIX/data/KEY, the numbers.
//
// Which tensors a checkpoint means: those of the dict under the key `params_ema`, else `params`,
// else `state_dict`, else of the outermost dict. What is no tensor there is left out. From the
// names a common prefix `module.` (torch.nn.DataParallel) or `_orig_mod.` (torch.compile) is taken
// off, and in a Lightning checkpoint the name of the one attribute that holds all of them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "model/mapped_file.h"
#include "model/tensor_file.h"

namespace cpl {

// True for zip archives and for the pickles that PyTorch wrote before 1.6: what PthFile either
// reads or has something to say about.
bool LooksLikePth(std::span<const std::byte> bytes);

// A checkpoint that has been checked as a whole, checksums included. Tensors that are contiguous
// point into the file; views that are not, and numbers of the other byte order, are copied.
// Memory is bounded by a small multiple of the file's true size.
class PthFile : public TensorFile {
 public:
  // Throws Error, the message beginning with the path: kNotFound, kCannotRead, kBadFormat (damaged,
  // or without tensors), kUnsupported (naming the compressed record, the opcode, the global, the
  // type; for the old format and TorchScript the command that converts the file).
  static PthFile Open(const std::string& path);

  // The same over memory that the caller keeps alive and unchanged as long as the result is used.
  // `name` stands for the path in errors.
  static PthFile Parse(std::span<const std::byte> bytes, const std::string& name);

  // The same over a file that is open already.
  static PthFile FromMapped(const MappedFile& mapped, const std::string& path);

 private:
  using TensorFile::TensorFile;
};

// Writes {"params": OrderedDict of the tensors, "cpl_metadata": dict of the metadata} atomically,
// in the order given, so that torch.load(path, weights_only=True) reads it; PthFile gives back
// tensors and metadata. The same arguments give the same bytes. Throws Error: kCannotWrite (naming
// the path), kInvalidArgument (two tensors of one name, data of the wrong size), kUnsupported (4
// GiB or more).
void WritePth(const std::string& path, const std::vector<TensorView>& tensors,
              const TensorMetadata& metadata);

}  // namespace cpl
