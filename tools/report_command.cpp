#include <cstdio>
#include <filesystem>
#include <memory>
#include "engine/report/page.h"
#include "tools/base/command.h"

namespace kinema::tools {

namespace {

std::function<int()> define(Options& options) {
  auto folder = std::make_shared<std::string>();
  options.add("FOLDER", *folder, "run folder");
  return [folder] {
    usage(!folder->empty(), "report: expected the FOLDER of a run");
    engine::report::write_report(*folder);
    std::printf("%s\n", (std::filesystem::path(*folder) / "report.html").c_str());
    return 0;
  };
}

}  // namespace

extern const Command report_command;
const Command report_command = {"report", "write a run's report.html again", define};

}  // namespace kinema::tools
