#pragma once
#include <optional>
#include "kernels/conv3d/conv3d_gather.h"
#include "kernels/conv3d/conv3d_plan.h"

// Convolutions of many groups, depthwise ones among them, have two kinds of kernels:
//   packs   16-bit types; as many channels out of a group as into it, 1, 2, 4, 8, 16 or 32; stride
//           and dilation 1 in time; at most 3 taps in time and 9 in space, or 5 in time and 1 in
//           space; strides of at most 2 in space. Sixteen pixels by a pack of 8 channels at a time
//           on tensor cores, the weights of the pack's groups as blocks on a diagonal of zeros.
//   direct  everything else, product by product.
// Why: 27 products a result on the FMA pipe take longer than its bytes on the memory's, conversions
// and addresses not counted. A pack's block diagonal wastes 7 of 8 products of a depthwise filter,
// yet one read of shared memory then serves all taps in time, and 16 pixels by 8 channels cost a
// multiprocessor of an H200 about 24 clocks of tensor cores and 25 of shared memory, while their
// bytes take 27. Groups of 4 and 8 cost no more; tiles of 64 channels would waste 16 of 4's.

namespace kinema::kernels {

/// How results and sources lie to each other along h or w. Results that have the same taps are a
/// phase; result j of one lies at gather[phase].result_first + j * result_step, and its sources
/// between low + j * step and high + j * step.
struct Conv3dPackAxis {
  int phases = 1, step = 1, result_step = 1, low = 0, high = 0;
  int results = 0, sources = 0;  ///< of all phases
  Conv3dGatherAxis gather[2];
};

/// What a block makes of a frame: a rectangle of results of each phase, of some packs of 8
/// channels. A warp makes 64 results of a phase and a pack: `across` runs of 8 along w in each of
/// 8 / across rows; `sets` such lie below one another.
struct Conv3dPackBox {
  Conv3dPackAxis h, w;
  int packs = 1, across = 1, sets = 1;

  int rows() const { return sets * 8 / across; }
  int columns() const { return 8 * across; }
  int phases() const { return h.phases * w.phases; }
  int warps() const { return packs * phases() * sets; }
  /// Pixels of x (grad_input: dy) that they need; columns that a stride of w takes in turn lie
  /// together, so that neighbours for a result are neighbours in shared memory.
  int source_rows() const { return (rows() - 1) * h.step + h.high - h.low + 1; }
  int source_columns() const { return (columns() - 1) * w.step + w.high - w.low + 1; }
  int plane() const { return (source_columns() + w.step - 1) / w.step; }
  int64_t source_pixels() const { return int64_t(source_rows()) * plane() * w.step; }
  int result_pixels() const { return rows() * h.result_step * columns() * w.result_step; }
};
inline constexpr int conv3d_pack_pixels = 64;  ///< of a warp

/// A pack's channels of x that its channels of y depend on: so many packs.
inline int conv3d_packs_of_group(const Conv3dProblem& p) {
  return int(std::max<int64_t>(1, p.w[4] / 8));
}
/// Taps in time and space that the kernels have registers for.
struct Conv3dPackTaps {
  int time, space;
};
inline Conv3dPackTaps conv3d_pack_taps(const Shape& w) {
  const bool space = w[2] * w[3] > 1;
  return {w[1] == 1 && space ? 1 : w[1] <= 3 ? 3 : 5, space ? 9 : 1};
}

/// Warps that a multiprocessor has registers for, in multiples of its four parts: one block may
/// have all.
constexpr int conv3d_pack_warps(const Conv3dPackTaps& taps) {
  return taps.time == 5 || taps.time * taps.space > 9 ? 12 : 16;
}

/// The axes of a problem that packs take; the block's size is open.
Conv3dPackBox conv3d_pack_axes(const Conv3dProblem&);
/// Dynamic shared memory of a block, in the order in which it lies there.
struct Conv3dPackMemory {
  int64_t stage, stages, results, weights;
  int64_t total() const { return stage * stages + results + weights; }
};
Conv3dPackMemory conv3d_pack_memory(const Conv3dProblem&, const Conv3dPackBox&, int stages);

/// The box that a plan has chosen.
Conv3dPackBox conv3d_pack_box(const Conv3dProblem&, const Conv3dPlan&);

/// Results along w of a thread of the direct kernels: as far apart as the phases of a stride.
inline constexpr int conv3d_strip = 4;
/// Strips of such results along w.
int64_t conv3d_strips(const Conv3dProblem&);

/// Bytes of the weights that a block of the direct kernels keeps in shared memory: those of
/// `columns` channels; 0 where they are too many.
int64_t conv3d_direct_weights(const Conv3dProblem&, int columns);

/// Whether packs take the problem.
bool conv3d_takes_packs(const Conv3dProblem&);
/// The plan of either kind of kernels but for waves and time; none where there is one group. Direct
/// kernels have no stages.
std::optional<Conv3dPlan> conv3d_grouped_plan(const Conv3dProblem&, const Gpu&,
                                              const Conv3dOverride& = {});

}  // namespace kinema::kernels
