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
};

/// All of them, by file name; cmake/tables.cmake writes the list.
const std::vector<const Command*>& commands();

}  // namespace kinema::tools
