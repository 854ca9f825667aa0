// SPDX-License-Identifier: Apache-2.0
//
// Stands for a LibTorch that was uninstalled: a runtime of the tests links to it, and the file is
// not where the loader looks for it.
extern "C" int cpl_lost_function() { return 1; }
