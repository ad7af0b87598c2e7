#pragma once
#include <memory>
#include <string>
#include <vector>
#include "kernels/conv3d/conv3d_plan.h"

namespace kinema::kernels {

/// Overrides of layers' plans, one a line; # begins a comment:
///   forward 8,16,56,56,64 128,3,3,3,64 pad=1,1,1 : algorithm=gemm columns=64 stages=4 splits=2
/// Behind the colon stands what is to be chosen, the rest is left to the plan.
/// Errors of reading name file and line: no such file; a line that is not understood; a layer that
/// has two lines.
class Conv3dPlanFile {
 public:
  explicit Conv3dPlanFile(const std::string& path);
  /// The plan of the layer's line, else the plan's own. An Error names the line that is not
  /// allowed.
  Conv3dPlan plan(const Conv3dProblem&, const Gpu&) const;

 private:
  struct Line {
    Conv3dProblem problem;
    Conv3dOverride choice;
    std::string where;  ///< file:line
  };
  void add(const std::string& line, const std::string& where);
  std::vector<Line> lines_;
};

/// Overrides the plans of the whole process by a file while it lives; a thread's Conv3dPlanScope
/// goes before it. For programs: results are the same bits only under the same file.
class Conv3dPlanFileScope {
 public:
  explicit Conv3dPlanFileScope(const std::string& path);
  ~Conv3dPlanFileScope();
  Conv3dPlanFileScope(const Conv3dPlanFileScope&) = delete;
  Conv3dPlanFileScope& operator=(const Conv3dPlanFileScope&) = delete;

 private:
  std::shared_ptr<const Conv3dPlanFile> before_;
};

}  // namespace kinema::kernels
