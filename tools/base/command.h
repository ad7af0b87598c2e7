#pragma once
#include <functional>
#include <vector>
#include "tools/base/options.h"

namespace kinema::tools {

/// One subcommand of the program: the constant `NAME_command` in tools/NAME_command.cpp.
struct Command {
  const char* name;
  const char* summary;
  /// Declares its options; what it returns runs once they are set, and gives the exit code.
  std::function<int()> (*define)(Options& options);
  /// Where it is set, the command is a family: its next argument names one of these instead.
  const std::vector<const Command*>& (*topics)() = nullptr;
};

/// All of them, by file name; cmake/tables.cmake writes the lists.
const std::vector<const Command*>& commands();
/// What `kinema visualize` shows: the constants `NAME_visual` in tools/visualize/NAME.cpp.
const std::vector<const Command*>& visuals();

}  // namespace kinema::tools
