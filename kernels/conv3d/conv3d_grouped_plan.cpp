#include "kernels/conv3d/conv3d_grouped_plan.h"
#include <algorithm>
#include <bit>
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_planner.h"

namespace kinema::kernels {

namespace {

constexpr int64_t most_direct_weights = 48 << 10;       // bytes
constexpr int direct_threads = 256, direct_strips = 4;  // strips of a thread

Conv3dPackAxis axis_of(const Conv3dProblem& p, int i) {
  const Shape y = conv3d_output(p.options, p.x, p.w);
  Conv3dPackAxis axis;
  const auto reach = [&](const Conv3dGatherAxis& g) {
    const int last = g.first + (g.taps - 1) * g.tap_step;
    axis.low = std::min({axis.low, g.first, last});
    axis.high = std::max({axis.high, g.first, last});
  };
  if (p.pass != Conv3dPass::grad_input) {
    const Conv3dGatherAxis g = conv3d_forward_gather(p.options, p.x, p.w, y).axis[i];
    axis.low = axis.high = g.first;
    axis.step = g.step;
    axis.results = g.results;
    axis.sources = g.sources;
    axis.gather[0] = g;
    reach(g);
    return axis;
  }
  axis.phases = conv3d_phases(p.options, p.x, i);
  axis.result_step = int(p.options.stride[size_t(i)]);
  axis.results = int(p.x[i + 1]);
  axis.sources = int(y[i + 1]);
  for (int phase = 0; phase < axis.phases; ++phase) {
    int phases[3] = {};
    phases[i] = phase;
    axis.gather[phase] = conv3d_grad_input_gather(p.options, p.x, p.w, y, phases).axis[i];
    const Conv3dGatherAxis& g = axis.gather[phase];
    if (phase == 0) axis.low = axis.high = g.first;
    if (g.taps) reach(g);
  }
  return axis;
}

/// Channel packs of x and y.
int64_t packs_of(const Conv3dProblem& p) { return ceil_div(p.x[4], 8); }

/// Rectangles of results along h and w, all phases of one in each.
int64_t boxes(const Conv3dPackBox& b) {
  return ceil_div(b.h.results, int64_t(b.rows()) * b.h.result_step) *
         ceil_div(b.w.results, int64_t(b.columns()) * b.w.result_step);
}

/// Frames of results along time.
int64_t frames_of(const Conv3dProblem& p) {
  return p.pass == Conv3dPass::grad_input ? p.x[1] : conv3d_output(p.options, p.x, p.w)[1];
}

/// Blocks that run on a multiprocessor at once.
int64_t resident(const Conv3dProblem& p, const Conv3dPackBox& b, int64_t shared, const Gpu& gpu) {
  const int64_t by_registers = conv3d_pack_warps(conv3d_pack_taps(p.w)) / b.warps();
  return std::min(by_registers, gpu.shared_per_multiprocessor / (shared + 1024));
}

/// Bytes that a result costs, relative to those that it must: the padding of boxes and packs, the
/// halo, the sectors of 32 bytes that runs of packs cut; more where few warps share a barrier.
double cost_of(const Conv3dProblem& p, const Conv3dPackBox& b, int64_t blocks_at_once) {
  const int64_t packs = packs_of(p), pack_tiles = ceil_div(packs, b.packs);
  const double padded = double(boxes(b) * b.result_pixels()) / (double(b.h.results) * b.w.results) *
                        double(pack_tiles * b.packs) / double(packs);
  const double halo = double(b.source_pixels()) / double(b.result_pixels());
  const double sectors = pack_tiles > 1 ? 1 + 1.0 / b.packs : 1;
  const double idle = blocks_at_once * b.warps() >= 12 ? 1 : 1.3;
  return padded * (halo * sectors + sectors) * idle;
}

struct Choice {
  Conv3dPackBox box;
  int stages = 0;
  double cost = 0;
};

/// The most stages up to 4 with which as many blocks run at once as with 2.
Choice staged(const Conv3dProblem& p, const Gpu& gpu, const Conv3dPackBox& b, int stages) {
  const int64_t at_once = resident(p, b, conv3d_pack_memory(p, b, 2).total(), gpu);
  if (!stages) {
    stages = 4;
    while (stages > 2 && resident(p, b, conv3d_pack_memory(p, b, stages).total(), gpu) < at_once)
      --stages;
  }
  const int64_t shared = conv3d_pack_memory(p, b, stages).total();
  if (shared > gpu.shared_per_block || resident(p, b, shared, gpu) < 1) return {};
  return {b, stages, cost_of(p, b, resident(p, b, shared, gpu))};
}

Choice choose(const Conv3dProblem& p, const Gpu& gpu, int stages) {
  Choice best;
  const int of_group = conv3d_packs_of_group(p);
  const int most_warps = conv3d_pack_warps(conv3d_pack_taps(p.w));
  const int64_t most = std::min<int64_t>(most_warps, round_up(packs_of(p), of_group));
  Conv3dPackBox b = conv3d_pack_axes(p);
  for (b.packs = of_group; b.packs <= most; b.packs += of_group)
    for (b.across = 1; b.across <= 2; ++b.across)
      for (b.sets = 1; b.warps() <= most_warps; b.sets *= 2) {
        const Choice c = staged(p, gpu, b, stages);
        if (c.stages && (!best.stages || c.cost < best.cost)) best = c;
      }
  return best;
}

/// Frames of a block: the fewer, the more blocks; yet each reads the filter's frames more than it
/// makes, and starts a pipeline of its own.
int frames_of_block(const Conv3dProblem& p, int64_t columns, int64_t at_once) {
  const int64_t frames = frames_of(p);
  int best = int(frames);
  double least = 0;
  for (int64_t parts = 1; parts <= frames; ++parts) {
    const int64_t each = ceil_div(frames, parts);
    const int64_t waves = ceil_div(columns * ceil_div(frames, each), at_once);
    const double time = double(waves) * (double(each) + 0.5 * double(p.w[1] - 1) + 1);
    if (parts == 1 || time < least) least = time, best = int(each);
    if (waves > 8) break;
  }
  return best;
}

std::optional<Conv3dPlan> packs_plan(const Conv3dProblem& p, const Gpu& gpu,
                                     const Conv3dOverride& asked) {
  const Choice c = choose(p, gpu, asked.stages);
  if (!c.stages) return std::nullopt;
  const Conv3dPackBox& b = c.box;
  Conv3dPlan plan;
  plan.columns = b.packs * 8;
  plan.depth = 16;
  plan.stages = c.stages;
  plan.threads = b.warps() * 32;
  plan.shared_bytes = conv3d_pack_memory(p, b, c.stages).total();
  const bool weight = p.pass == Conv3dPass::grad_weight;
  const int64_t at_once = gpu.multiprocessors * resident(p, b, plan.shared_bytes, gpu);
  const int64_t channel_tiles =
      ceil_div(packs_of(p), b.packs) * (weight ? conv3d_packs_of_group(p) : 1);
  const int64_t columns = p.x[0] * boxes(b);  // of frames
  const int frames =
      std::max(1, frames_of_block(p, std::max<int64_t>(1, columns * channel_tiles), at_once));
  plan.box = {frames, b.rows() * b.h.result_step, b.columns() * b.w.result_step};
  plan.rows = frames * b.result_pixels();
  const int64_t pixel_tiles = columns * ceil_div(frames_of(p), frames);
  plan.pixel_tiles = weight ? 1 : pixel_tiles;
  plan.tiles = channel_tiles * plan.pixel_tiles;
  if (!weight) return plan;
  const Shape y = conv3d_output(p.options, p.x, p.w);
  const int64_t bytes = p.w.size() * 4,
                most = std::max<int64_t>(1, conv3d_most_workspace / std::max<int64_t>(1, bytes));
  const int64_t wanted =
      asked.splits ? asked.splits : std::max<int64_t>(1, at_once / channel_tiles);
  plan.splits = int(std::clamp<int64_t>(
      std::min({wanted, pixel_tiles, ceil_div(conv3d_pixels(y), plan.depth)}), 1, most));
  plan.workspace_bytes = plan.splits > 1 ? plan.splits * bytes : 0;
  return plan;
}

Conv3dPlan direct_plan(const Conv3dProblem& p, const Gpu& gpu, const Conv3dOverride& asked) {
  Conv3dPlan plan;
  plan.threads = direct_threads;
  const bool weight = p.pass == Conv3dPass::grad_weight;
  const int64_t channels = p.pass == Conv3dPass::grad_input ? p.x[4] : p.w[0];
  const bool by_packs = p.w[4] == 1 && p.w[0] == p.x[4];
  const int64_t lanes = by_packs ? 16 / size_of(p.dtype) : 1;
  // A power of two, so that blocks have 256 threads.
  const int64_t wanted_across = std::clamp<int64_t>(ceil_div(channels, lanes), 1, 32);
  const int64_t across = int64_t(std::bit_ceil(uint64_t(wanted_across)));
  plan.columns = int(across * lanes);
  const int64_t strips = direct_threads / across * direct_strips;
  plan.rows = int(strips * conv3d_strip);
  plan.depth = 1;
  // At last the threads' statistics, or sums, take the weights' place.
  plan.shared_bytes =
      weight ? direct_threads * 4
             : std::max<int64_t>(conv3d_direct_weights(p, plan.columns), direct_threads * 12);
  plan.pixel_tiles = weight ? 1 : ceil_div(conv3d_strips(p), strips);
  plan.tiles = plan.pixel_tiles * ceil_div(channels, plan.columns);
  if (!weight) return plan;
  plan.tiles *= p.w[1] * p.w[2] * ceil_div(p.w[3], conv3d_strip) * p.w[4];
  const Shape y = conv3d_output(p.options, p.x, p.w);
  const int64_t pixels = y[0] * y[1] * y[2] * y[3], bytes = p.w.size() * 4;
  const int64_t most = std::max<int64_t>(1, conv3d_most_workspace / std::max<int64_t>(1, bytes));
  const int64_t fill =
      ceil_div(int64_t(gpu.multiprocessors) * gpu.threads_per_multiprocessor / plan.threads,
               std::max<int64_t>(1, plan.tiles));
  const int64_t wanted =
      asked.splits ? asked.splits : std::min(fill, ceil_div(pixels, 16 * direct_threads / across));
  plan.splits = int(std::clamp<int64_t>(wanted, 1, most));
  plan.workspace_bytes = plan.splits > 1 ? plan.splits * bytes : 0;
  return plan;
}

}  // namespace

Conv3dPackBox conv3d_pack_axes(const Conv3dProblem& p) {
  Conv3dPackBox b;
  b.h = axis_of(p, 1);
  b.w = axis_of(p, 2);
  return b;
}

Conv3dPackMemory conv3d_pack_memory(const Conv3dProblem& p, const Conv3dPackBox& b, int stages) {
  constexpr int64_t pack = 16;
  const Conv3dPackTaps taps = conv3d_pack_taps(p.w);
  const int64_t of_group = conv3d_packs_of_group(p), fragments = taps.time * ((taps.space + 1) / 2);
  Conv3dPackMemory m{b.packs * b.source_pixels() * pack, stages, 0, 0};
  if (p.pass == Conv3dPass::grad_weight) {
    m.stage += int64_t(b.packs) * b.result_pixels() * pack;
    // The sums take the place of the stages at last.
    const int64_t sums = b.packs * taps.time * taps.space * 8 * std::min<int64_t>(8, p.w[4]) * 4;
    m.results = std::max<int64_t>(0, sums - m.stage * stages);
    return m;
  }
  // Two frames of results; an odd number of packs a pixel, so that rows of 8 meet no bank twice.
  m.results = 2 * int64_t(b.result_pixels()) * (b.packs | 1) * pack;
  if (of_group > 1) m.weights = b.packs * of_group * b.phases() * fragments * 32 * 8;
  return m;
}

Conv3dPackBox conv3d_pack_box(const Conv3dProblem& p, const Conv3dPlan& plan) {
  Conv3dPackBox b = conv3d_pack_axes(p);
  b.packs = plan.columns / 8;
  b.across = plan.box[2] / b.w.result_step / 8;
  b.sets = plan.box[1] / b.h.result_step * b.across / 8;
  return b;
}

int64_t conv3d_strips(const Conv3dProblem& p) {
  const bool back = p.pass == Conv3dPass::grad_input;
  const Shape r = back ? p.x : conv3d_output(p.options, p.x, p.w);
  const int64_t phases = back ? conv3d_phases(p.options, p.x, 2) : 1;
  return r[0] * r[1] * r[2] * phases *
         ceil_div(ceil_div(r[3], std::max<int64_t>(1, phases)), conv3d_strip);
}

int64_t conv3d_direct_weights(const Conv3dProblem& p, int columns) {
  const bool back = p.pass == Conv3dPass::grad_input;
  const int64_t inner = back ? p.w[0] / p.options.groups : p.w[4];
  const int64_t bytes = conv3d_taps(p.w) * inner * columns * size_of(p.dtype);
  return bytes <= most_direct_weights ? bytes : 0;
}

bool conv3d_takes_packs(const Conv3dProblem& p) {
  const auto& o = p.options;
  const int64_t group = p.w[4], space = p.w[2] * p.w[3];
  return is_narrow(p.dtype) && p.x[4] == p.w[0] && group >= 1 && group <= 32 &&
         std::has_single_bit(uint64_t(group)) && o.stride[0] == 1 && o.dilation[0] == 1 &&
         p.w[1] <= (space == 1 ? 5 : 3) && space <= 9 && o.stride[1] <= 2 && o.stride[2] <= 2;
}

std::optional<Conv3dPlan> conv3d_grouped_plan(const Conv3dProblem& p, const Gpu& gpu,
                                              const Conv3dOverride& asked) {
  if (p.options.groups == 1 && p.x[4] > 1) return std::nullopt;
  std::optional<Conv3dPlan> plan;
  if (conv3d_takes_packs(p)) plan = packs_plan(p, gpu, asked);
  if (!plan) plan = direct_plan(p, gpu, asked);
  plan->algorithm = p.w[4] == 1 ? Conv3dAlgorithm::depthwise : Conv3dAlgorithm::grouped;
  return plan;
}

}  // namespace kinema::kernels
