#include <algorithm>
#include "kernels/conv3d/conv3d_planner.h"
#include "kernels/conv3d/conv3d_stem.h"

// stem: frames of at most 4 channels. Shared memory, tiles and registers are those of the kernels.

namespace kinema::kernels {

namespace {

constexpr int registers = 128, weight_registers = 168;

/// Forward: a tile of 256 pixels by 8 warps, each 32 pixels by all columns. Blocks stay for many
/// tiles, so that the filters, which they keep, count as nothing.
void offer_forward(Conv3dChoice& choice, int columns) {
  const Conv3dProblem& p = choice.problem;
  const bool march = columns == conv3d_march_columns;
  if (march && !conv3d_stem_marches(p.options, p.w)) return;
  const Conv3dStem s = conv3d_stem(p.options, p.x, p.w, p.dtype, conv3d_stem_pixels,
                                   march ? 1 : conv3d_stem_taps(p.w), march);
  if (!s.tiles) return;
  Conv3dPlan plan{.algorithm = Conv3dAlgorithm::stem,
                  .rows = conv3d_stem_pixels,
                  .columns = columns,
                  .depth = int(s.words * 4 / size_of(p.dtype)),
                  .stages = conv3d_stem_slabs,
                  .tiles = s.tiles * ceil_div(p.w[0], columns),
                  .pixel_tiles = s.tiles,
                  .threads = conv3d_stem_pixels,
                  .shared_bytes = conv3d_stem_shared_bytes(s, columns),
                  .box = {1, s.tile_h, s.tile_w}};
  // Marching, a tile is one frame of x times all frames of the filter.
  const int64_t multiplied = march ? columns * conv3d_march_taps : columns;
  const double stages = s.stages, steps = stages * s.words / 8, sums = double(plan.rows) * columns,
               fragments = (s.odd ? 2048 : 1024) + 32. * double(multiplied);
  const double flop = stages * 2 * plan.rows * double(multiplied) * plan.depth;
  Conv3dLoad load{.registers = registers,
                  .stage_bytes = double(s.slab_bytes),
                  .shared_bytes = steps * 8 * fragments + stages * s.slab_bytes + 8 * sums,
                  .l2_bytes = stages * s.slab_bytes + sums * double(size_of(p.dtype)),
                  .dram_bytes = conv3d_dram_bytes(p, choice.y),
                  .stays = true};
  if (p.by_mma())
    load.mma_flop = flop * (is_narrow(p.dtype) ? 1 : 2);
  else
    load.fma_flop = flop / 0.8, load.shared_bytes = 0;
  choice.offer_whole(plan, load);
}

/// grad_weight: parts are whole waves of blocks, so many that none sums more than 16384 pixels in
/// one chain of f32.
void offer_grad_weight(Conv3dChoice& choice) {
  const Conv3dProblem& p = choice.problem;
  const Conv3dStemWeight g = conv3d_stem_weight(p.options, p.x, p.w, p.dtype);
  const Conv3dStem& s = g.stem;
  if (!s.tiles) return;
  const int64_t dy_bytes = g.pixels * conv3d_stem_weight_pitch(p.dtype);
  Conv3dPlan plan{.algorithm = Conv3dAlgorithm::stem,
                  .rows = g.rows,
                  .columns = g.columns,
                  .depth = g.pixels,
                  .stages = g.slabs,
                  .tiles = g.blocks,
                  .pixel_tiles = 1,
                  .threads = g.pixels,
                  .shared_bytes = std::max(g.slabs * (s.slab_bytes + dy_bytes), g.sum_bytes),
                  .box = {1, s.tile_h, s.tile_w}};
  Conv3dLoad load{.registers = weight_registers,
                  .steps = s.tiles,
                  .stage_bytes = double(s.slab_bytes + dy_bytes),
                  .dram_bytes = conv3d_dram_bytes(p, choice.y)};
  const int64_t part_bytes = p.w.size() * 4, room = conv3d_most_workspace / part_bytes,
                wave = conv3d_residents(plan, load, choice.gpu) * choice.gpu.multiprocessors,
                chains = ceil_div(s.tiles * g.pixels, 16384);
  const int64_t parts = ceil_div(chains * g.blocks, wave) * wave / g.blocks;
  // One part where blocks are enough without; no more than what the pixels would fill.
  const int64_t full = choice.gpu.multiprocessors *
                       std::min<int64_t>(choice.gpu.shared_per_multiprocessor / plan.shared_bytes,
                                         choice.gpu.threads_per_multiprocessor / g.pixels);
  const int64_t whole = ceil_div(conv3d_pixels(choice.y), g.pixels);
  const int64_t most = g.blocks < full ? std::max<int64_t>(1, std::min({room, whole, s.tiles})) : 1;
  plan.splits =
      int(choice.asked.splits ? choice.asked.splits : std::clamp<int64_t>(parts, 1, most));
  plan.workspace_bytes = plan.splits > 1 ? plan.splits * part_bytes : 0;

  // A warp reads the rows for each step of 16 pixels (8 of f32), and single elements of x.
  const auto size = double(size_of(p.dtype)), tiles = double(s.tiles) / plan.splits,
             rows = double(g.march ? 8 * p.w[1] : std::min<int64_t>(p.w[0], g.rows)),
             columns = double(std::min<int64_t>(g.columns, p.w[2] * p.w[3] * p.w[4] * s.taps)),
             flop = tiles * 2 * g.pixels * columns * rows;
  load.l2_bytes = tiles * (s.slab_bytes + rows * g.pixels * size);
  load.shared_bytes = tiles * g.pixels * (columns * 4 + 256 * size);
  if (p.by_mma())
    load.mma_flop = flop * (is_narrow(p.dtype) ? 1 : 2);
  else
    load.fma_flop = flop / 0.8;
  choice.offer_whole(plan, load);
}

const char* lacks(const Conv3dProblem& p) {
  if (p.pass == Conv3dPass::grad_input) return "forward and grad_weight";
  if (!p.frames || p.x[4] > 4) return "pixels of at most 4 channels, side by side";
  if (p.options.dilation[2] != 1) return "no dilation of W";
  if (!p.x.size() || !p.w.size()) return "tensors that are not empty";
  return p.options.groups == 1 ? nullptr : "groups=1";
}

}  // namespace

const Conv3dPlanner conv3d_stem_planner = {
    Conv3dAlgorithm::stem, lacks, [](Conv3dChoice& choice) {
      if (choice.problem.pass == Conv3dPass::grad_weight) return offer_grad_weight(choice);
      for (const int columns : {64, 32, conv3d_march_columns}) offer_forward(choice, columns);
    }};

}  // namespace kinema::kernels
