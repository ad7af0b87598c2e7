#include "kernels/conv3d/conv3d_grouped_plan.h"
#include "kernels/conv3d/conv3d_planner.h"

// What the kernels for many groups are predicted to take.

namespace kinema::kernels {

namespace {

void offer_grouped(Conv3dChoice& choice) {
  const Conv3dProblem& p = choice.problem;
  const Conv3dPlan plan = *conv3d_grouped_plan(p, choice.gpu, choice.asked);
  const auto results = double(p.pass == Conv3dPass::grad_input ? p.x.size() : choice.y.size());
  const double products = results * double(conv3d_taps(p.w) * p.w[4]);
  const auto blocks = double(std::max<int64_t>(1, plan.tiles * plan.splits)),
             size = double(size_of(p.dtype));
  Conv3dLoad load{.steps = plan.splits, .dram_bytes = conv3d_dram_bytes(p, choice.y)};
  if (plan.stages) {
    const Conv3dPackTaps taps = conv3d_pack_taps(p.w);
    const Conv3dPackBox box = conv3d_pack_box(p, plan);
    load.registers = 512 / conv3d_pack_warps(taps) * 4;
    load.stage_bytes = double(conv3d_pack_memory(p, box, plan.stages).stage);
    // Of a pack's 64 products a tap and pixel those between groups are wasted.
    load.mma_flop = 2 * products * 8 / double(std::min<int64_t>(8, p.w[4])) / blocks;
    // 512 bytes for 128 results and two taps in space; the copy in, the results out and back.
    load.shared_bytes =
        results * (2.0 * taps.space * conv3d_packs_of_group(p) + 4 * double(size)) / blocks;
    load.l2_bytes = load.dram_bytes * 1.5 / blocks;
  } else {
    // An instruction in eight multiplies; a thread has four loads under way.
    load.registers = 182;
    load.stage_bytes = plan.threads * 64.0;
    load.fma_flop = 2 * products * 8 / blocks;
    load.l2_bytes = products * size / 4 / blocks;
  }
  choice.offer_whole(plan, load);
}

const char* depthwise_lacks(const Conv3dProblem& p) {
  return p.w[4] == 1 && (p.options.groups > 1 || p.x[4] == 1) ? nullptr : "one channel a group";
}
/// Groups of many channels fill the tiles of a matrix product better than a thread's own sums.
const char* grouped_lacks(const Conv3dProblem& p) {
  return p.options.groups > 1 && p.w[4] != 1 ? nullptr : "groups of more than one channel";
}

}  // namespace

const Conv3dPlanner conv3d_depthwise_planner = {Conv3dAlgorithm::depthwise, depthwise_lacks,
                                                offer_grouped};
const Conv3dPlanner conv3d_grouped_planner = {Conv3dAlgorithm::grouped, grouped_lacks,
                                              offer_grouped};

}  // namespace kinema::kernels
