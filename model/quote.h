// SPDX-License-Identifier: Apache-2.0
//
// Text out of files, in messages.
#pragma once

#include <string>
#include <string_view>

namespace cpl {

// A string out of a file, fit to be shown: quoted, short, and without control characters.
std::string QuoteForError(std::string_view text);

}  // namespace cpl
