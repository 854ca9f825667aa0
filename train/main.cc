// SPDX-License-Identifier: Apache-2.0
//
// `cpl`: trains, evaluates, restores, degrades and measures.
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <string>

#include "cpl/error.h"
#include "train/commands.h"
#include "train/interrupt.h"

namespace cpl::train {
namespace {

// One line, whatever the message holds.
int Fail(std::string message) {
  for (char& c : message) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  while (!message.empty() && message.back() == ' ') message.pop_back();
  std::fflush(stdout);
  std::fprintf(stderr, "cpl: %s\n", message.c_str());
  return 1;
}

// Breaks long descriptions, which CLI11 2.1 does not.
class WrappingFormatter : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    constexpr std::size_t kColumns = 64;
    std::istringstream words(CLI::Formatter::make_option_desc(option));
    std::string text, word;
    std::size_t used = 0;
    while (words >> word) {
      if (used > 0 && used + 1 + word.size() > kColumns) {
        text += '\n';
        used = 0;
      } else if (used > 0) {
        text += ' ';
        ++used;
      }
      text += word;
      used += word.size();
    }
    return text;
  }
};

// Ends as the signal would have ended us, so that a shell's loop stops too.
[[noreturn]] void Die(int signal) {
  std::fflush(stdout);
  std::fprintf(stderr, "cpl: interrupted; no unfinished file was kept\n");
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  std::_Exit(128 + signal);
}

int UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  for (const CLI::App* sub : app.get_subcommands()) command = sub;
  const std::string name = command == &app ? "cpl" : "cpl " + command->get_name();
  return Fail(std::string(error.what()) + " (see " + name + " --help)");
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Removes rain, haze, snow and noise from pictures and video; trains and measures the models "
      "that do it.\nEach command explains itself: cpl COMMAND --help",
      "cpl");
  app.set_version_flag("--version", std::string("cpl " CPL_VERSION));
  app.require_subcommand(1);
  const auto formatter = std::make_shared<WrappingFormatter>();
  formatter->column_width(34);
  app.formatter(formatter);  // the subcommands inherit it
  AddRestoreCommand(app);
  AddInfoCommand(app);
  AddEvalCommand(app);
  AddDegradeCommand(app);
  AddConvertCommand(app);
  AddTrainCommand(app);
  AddBenchCommand(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return UsageError(app, error);
  } catch (const Interrupted& interrupted) {
    Die(interrupted.signal);
  } catch (const std::bad_alloc&) {
    return Fail("out of memory");
  } catch (const std::exception& error) {
    return Fail(error.what());
  }
}

}  // namespace
}  // namespace cpl::train

int main(int argc, char** argv) {
  cpl::train::InstallInterruptHandlers();
  return cpl::train::Main(argc, argv);
}
