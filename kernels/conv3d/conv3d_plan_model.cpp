#include "kernels/conv3d/conv3d_plan_model.h"
#include <algorithm>

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
constexpr double launch_us = 3,  ///< until the first block runs and behind the last
    block_us = 1.5,              ///< a block fills its pipeline and empties its registers
    most_of_l2 = 1.5,            ///< times its share, where other multiprocessors want less
    idle_warps = 2;              ///< n warps keep n / (n + idle_warps) of a multiprocessor busy

}  // namespace

Conv3dRates conv3d_rates(const Gpu& gpu) {
  const Model* m = std::begin(models);
  while (m + 1 != std::end(models) && m->compute_capability > gpu.compute_capability) ++m;
  const double share = double(gpu.multiprocessors) / m->multiprocessors;
  const Conv3dRates& r = m->rates;
  return {r.mma * share, r.fma * share, r.shared * share, r.l2 * share, r.dram * share};
}

int64_t conv3d_residents(const Conv3dPlan& p, int registers, const Gpu& gpu) {
  constexpr int64_t own = 1 << 10;  // shared memory that the system takes of each block
  return std::max<int64_t>(
      1, std::min({gpu.shared_per_multiprocessor / (p.shared_bytes + own),
                   gpu.registers_per_multiprocessor / (int64_t(registers) * p.threads),
                   int64_t(gpu.threads_per_multiprocessor / p.threads), int64_t(32)}));
}

void conv3d_predict(Conv3dPlan& p, const Conv3dLoad& load, const Gpu& gpu) {
  const Conv3dRates rates = conv3d_rates(gpu);
  const double blocks = double(p.tiles) * p.splits, count = gpu.multiprocessors;
  const int64_t residents = conv3d_residents(p, load.registers, gpu);
  const int64_t at_once = residents * gpu.multiprocessors, all = p.tiles * p.splits;
  p.waves = blocks / double(at_once);
  // A multiprocessor that runs n blocks side by side: what is shared out takes n times as long.
  const double block = count * std::max({load.mma_flop / rates.mma, load.fma_flop / rates.fma,
                                         load.shared_bytes / rates.shared});
  const auto side_by_side = [&](int64_t n) {
    const double warps = double(n) * p.threads / 32, busy = warps / (warps + idle_warps);
    return n ? double(n) * block / busy * 1e6 + block_us / double(n) : 0;
  };
  const int64_t last = (all % at_once + gpu.multiprocessors - 1) / gpu.multiprocessors;
  const double work = double(all / at_once) * side_by_side(residents) + side_by_side(last);
  const double busiest = double(all / at_once * residents + last);
  const double l2 = std::max(blocks, busiest * count / most_of_l2) * load.l2_bytes / rates.l2 * 1e6;
  const double partial = 2 * double(p.workspace_bytes);
  const double dram = (load.dram_bytes + partial) / rates.dram * 1e6;
  const int launches = p.splits > 1 ? 2 : 1;
  p.predicted_us = std::max({work, l2, dram}) + launches * launch_us;
}

}  // namespace kinema::kernels
