#pragma once

namespace kinema::tools {

/// From now on the first Ctrl-C only makes interrupted() true; the second ends the program.
void catch_interrupts();
bool interrupted();

/// What a program that Ctrl-C ended returns: 128 + SIGINT.
inline constexpr int interrupted_exit = 130;

}  // namespace kinema::tools
