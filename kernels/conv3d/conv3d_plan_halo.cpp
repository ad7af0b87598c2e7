#include <algorithm>
#include "kernels/conv3d/conv3d_halo.h"
#include "kernels/conv3d/conv3d_planner.h"

// halo: boxes of pixels, whose sources are read once for each 128 bytes of channels. Shared memory,
// tiles and registers are those of conv3d_halo.cuh.

namespace kinema::kernels {

namespace {

using Box = std::array<int, 3>;

constexpr int row_bytes = 128;  // of a pixel in shared memory
constexpr int threads = 128, registers = 255;
constexpr int static_bytes = 80;    // the mbarriers
constexpr int finish_columns = 32;  // whose sums and pixels a copy of the halo holds in the end

int64_t boxes_of(const Conv3dHalo& halo, const Box& box) {
  int64_t n = halo.images;
  for (size_t i = 0; i < 3; ++i) n *= ceil_div(halo.axis[i].results, box[i]);
  return n;
}

int64_t halo_rows(const Conv3dHalo& halo, const Box& box) {
  return int64_t(halo.extent(0, box[0])) * halo.extent(1, box[1]) * halo.extent(2, box[2]);
}

int64_t taps_of(const Conv3dHalo& halo) {
  return int64_t(halo.axis[0].taps) * halo.axis[1].taps * halo.axis[2].taps;
}

/// Columns that are multiplied: of few only those that are there, in eights.
int64_t multiplied(const Conv3dHalo& halo, int columns) {
  return columns > 32 ? columns : std::min<int64_t>(round_up(halo.columns, 8), columns);
}

/// Bytes that the warps read of shared memory for a tap and 128 bytes of channels.
double read_by_warps(const Conv3dHalo& halo, const Box& box, const Conv3dPlan& plan) {
  const double window = conv3d_halo_window(halo, box, plan.columns).taps;
  const double across = plan.rows == 128 ? 2 : 1, down = 4 / across;
  return row_bytes * (plan.rows * across * (window + 3) / (4 * window) +
                      double(multiplied(halo, plan.columns)) * down);
}

/// What all boxes cost, in clocks of a multiprocessor: 1300 products, 128 bytes of shared memory or
/// 40 of L2 each.
double cost_of(const Conv3dHalo& halo, const Box& box, const Conv3dPlan& plan) {
  const double products = double(plan.rows * multiplied(halo, plan.columns) * 64) / 1300;
  const double tap = std::max(products, read_by_warps(halo, box, plan) / 128);
  return double(boxes_of(halo, box)) *
         (double(taps_of(halo)) * tap + double(halo_rows(halo, box)) * row_bytes / 40);
}

/// Bytes of shared memory.
struct Parts {
  int64_t buffer, stage;
};
Parts parts_of(const Conv3dProblem& p, const Conv3dHalo& halo, const Box& box,
               const Conv3dPlan& plan) {
  const int64_t sums = plan.rows * (finish_columns * 4 + 8) + 4 * finish_columns * 4;
  const int64_t columns = ceil_div(plan.columns * size_of(p.dtype), row_bytes) * plan.depth;
  const int64_t weight_rows = p.pass == Conv3dPass::forward ? plan.columns : columns;
  return {round_up(std::max(halo_rows(halo, box) * row_bytes, sums), 1024),
          conv3d_halo_window(halo, box, plan.columns).taps * weight_rows * row_bytes};
}

/// The best box of plan.rows pixels among those that fit, else any. Eight rows of a fragment are
/// pixels side by side, which lie in different banks: a box is at least 8 wide.
Box box_of(const Conv3dChoice& choice, const Conv3dHalo& halo, const Conv3dPlan& plan) {
  Box best{};
  double least = 0;
  bool best_fits = false;
  for (int w = 8; w <= plan.rows; w *= 2)
    for (int h = 1; w * h <= plan.rows; h *= 2) {
      const Box box{plan.rows / (w * h), h, w};
      const auto [buffer, stage] = parts_of(choice.problem, halo, box, plan);
      const bool fits = buffer + 2 * stage + 1024 + static_bytes <= choice.gpu.shared_per_block;
      const double cost = cost_of(halo, box, plan);
      if (best[0] && (best_fits > fits || (best_fits == fits && cost >= least))) continue;
      best = box;
      least = cost;
      best_fits = fits;
    }
  return best;
}

/// Offers tiles of so many columns, with every number of copies of the halo and of stages.
void offer_tile(Conv3dChoice& choice, const Conv3dHalo& halo, int columns) {
  const Conv3dProblem& p = choice.problem;
  const auto size = double(size_of(p.dtype));
  Conv3dPlan plan{.algorithm = Conv3dAlgorithm::halo, .columns = columns};
  plan.rows = columns > 64 ? 128 : 256;
  plan.depth = int(row_bytes / size_of(p.dtype));
  plan.threads = threads;
  plan.box = box_of(choice, halo, plan);
  plan.pixel_tiles = boxes_of(halo, plan.box);
  plan.tiles = plan.pixel_tiles * ceil_div(halo.columns, columns);
  const auto [buffer, stage] = parts_of(p, halo, plan.box, plan);
  const double taps = double(taps_of(halo)), chunks = double(ceil_div(halo.depth, plan.depth));
  const double flop = 2.0 * plan.rows * double(multiplied(halo, columns) * halo.depth) * taps;
  Conv3dLoad load{.registers = registers,
                  .static_shared_bytes = static_bytes,
                  .mma_flop = size > 2 ? 2 * flop : flop,
                  .shared_bytes = taps * chunks * read_by_warps(halo, plan.box, plan),
                  .l2_bytes = chunks * (double(buffer) + taps * columns * row_bytes) +
                              plan.rows * columns * size,
                  .dram_bytes = conv3d_dram_bytes(p, choice.y)};
  for (const int buffers : {2, 1})
    for (const int stages : {4, 3, 5, 2, 6, 7, 8}) {
      plan.buffers = buffers;
      load.stays = buffers > 1;  // the next box is copied while this one is stored
      plan.stages = stages;
      plan.shared_bytes = buffers * buffer + stages * stage + 1024;
      load.stage_bytes = double(stage) + double(buffers * buffer) / (stages - 1);
      choice.offer(plan, load);
    }
}

const char* halo_lacks(const Conv3dProblem& p) {
  const Conv3dOptions& o = p.options;
  if (p.pass == Conv3dPass::grad_weight) return "forward and grad_input";
  if (o.stride != std::array<int64_t, 3>{1, 1, 1}) return "stride=1,1,1";
  if (o.groups != 1) return "groups=1";
  if (conv3d_taps(p.w) <= 1) return "filters of several taps";
  if (!p.by_mma()) return "type=bf16, f16 or tf32";
  if (!p.aligned) return "rows on multiples of 16 bytes";
  return p.w.size() ? nullptr : "filters that have channels";
}

void offer_halo(Conv3dChoice& choice) {
  const Conv3dProblem& p = choice.problem;
  const Conv3dHalo halo = conv3d_halo(p.pass, p.options, p.x, p.w, choice.y);
  for (const int columns : {32, 48, 64, 96, 128})
    if (columns == 32 || halo.columns > 32 || choice.asked.columns)
      offer_tile(choice, halo, columns);
}

}  // namespace

const Conv3dPlanner conv3d_halo_planner = {Conv3dAlgorithm::halo, halo_lacks, offer_halo};

}  // namespace kinema::kernels
