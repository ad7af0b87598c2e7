// conv3d_cudnn_plans: what cuDNN would run for each layer of the suite (bench/conv3d_shapes.csv),
// as its heuristics rank plans for a GPU that need not be at hand: engine, workspace and what the
// engine notes of its numbers. Nothing is run.
#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <limits>
#include <map>
#include "kernels/conv3d/conv3d_cudnn_layer.h"
#include "kernels/conv3d/conv3d_suite.h"
#include "kernels/cudnn/nvidia_libraries.h"

using namespace kinema::kernels;

namespace {

struct Settings {
  std::string gpu = "bench/h200_device.json", suite = "bench/conv3d_shapes.csv";
  std::vector<std::string> types{"bf16", "f16", "f32", "tf32"};
  std::vector<int> rows;  ///< none: all
  bool csv = false;
};

Dtype type_named(const std::string& name) {
  if (name == "bf16") return Dtype::bf16;
  return name == "f16" ? Dtype::f16 : Dtype::f32;
}

/// The best ranked plan of a pass within the limit of workspaces, and without one.
struct Best {
  std::string engine = "none", notes, unlimited = "none";
  int64_t workspace = 0, unlimited_workspace = 0;
};

Best best_of(const Conv3dSuiteRow& row, Conv3dPass pass, Dtype type, const cudnn::Target& target) {
  const auto fresh = [&](const Shape& s) { return fresh_layout(type, s); };
  const cudnn::ConvolutionLayer layer =
      cudnn::layer_of(pass, row.options,
                      cudnn::cudnn_views(row.options, fresh(row.x), fresh(row.w),
                                         fresh(conv3d_output(row.options, row.x, row.w))));
  Best best;
  for (const cudnn::Plan& plan : plans_of(layer, target, 1)) {
    best.engine = plan.name;
    best.workspace = plan.workspace;
    best.notes = cudnn::text_of(plan.notes);
  }
  constexpr int64_t all = std::numeric_limits<int64_t>::max();
  for (const cudnn::Plan& plan : plans_of(layer, target, 1, all)) {
    best.unlimited = plan.name;
    best.unlimited_workspace = plan.workspace;
  }
  return best;
}

double megabytes(int64_t bytes) { return double(bytes) / (1 << 20); }

void print(const Conv3dSuiteRow& row, const char* pass, const std::string& type, const Best& b,
           bool csv) {
  const std::string layer = row.layer.substr(0, row.layer.find(' '));
  if (csv) {
    std::cout << row.id << ',' << row.model << ',' << layer << ',' << pass << ',' << type << ','
              << b.engine << ',' << b.workspace << ",\"" << b.notes << "\"," << b.unlimited << ','
              << b.unlimited_workspace << '\n';
    return;
  }
  std::cout << std::left << std::setw(4) << row.id << std::setw(14) << row.model << std::setw(24)
            << layer << ' ' << std::setw(12) << pass << std::setw(5) << type << std::fixed
            << std::setprecision(2) << std::right << std::setw(7) << megabytes(b.workspace)
            << " MB  " << b.engine << (b.notes.empty() ? "" : " (" + b.notes + ")");
  if (b.unlimited != b.engine)
    std::cout << "; with " << megabytes(b.unlimited_workspace) << " MB " << b.unlimited;
  std::cout << '\n';
}

void run(const Settings& s) {
  const NvidiaLibrary found = nvidia_libraries().front();
  check(found.missing.empty(), found.missing);
  const cudnn::Target target(s.gpu);
  std::cout << "# cuDNN " << found.version << ", planning for " << s.gpu
            << "; deterministic engines, f32 exact, tf32 rounded, at most "
            << (cudnn::workspace_limit >> 20) << " MB of workspace\n";
  if (s.csv)
    std::cout << "id,model,layer,pass,type,engine,workspace_bytes,notes,unlimited_engine,"
                 "unlimited_workspace_bytes\n";
  std::map<std::string, std::array<int, 2>> counts;  // by pass and type: layers, those without
  for (Conv3dSuiteRow row : read_conv3d_suite(s.suite)) {
    if (!s.rows.empty() && std::ranges::find(s.rows, row.id) == s.rows.end()) continue;
    for (const Conv3dPass pass :
         {Conv3dPass::forward, Conv3dPass::grad_input, Conv3dPass::grad_weight})
      for (const std::string& type : s.types) {
        row.options.tf32 = type == "tf32";
        const Best best = best_of(row, pass, type_named(type), target);
        print(row, name_of(pass), type, best, s.csv);
        auto& [layers, without] = counts[std::string(name_of(pass)) + ' ' + type];
        ++layers;
        without += best.engine == "none";
      }
  }
  if (s.csv) return;
  for (const auto& [what, count] : counts)
    std::cout << what << ": " << count[0] << " layers, " << count[1] << " without an engine\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("What cuDNN would run for each layer of the suite of convolutions");
  app.add_option("--gpu", s.gpu, "file of the GPU's properties");
  app.add_option("--suite", s.suite, "file of the suite");
  app.add_option("--types", s.types, "of the suite's tensors")
      ->delimiter(',')
      ->check(CLI::IsMember({"bf16", "f16", "f32", "tf32"}));
  app.add_option("--rows", s.rows, "ids of the suite's rows alone")->delimiter(',');
  app.add_flag("--csv", s.csv, "as CSV");
  CLI11_PARSE(app, argc, argv);
  try {
    run(s);
  } catch (const Error& e) {
    std::cerr << "conv3d_cudnn_plans: " << e.what() << '\n';
    return 1;
  }
}
