// SPDX-License-Identifier: Apache-2.0
#include "model/quote.h"

namespace cpl {

std::string QuoteForError(std::string_view text) {
  constexpr std::size_t kLongest = 120;
  std::string shown = "\"";
  std::size_t used = 0;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
    if (used >= kLongest && !continues) {
      shown += "...";
      break;
    }
    shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    ++used;
  }
  return shown + "\"";
}

}  // namespace cpl
