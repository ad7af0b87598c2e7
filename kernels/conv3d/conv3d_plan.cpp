#include "kernels/conv3d/conv3d_plan.h"
#include <algorithm>
#include <iomanip>
#include <sstream>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_planner.h"

namespace kinema::kernels {

namespace {

/// All algorithms; of equal predictions the first wins, so the general one comes last.
const Conv3dPlanner* const planners[] = {&conv3d_depthwise_planner, &conv3d_grouped_planner,
                                         &conv3d_pointwise_planner, &conv3d_halo_planner,
                                         &conv3d_stem_planner,      &conv3d_gemm_planner};

thread_local Conv3dOverride override_of_thread;

/// Splits that fill so many waves of blocks.
constexpr double waves_worth_a_look[] = {1, 0.5, 2, 3, 4};

}  // namespace

Conv3dChoice::Conv3dChoice(const Conv3dProblem& p, const Gpu& g, const Conv3dOverride& o)
    : problem(p), gpu(g), asked(o), y(conv3d_output(p.options, p.x, p.w)) {}

void Conv3dChoice::offer(const Conv3dPlan& plan, const Conv3dLoad& load, const Conv3dCut& cut) {
  if (asked.splits) return offer_split(plan, load, cut, asked.splits);
  offer_split(plan, load, cut, 1);
  const int64_t slots = conv3d_residents(plan, load, gpu) * gpu.multiprocessors;
  if (plan.tiles == 0 || plan.tiles >= slots || cut.bytes == 0) return;
  const int64_t most = std::min(cut.steps / cut.least, conv3d_most_workspace / cut.bytes);
  for (const double waves : waves_worth_a_look) {
    const auto splits = int64_t(waves * double(slots) / double(plan.tiles));
    if (splits > 1 && splits <= most) offer_split(plan, load, cut, int(splits));
  }
}

void Conv3dChoice::offer_split(Conv3dPlan plan, const Conv3dLoad& load, const Conv3dCut& cut,
                               int splits) {
  plan.splits = splits;
  plan.workspace_bytes = splits > 1 ? splits * cut.bytes : 0;
  Conv3dLoad part = load;
  part.steps = cut.steps;
  for (double* work : {&part.mma_flop, &part.fma_flop, &part.shared_bytes, &part.l2_bytes})
    *work /= splits;
  offer_whole(plan, part);
}

std::string Conv3dChoice::refusal(const Conv3dPlan& p, const Conv3dLoad& load) const {
  std::ostringstream why;
  const int64_t shared = p.shared_bytes + load.static_shared_bytes,
                registers = int64_t(load.registers) * p.threads;
  if (asked.columns && p.columns != asked.columns) {
    why << "its tiles have other numbers of columns, as " << p.columns;
  } else if (asked.stages && p.stages != asked.stages) {
    why << "its pipelines have other numbers of stages, as " << p.stages;
  } else if (p.splits > std::max<int64_t>(1, load.steps)) {
    why << "a sum has " << load.steps << " steps, too few for " << p.splits << " splits";
  } else if (p.workspace_bytes > conv3d_most_workspace) {
    why << p.splits << " splits need " << p.workspace_bytes << " bytes of workspace, at most "
        << conv3d_most_workspace << " are allowed";
  } else if (shared > gpu.shared_per_block) {
    why << "a block needs " << shared << " bytes of shared memory, the GPU has "
        << gpu.shared_per_block;
  } else if (registers > gpu.registers_per_multiprocessor) {
    why << "a block needs " << registers << " registers, the GPU has "
        << gpu.registers_per_multiprocessor;
  } else {
    why << "it needs " << p.tiles << " x " << p.splits << " blocks, more than a grid has";
  }
  return why.str();
}

void Conv3dChoice::offer_whole(const Conv3dPlan& offered, const Conv3dLoad& load) {
  const Conv3dPlan& p = offered;
  const bool wanted = (!asked.columns || p.columns == asked.columns) &&
                      (!asked.stages || p.stages == asked.stages) &&
                      (!asked.splits || p.splits == asked.splits);
  const bool legal = p.splits <= std::max<int64_t>(1, load.steps) &&
                     p.workspace_bytes <= conv3d_most_workspace &&
                     p.shared_bytes + load.static_shared_bytes <= gpu.shared_per_block &&
                     int64_t(load.registers) * p.threads <= gpu.registers_per_multiprocessor &&
                     p.threads <= 1024 && p.splits <= 65535 && p.tiles * p.splits <= INT32_MAX;
  if (!wanted || !legal) {
    // What was asked for and cannot be says more than what was not asked for.
    if (!offered_ || wanted) refused_ = p, load_of_refused_ = load;
    offered_ = true;
    return;
  }
  Conv3dPlan plan = p;
  conv3d_predict(plan, load, gpu);
  // Less by more than the rounding of a sum in another order.
  if (found_ && !(plan.predicted_us < best_.predicted_us * (1 - 1e-9))) return;
  best_ = plan;
  found_ = true;
}

const Conv3dPlan& Conv3dChoice::best() const {
  if (found_) return best_;
  std::ostringstream asked_for;
  if (asked.algorithm >= 0) asked_for << ' ' << name_of(Conv3dAlgorithm(asked.algorithm));
  if (asked.columns) asked_for << " columns=" << asked.columns;
  if (asked.stages) asked_for << " stages=" << asked.stages;
  if (asked.splits) asked_for << " splits=" << asked.splits;
  fail("conv3d: no plan", asked_for.str(), " for ", problem, " on ", gpu.name, ": ",
       offered_ ? refusal(refused_, load_of_refused_) : "nothing was offered");
}

Conv3dPlan conv3d_plan(const Conv3dProblem& p, const Gpu& gpu, const Conv3dOverride& asked) {
  check(asked.algorithm < conv3d_algorithms, "conv3d: expected an algorithm below ",
        conv3d_algorithms, ", got ", asked.algorithm);
  Conv3dChoice choice(p, gpu, asked);
  for (const Conv3dPlanner* planner : planners) {
    if (asked.algorithm >= 0 && asked.algorithm != int(planner->algorithm)) continue;
    const char* lacks = planner->lacks(p);
    check(!lacks || asked.algorithm < 0, "conv3d: ", name_of(planner->algorithm), " takes ", lacks,
          ", got ", p);
    if (!lacks) planner->offer(choice);
  }
  return choice.best();
}

double conv3d_dram_bytes(const Conv3dProblem& p, const Shape& y) {
  const auto size = double(size_of(p.dtype));
  const double x = double(p.x.size()), w = double(p.w.size()) * size, out = double(y.size()) * size;
  const double read = double(conv3d_pixels(y)) * double(conv3d_taps(p.w) * p.x[4]);
  if (p.pass == Conv3dPass::grad_input) return x * size + w + out;
  const double gradient = p.pass == Conv3dPass::grad_weight ? w / size * 4 : w;
  return std::min(x, read) * size + gradient + out;
}

Conv3dPlanScope::Conv3dPlanScope(const Conv3dOverride& o) : before_(override_of_thread) {
  override_of_thread = o;
}
Conv3dPlanScope::~Conv3dPlanScope() { override_of_thread = before_; }
const Conv3dOverride& Conv3dPlanScope::current() { return override_of_thread; }

std::ostream& operator<<(std::ostream& out, const Conv3dPlan& p) {
  std::ostringstream line;
  line << std::fixed << std::setprecision(2) << name_of(p.algorithm) << ' ' << p.rows << 'x'
       << p.columns << 'x' << p.depth << ", " << p.stages << " stages, " << p.splits
       << (p.splits == 1 ? " split, " : " splits, ") << p.tiles << " tiles, " << p.waves
       << " waves, " << std::setprecision(1) << p.predicted_us << " us predicted, "
       << double(p.workspace_bytes) / (1 << 20) << " MB of workspace";
  return out << line.str();
}

}  // namespace kinema::kernels
