#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>
#include "engine/io/text.h"
#include "tools/base/command.h"

namespace kinema::tools {
namespace {

/// Lets OpenMP's threads sleep while they wait: spinning, as libgomp does by itself, they take the
/// cores from the threads that decode and from other programs. libgomp reads the policy
/// before main(), so the program starts itself once more with it.
void wait_asleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY")) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);  // where that cannot be, threads spin
}

void print_help(std::FILE* to) {
  std::fputs("kinema: deep learning on video.\n\nUsage: kinema COMMAND [OPTIONS]\n\n", to);
  for (const Command* c : commands()) std::fprintf(to, "  %-12s%s\n", c->name, c->summary);
  std::fputs("\n'kinema COMMAND --help' lists a command's options.\n", to);
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command* c : commands()) {
    if (name == c->name) return *c;
    names.push_back(c->name);
  }
  throw UsageError("unknown command '" + name + "'" + engine::io::suggestion(name, names));
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    print_help(stderr);
    return 2;
  }
  const std::string& first = arguments[0];
  if (first == "--help" || first == "-h" || first == "help") {
    print_help(stdout);
    return 0;
  }
  if (first == "--version") {
    std::printf("kinema %s\n", KINEMA_VERSION);
    return 0;
  }
  const Command& command = find_command(first);
  CLI::App app(command.summary, std::string("kinema ") + command.name);
  Options options(app);
  const std::function<int()> job = command.define(options);
  if (options.parse({arguments.begin() + 1, arguments.end()})) return 0;
  return job();
}

}  // namespace
}  // namespace kinema::tools

int main(int argc, char** argv) {
  kinema::tools::wait_asleep(argv);
  try {
    return kinema::tools::run({argv + 1, argv + argc});
  } catch (const kinema::tools::UsageError& e) {
    std::fprintf(stderr, "kinema: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kinema: %s\n", e.what());
    return 1;
  }
}
