#include "kernels/conv3d/conv3d_plan_model.h"
#include <algorithm>
#include "kernels/conv3d/conv3d_planner.h"

namespace kinema::kernels {

namespace {

struct Model {
  int compute_capability, multiprocessors;
  Conv3dRates rates;
};

/// H200: 790 TFLOP/s of dense bf16 and 4.3 TB/s of copy were measured on one by wgmma and by the
/// driver; of the former mma.sync reaches 63 % (Luo et al., arXiv:2402.13499, table 9, H800); f32
/// as in its data sheet at the clock of those 790 (1.46 GHz); L2 is DeepGEMM's figure; shared
/// memory 128 bytes a clock. The others, A100 and A40: 85 % of their data sheets.
constexpr Model models[] = {
    {90, 132, {.mma = 498e12, .fma = 49e12, .shared = 24.7e12, .l2 = 8e12, .dram = 4.3e12}},
    {86, 84, {.mma = 127e12, .fma = 32e12, .shared = 15.9e12, .l2 = 2.5e12, .dram = 0.59e12}},
    {80, 108, {.mma = 265e12, .fma = 16.5e12, .shared = 16.6e12, .l2 = 4e12, .dram = 1.6e12}},
};

// Assumptions, none of them measured.
constexpr double launch_seconds = 3e-6,  ///< before the first block runs and behind the last
    block_seconds = 1.5e-6,  ///< in which a block fills its pipeline and stores its sums
    store_seconds = 0.5e-6,  ///< in which it stores them, where its pipeline stays full
    latency = 0.8e-6,        ///< of a load that misses L1
    most_of_l2 = 1.5,        ///< times its share, that a multiprocessor can load
    idle_warps = 2;          ///< n warps keep n / (n + idle_warps) of a multiprocessor busy

}  // namespace

Conv3dRates conv3d_rates(const Gpu& gpu) {
  const Model* m = std::begin(models);
  while (m + 1 != std::end(models) && m->compute_capability > gpu.compute_capability) ++m;
  const double share = double(gpu.multiprocessors) / m->multiprocessors;
  const Conv3dRates& r = m->rates;
  return {r.mma * share, r.fma * share, r.shared * share, r.l2 * share, r.dram * share};
}

int64_t conv3d_residents(const Conv3dPlan& p, const Conv3dLoad& load, const Gpu& gpu) {
  constexpr int64_t own = 1 << 10;  // shared memory that the system takes of each block
  const int64_t shared = p.shared_bytes + load.static_shared_bytes + own;
  return std::clamp<int64_t>(
      std::min({gpu.shared_per_multiprocessor / shared,
                gpu.registers_per_multiprocessor / (int64_t(load.registers) * p.threads),
                int64_t(gpu.threads_per_multiprocessor / p.threads)}),
      1, 32);
}

void conv3d_predict(Conv3dPlan& p, const Conv3dLoad& load, const Gpu& gpu) {
  const Conv3dRates rates = conv3d_rates(gpu);
  const int64_t blocks = p.tiles * p.splits, residents = conv3d_residents(p, load, gpu),
                slots = residents * gpu.multiprocessors, full = blocks / slots,
                last = ceil_div(blocks % slots, gpu.multiprocessors);
  p.waves = double(blocks) / double(slots);
  // n blocks side by side on a multiprocessor, whose share of the GPU's rates they divide. What
  // they have in flight bounds what they load: bytes over latency (Little's law).
  const double count = gpu.multiprocessors;
  const double work = count * std::max({load.mma_flop / rates.mma, load.fma_flop / rates.fma,
                                        load.shared_bytes / rates.shared});
  const double each = load.stays ? store_seconds : block_seconds;
  const auto side_by_side = [&](int64_t n) {
    if (!n) return 0.0;
    const double warps = double(n) * p.threads / 32, busy = warps / (warps + idle_warps);
    const double flight = double(n) * std::max(1, p.stages - 1) * load.stage_bytes / latency;
    const double most = std::min(flight, most_of_l2 * rates.l2 / count);
    return double(n) * std::max(work / busy, load.l2_bytes / most) + each / double(n);
  };
  const double blocks_time = double(full) * side_by_side(residents) + side_by_side(last);
  const double partial = double(p.workspace_bytes) / rates.dram;  // written, then read
  const double l2 = double(blocks) * load.l2_bytes / rates.l2,
               dram = load.dram_bytes / rates.dram + partial,
               second_pass = p.splits > 1 ? partial + launch_seconds : 0;
  p.predicted_us = (std::max({blocks_time, l2, dram}) + second_pass + launch_seconds) * 1e6;
}

}  // namespace kinema::kernels
