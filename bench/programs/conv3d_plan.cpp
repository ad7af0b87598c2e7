// conv3d_plan [OPTIONS] [PASS X W ...]: plans of convolutions, none of which is run: of every layer
// of the suite, or of one by its text (kernels/conv3d/conv3d_problem.h).
#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <optional>
#include "kernels/conv3d/conv3d_plan_file.h"
#include "kernels/conv3d/conv3d_plan_model.h"
#include "kernels/conv3d/conv3d_suite.h"

using namespace kinema::kernels;

namespace {

struct Settings {
  std::string gpu = "h200", type = "bf16", pass = "all", suite = "bench/conv3d_shapes.csv", plans;
  bool headlines = false;
  std::vector<std::string> words;  ///< of a problem; none: the suite
};

const Gpu& gpu_named(const std::string& name) {
  if (name == "a100") return a100;
  return name == "99kb" ? small_shared_memory : h200;
}

Dtype type_named(const std::string& name) {
  if (name == "bf16") return Dtype::bf16;
  return name == "f16" ? Dtype::f16 : Dtype::f32;
}

/// The floors, of bf16 on an H200, stand beside plans of whatever type and GPU.
void print_suite(const Settings& s) {
  double predicted = 0, floors = 0;
  for (Conv3dSuiteRow row : read_conv3d_suite(s.suite)) {
    row.options.tf32 = s.type == "tf32";
    for (size_t pass = 0; pass < 3; ++pass) {
      const double floor = row.floor_us[pass];
      const bool wanted = s.pass == "all" || s.pass == name_of(Conv3dPass(pass));
      if (!wanted || floor == 0 || (s.headlines && !row.headline)) continue;
      const Conv3dProblem p =
          conv3d_fresh_problem(Conv3dPass(pass), row.options, row.x, row.w, type_named(s.type));
      const Conv3dPlan plan = conv3d_current_plan(p, gpu_named(s.gpu));
      std::cout << row.id << ' ' << row.model << ' ' << row.layer.substr(0, row.layer.find(' '))
                << ": " << p << "\n    " << plan << "; floor " << floor << " us\n";
      predicted += plan.predicted_us;
      floors += floor;
    }
  }
  std::cout << "all: " << predicted << " us predicted, floor " << floors << " us\n";
}

void run(const Settings& s) {
  std::optional<Conv3dPlanFileScope> file;
  if (!s.plans.empty()) file.emplace(s.plans);
  if (s.words.empty()) return print_suite(s);
  std::string text;
  for (const std::string& word : s.words) text += word + ' ';
  const Conv3dProblem p = conv3d_problem_from(text);
  std::cout << p << "\n    " << conv3d_current_plan(p, gpu_named(s.gpu)) << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app(
      "Plans of convolutions: of the suite, or of one layer, as in\n"
      "  conv3d_plan forward 8,16,56,56,64 128,3,3,3,64 pad=1,1,1 type=bf16");
  app.add_option("--gpu", s.gpu, "what they are planned for")
      ->check(CLI::IsMember({"h200", "a100", "99kb"}));
  app.add_option("--type", s.type, "of the suite's tensors")
      ->check(CLI::IsMember({"bf16", "f16", "f32", "tf32"}));
  app.add_option("--pass", s.pass, "of the suite")
      ->check(CLI::IsMember({"all", "forward", "grad_input", "grad_weight"}));
  app.add_option("--suite", s.suite, "file of the suite");
  app.add_option("--plans", s.plans, "file of overrides");
  app.add_flag("--headlines", s.headlines, "the suite's headline rows alone");
  app.add_option("problem", s.words, "pass, x, w and options of one layer");
  CLI11_PARSE(app, argc, argv);
  try {
    run(s);
  } catch (const Error& e) {
    std::cerr << "conv3d_plan: " << e.what() << '\n';
    return 1;
  }
}
