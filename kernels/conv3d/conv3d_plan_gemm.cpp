#include <algorithm>
#include <numeric>
#include "kernels/conv3d/conv3d_planner.h"

// gemm and pointwise: implicit matrix products of tiles of 128 pixels, and gemm's grad_weight, of
// tiles of dw. Shared memory, tiles and registers are those of the kernels' own files.

namespace kinema::kernels {

namespace {

constexpr int threads = 128;  // of a block: 4 warps

/// A pass over pixels as a matrix product, for each group and phase of a strided grad_input.
struct Product {
  int64_t columns;       ///< channels made
  int64_t depth;         ///< channels summed over
  int64_t pixel_tiles;   ///< of 128 pixels, of all phases
  double taps;           ///< a phase, on average
  int64_t most_taps;     ///< a phase, at most
  bool packed;           ///< factors come in 16-byte copies
  int64_t value, chunk;  ///< bytes of a factor; factors of a row of 128 bytes
};

Product product_of(const Conv3dProblem& p, const Shape& y) {
  const bool back = p.pass == Conv3dPass::grad_input;
  const int64_t in = p.w[4], out = p.w[0] / p.options.groups, size = size_of(p.dtype);
  Product m{.columns = back ? in : out,
            .depth = back ? out : in,
            .pixel_tiles = 0,
            .taps = double(conv3d_taps(p.w)),
            .most_taps = conv3d_taps(p.w),
            .packed = p.aligned &&
                      (p.options.groups == 1 || (in * size % 16 == 0 && out * size % 16 == 0)),
            .value = size,
            .chunk = 128 / size};
  int64_t phases = 1, results = back ? p.x[0] : conv3d_pixels(y);
  for (int i = 0; back && i < 3; ++i) {
    const int64_t stride = p.options.stride[size_t(i)];
    phases *= std::max<int64_t>(1, std::min(stride, p.x[i + 1]));
    results *= ceil_div(p.x[i + 1], stride);
    const int64_t period = stride / std::gcd(stride, p.options.dilation[size_t(i)]);
    m.most_taps = m.most_taps / p.w[i + 1] * ceil_div(p.w[i + 1], period);
  }
  m.taps /= double(phases);
  m.pixel_tiles = phases * ceil_div(results, 128);
  return m;
}

/// What a block's warps read of shared memory a stage: each the rows of 128 bytes that its part of
/// the tile needs, `across` warps side by side.
double read_by_warps(const Conv3dPlan& p, int across) {
  const double warps = threads / 32, rows = p.rows * across / warps,
               columns = double(p.columns) / across;
  return warps * (rows + columns) * 128;
}

struct Tile {
  int columns, registers;
};

/// Offers a tile with every number of stages.
void offer_tile(Conv3dChoice& choice, Conv3dAlgorithm algorithm, const Product& m, const Tile& t) {
  const Conv3dProblem& p = choice.problem;
  const bool mma = p.by_mma(), back = p.pass == Conv3dPass::grad_input;
  Conv3dPlan plan{.algorithm = algorithm, .rows = 128, .columns = t.columns};
  plan.depth = int(m.chunk);
  plan.threads = threads;
  plan.pixel_tiles = m.pixel_tiles;
  plan.tiles = m.pixel_tiles * p.options.groups * ceil_div(m.columns, t.columns);
  const int64_t weight_rows = back ? m.chunk * ceil_div(t.columns * m.value, 128) : t.columns,
                stage = (plan.rows + weight_rows) * 128,
                sums = int64_t(plan.rows) * t.columns * int64_t(sizeof(float)),
                chunks = ceil_div(m.depth, m.chunk);
  const double steps = m.taps * double(chunks),
               flop = 2.0 * plan.rows * plan.columns * plan.depth * steps;
  // TF32 runs at half the rate; exact f32 on 32 columns waits for shared memory. Channels that are
  // not there are multiplied, as zeros, but not loaded; element by element loads take longer.
  const double rate = mma ? (p.dtype == Dtype::f32 ? 0.5 : 1) : t.columns < 64 ? 0.8 : 1;
  const double there = double(m.depth) / double(std::max<int64_t>(1, chunks) * m.chunk),
               row_bytes = 128 * (m.packed ? there : 4 * there);
  const bool stays = algorithm == Conv3dAlgorithm::pointwise;
  Conv3dLoad load{.registers = t.registers,
                  .stage_bytes = double(stage),
                  .dram_bytes = conv3d_dram_bytes(p, choice.y),
                  .stays = stays};
  (mma ? load.mma_flop : load.fma_flop) = flop / rate;
  if (mma)
    load.shared_bytes = steps * (double(stage) + read_by_warps(plan, t.columns > 32 ? 2 : 1));
  const Conv3dCut cut{.steps = m.most_taps * chunks, .least = 4, .bytes = plan.tiles * sums};
  for (const int stages : {4, 3, 5, 2}) {
    plan.stages = stages;
    // A block that stays loads the next tile while it stores sums; weights that fit stay with it.
    plan.shared_bytes =
        stays ? stages * stage + sums + 5120 : 1024 + std::max(stages * stage + 1280, sums + 3072);
    const bool weights_stay = stays && chunks && stages % chunks == 0;
    const double rows = double(plan.rows) + (weights_stay ? 0 : double(weight_rows));
    load.l2_bytes = steps * rows * row_bytes + double(sums) / 4 * double(m.value);
    choice.offer(plan, load, stays ? Conv3dCut{} : cut);
  }
}

struct WeightTile {
  int rows, columns, registers;
};

/// grad_weight: channels of dy times taps and channels of x, summed over pixels.
void offer_grad_weight(Conv3dChoice& choice) {
  const Conv3dProblem& p = choice.problem;
  const int64_t size = size_of(p.dtype), groups = p.options.groups, taps = conv3d_taps(p.w),
                out = p.w[0] / groups, across = taps * round_up(p.w[4], 16 / size);
  const bool mma = p.by_mma(), narrow = is_narrow(p.dtype);
  for (const auto& [rows, columns, registers] :
       {WeightTile{128, 256, 255}, {128, 128, 255}, {64, 256, 255}, {64, 64, 168}}) {
    if (!narrow && rows != columns) continue;
    // 256 columns have 64 rows only where 128 would multiply rows that are not there.
    const bool spare = round_up(out, 128) > round_up(out, 64);
    if (columns == 256 && spare != (rows == 64)) continue;
    Conv3dPlan plan{.rows = rows, .columns = columns, .depth = narrow ? 64 : 32};
    const int side = rows * columns >= 128 * 128 ? 64 : 32,  // of a warp's part of the tile
        warps = rows / side * (columns / side);
    plan.threads = 32 * warps;
    plan.pixel_tiles = 1;
    plan.tiles = ceil_div(out, rows) * ceil_div(across, columns) * groups;
    const int64_t stage = int64_t(rows + columns) * plan.depth * size,
                  steps = ceil_div(conv3d_pixels(choice.y), plan.depth);
    const double sums = 4.0 * rows * columns, flop = 2.0 * rows * columns * plan.depth;
    Conv3dLoad load{
        .registers = registers,
        .static_shared_bytes = narrow ? 5680 : 2864,
        .stage_bytes = double(stage),
        // Sums go to memory every 2048 pixels.
        .l2_bytes = double(steps) * (double(stage) + 2 * sums * plan.depth / 2048) + sums,
        .dram_bytes = conv3d_dram_bytes(p, choice.y)};
    (mma ? load.mma_flop : load.fma_flop) = double(steps) * flop * (mma && !narrow ? 2 : 1);
    if (mma) load.shared_bytes = double(steps) * double(stage + warps * 2 * side * 128);
    for (const int stages : {3, 4, 2}) {
      plan.stages = stages;
      plan.shared_bytes = stages * stage + 1024;
      choice.offer(plan, load, {.steps = steps, .least = 8, .bytes = p.w[0] * across * 4});
    }
  }
}

void offer_gemm(Conv3dChoice& choice) {
  const Conv3dProblem& p = choice.problem;
  if (p.pass == Conv3dPass::grad_weight) return offer_grad_weight(choice);
  const Product m = product_of(p, choice.y);
  constexpr auto gemm = Conv3dAlgorithm::gemm;
  if (p.by_mma()) offer_tile(choice, gemm, m, {128, 255});
  if (is_narrow(p.dtype)) offer_tile(choice, gemm, m, {96, 200});
  offer_tile(choice, gemm, m, {64, 168});
  if (is_narrow(p.dtype) || !p.by_mma()) offer_tile(choice, gemm, m, {32, 168});
}

const char* pointwise_lacks(const Conv3dProblem& p) {
  if (p.pass == Conv3dPass::grad_weight) return "forward and grad_input";
  const std::array<int64_t, 3> none = {0, 0, 0};
  const bool padded = p.options.pad_front != none || p.options.pad_back != none;
  return conv3d_taps(p.w) != 1 || padded ? "filters of one tap without padding" : nullptr;
}

void offer_pointwise(Conv3dChoice& choice) {
  const Product m = product_of(choice.problem, choice.y);
  constexpr auto pointwise = Conv3dAlgorithm::pointwise;
  offer_tile(choice, pointwise, m, {64, 168});
}

}  // namespace

const Conv3dPlanner conv3d_gemm_planner = {
    Conv3dAlgorithm::gemm, [](const Conv3dProblem&) -> const char* { return nullptr; }, offer_gemm};

const Conv3dPlanner conv3d_pointwise_planner = {Conv3dAlgorithm::pointwise, pointwise_lacks,
                                                offer_pointwise};

}  // namespace kinema::kernels
