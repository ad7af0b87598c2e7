#pragma once

namespace kinema::tools {

/// From now on the first SIGINT (Ctrl-C) or SIGTERM only makes interrupted() true, for the program
/// to save what it has and to return interrupted_exit(); a second ends it at once. A file that
/// grows past a limit (SIGXFSZ) fails as one on a full disk does.
void catch_interrupts();
bool interrupted();

/// 128 + the number of the signal: 130 or 143.
int interrupted_exit();

}  // namespace kinema::tools
