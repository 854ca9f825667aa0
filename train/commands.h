// SPDX-License-Identifier: Apache-2.0
//
// The subcommands of `cpl`, one function and one file (cmd_NAME.cc) each. A function registers the
// subcommand with its options; the work is done in its callback, while the arguments are parsed.
//
// Callbacks throw cpl::Error for what a person can mend: main() prints it as one line and exits
// with 1. Progress and results go to stdout, warnings and errors to stderr.
#pragma once

#include <CLI/CLI.hpp>

namespace cpl::train {

void AddInfoCommand(CLI::App& app);
void AddRestoreCommand(CLI::App& app);
void AddEvalCommand(CLI::App& app);
void AddDegradeCommand(CLI::App& app);
void AddConvertCommand(CLI::App& app);
void AddTrainCommand(CLI::App& app);
void AddBenchCommand(CLI::App& app);

}  // namespace cpl::train
