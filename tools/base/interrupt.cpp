#include "tools/base/interrupt.h"
#include <csignal>

namespace kinema::tools {

namespace {

volatile std::sig_atomic_t caught = 0;

void remember(int number) {
  caught = number;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
  std::signal(SIGINT, remember);
  std::signal(SIGTERM, remember);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupted() { return caught != 0; }

int interrupted_exit() { return 128 + int(caught); }

}  // namespace kinema::tools
