#include "kernels/conv3d/conv3d_plan_file.h"
#include <atomic>
#include <fstream>
#include "kernels/conv3d/conv3d_words.h"

namespace kinema::kernels {

namespace {

void set_choice(const std::string& key, const std::string& value, Conv3dOverride& o) {
  if (key == "algorithm") {
    o.algorithm = int(choice_from<Conv3dAlgorithm>(value, conv3d_algorithms, "an algorithm"));
  } else if (key == "columns") {
    o.columns = int(number_from(value, 1, value));
  } else if (key == "stages") {
    o.stages = int(number_from(value, 1, value));
  } else if (key == "splits") {
    o.splits = int(number_from(value, 1, value));
  } else {
    fail("expected algorithm=, columns=, stages= or splits=, got '", key, "'");
  }
}

std::atomic<std::shared_ptr<const Conv3dPlanFile>> file_of_process;

}  // namespace

Conv3dPlanFile::Conv3dPlanFile(const std::string& path) {
  std::ifstream file(path);
  check(bool(file), "conv3d plans: cannot read ", path);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::string where = path + ":" + std::to_string(number);
    try {
      add(line.substr(0, line.find('#')), where);
    } catch (const Error& e) {
      fail(where, ": ", e.what());
    }
  }
  check(!file.bad(), "conv3d plans: cannot read ", path);
}

void Conv3dPlanFile::add(const std::string& line, const std::string& where) {
  if (words_of(line).empty()) return;
  const std::vector<std::string> halves = split_at(line, ":");
  check(halves.size() == 2, "expected PASS X W and options : choices, got '", line, "'");
  Line added{.problem = conv3d_problem_from(halves[0]), .choice = {}, .where = where};
  const std::vector<std::string> words = words_of(halves[1]);
  check(!words.empty(), "expected a choice behind the colon, as in columns=64");
  for_pairs(words, 0, [&](const std::string& key, const std::string& value) {
    set_choice(key, value, added.choice);
  });
  for (const Line& other : lines_)
    check(!same_layer(other.problem, added.problem), "the layer has a line already, ", other.where);
  lines_.push_back(added);
}

Conv3dPlan Conv3dPlanFile::plan(const Conv3dProblem& p, const Gpu& gpu) const {
  for (const Line& line : lines_) {
    if (!same_layer(line.problem, p)) continue;
    try {
      return conv3d_plan(p, gpu, line.choice);
    } catch (const Error& e) {
      fail(line.where, ": ", e.what());
    }
  }
  return conv3d_plan(p, gpu);
}

Conv3dPlanFileScope::Conv3dPlanFileScope(const std::string& path)
    : before_(file_of_process.exchange(std::make_shared<Conv3dPlanFile>(path))) {}
Conv3dPlanFileScope::~Conv3dPlanFileScope() { file_of_process = before_; }

Conv3dPlan conv3d_current_plan(const Conv3dProblem& p, const Gpu& gpu) {
  const Conv3dOverride& of_thread = Conv3dPlanScope::current();
  if (of_thread != Conv3dOverride{}) return conv3d_plan(p, gpu, of_thread);
  const std::shared_ptr<const Conv3dPlanFile> file = file_of_process;
  return file ? file->plan(p, gpu) : conv3d_plan(p, gpu);
}

}  // namespace kinema::kernels
