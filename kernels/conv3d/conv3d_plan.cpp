#include "kernels/conv3d/conv3d_plan.h"
#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

namespace {
thread_local Conv3dOverride override_of_thread;
}

Conv3dPlan conv3d_plan(const Conv3dProblem& p, const Gpu&, const Conv3dOverride& o) {
  const Shape y = conv3d_output(p.options, p.x, p.w);
  Conv3dPlan plan{.rows = 128, .columns = 64, .stages = 3};
  if (o.algorithm >= 0) plan.algorithm = Conv3dAlgorithm(o.algorithm);
  if (o.columns) plan.columns = o.columns;
  if (o.stages) plan.stages = o.stages;
  if (o.splits) plan.splits = o.splits;
  plan.depth = is_narrow(p.dtype) ? 64 : 32;
  plan.threads = 128;
  plan.pixel_tiles = (y.size() / std::max<int64_t>(y[4], 1) + plan.rows - 1) / plan.rows;
  return plan;
}

Conv3dPlanScope::Conv3dPlanScope(const Conv3dOverride& o) : before_(override_of_thread) {
  override_of_thread = o;
}
Conv3dPlanScope::~Conv3dPlanScope() { override_of_thread = before_; }
const Conv3dOverride& Conv3dPlanScope::current() { return override_of_thread; }

std::ostream& operator<<(std::ostream& out, const Conv3dPlan& p) {
  return out << name_of(p.algorithm) << ' ' << p.rows << 'x' << p.columns << 'x' << p.depth << ", "
             << p.stages << " stages, " << p.splits << " splits";
}

}  // namespace kinema::kernels
