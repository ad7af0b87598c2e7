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

void print_help(std::FILE* to, const std::string& usage,
                const std::vector<const Command*>& choices) {
  std::fprintf(to, "kinema: deep learning on video.\n\nUsage: %s [OPTIONS]\n\n", usage.c_str());
  for (const Command* c : choices) std::fprintf(to, "  %-12s%s\n", c->name, c->summary);
  std::fprintf(to, "\n'%s --help' lists its options.\n", usage.c_str());
}

const Command& find_command(const std::string& name, const std::vector<const Command*>& choices,
                            const std::string& what) {
  std::vector<std::string> names;
  for (const Command* c : choices) {
    if (name == c->name) return *c;
    names.push_back(c->name);
  }
  throw UsageError("unknown " + what + " '" + name + "'" + engine::io::suggestion(name, names));
}

bool asks_for_help(const std::string& argument) {
  return argument == "--help" || argument == "-h" || argument == "help";
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    print_help(stderr, "kinema COMMAND", commands());
    return 2;
  }
  const std::string& first = arguments[0];
  if (asks_for_help(first)) {
    print_help(stdout, "kinema COMMAND", commands());
    return 0;
  }
  if (first == "--version") {
    std::printf("kinema %s\n", KINEMA_VERSION);
    return 0;
  }
  const Command* command = &find_command(first, commands(), "command");
  std::string title = std::string("kinema ") + command->name;
  int64_t read = 1;
  if (command->topics) {
    const std::vector<const Command*>& topics = command->topics();
    const bool asked = arguments.size() > 1 && asks_for_help(arguments[1]);
    if (asked || arguments.size() < 2) {
      print_help(asked ? stdout : stderr, title + " WHAT", topics);
      return asked ? 0 : 2;
    }
    command = &find_command(arguments[1], topics, first + " topic");
    title += std::string(" ") + command->name;
    read = 2;
  }
  CLI::App app(command->summary, title);
  Options options(app);
  const std::function<int()> job = command->define(options);
  if (options.parse({arguments.begin() + read, arguments.end()})) return 0;
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
