// SPDX-License-Identifier: Apache-2.0
//
// The files of the page, built into the program (page.cc.in).
#pragma once

namespace cpl::gateway {

extern const char* const kPageHtml;
extern const char* const kPageJs;
extern const char* const kPageCss;

}  // namespace cpl::gateway
