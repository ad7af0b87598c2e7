#pragma once
#include <algorithm>
#include <type_traits>
#include "kernels/device/device.h"
#include "kernels/device/launch.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/reduce_plan.h"

// A tensor is seen as groups of items: a group is what is summed into one element of y or, where
// the last axis stays, into one row of y. An item is a pack of N elements: that of one row of the
// group at the thread's column, or, where the last axis is summed too, any of the group. N is 1
// where addresses forbid packs.

namespace kinema::kernels::device::inline KERNELS_TWIN::reduce {

constexpr int threads = ReducePlan::threads;

/// Where the elements of each group lie.
class Items {
 public:
  Items(const ReduceOptions& o, const View& x, int lanes)
      : whole(o.axes[size_t(x.shape.rank - 1)]),
        length(x.shape[-1]),
        owned(x.shape[-1] + x.tail),
        groups(leading(o, x, false)),
        rows(leading(o, x, true)) {
    // A row may end within a pack if it owns the pack's other lanes; else a group's only row may.
    const bool ends = round_up(length, lanes) <= owned;
    rest = ends ? 0 : int(length % lanes);
    packs = FastDivisor(std::max<int64_t>(1, (length - rest + lanes - 1) / lanes));
    count = rows.rows() * (whole ? (length - rest + lanes - 1) / lanes : 1);
    even = rows.even() && (!whole || rows.rows() == 1 || rows.pitch() == packs.divisor() * lanes);
    pitch = whole ? lanes : rows.pitch();
    fit = lanes == 1 || (aligned(x) && (ends || (whole && rows.rows() == 1)));
  }

  /// Item i of a thread at column `pack`.
  struct Spot {
    int64_t offset;  ///< from the column's first element in the group
    bool last;       ///< of its row
  };
  template <int N>
  KERNELS_INLINE Spot spot(int64_t i, int64_t pack) const {
    const int64_t row = whole ? packs.quotient(i) : i, in_row = i - row * packs.divisor();
    return {rows(row) + (whole ? in_row * N : 0), (whole ? in_row : pack) + 1 == packs.divisor()};
  }
  ReduceProblem problem(int pack_bytes, int lanes) const {
    return {groups.rows(), whole ? 1 : (length + lanes - 1) / lanes, count, pack_bytes};
  }

  bool whole;  ///< the last axis is summed too
  bool even;   ///< items lie at one pitch
  bool fit;    ///< packs of so many lanes can be read
  int rest;    ///< elements behind the last pack of the only row of a group
  int64_t pitch, length, owned;
  RowIndex groups, rows;
  FastDivisor packs;  ///< of a row
  int64_t count;      ///< of a group

 private:
  static RowIndex leading(const ReduceOptions& o, View x, bool summed) {
    for (int a = 0; a < x.shape.rank - 1; ++a)
      if (o.axes[size_t(a)] != summed) x.shape[a] = 1;
    return RowIndex(x);
  }
};

/// What a thread does in one round: its sum, and which items of it. In a block, columns count along
/// x, lanes along y, groups along z.
struct Task {
  bool busy;
  int64_t group, pack, sum;  ///< `sum` counts the pieces of all groups
  int64_t first, end;        ///< every lanes-th item
};

class Tasks {
 public:
  Tasks(const ReduceProblem& p, const ReduceGrain& grain)
      : problem(p),
        plan(p, grain),
        tiles_(plan.tiles),
        pieces_(plan.pieces),
        blocks_(plan.blocks()) {}
  KERNELS_BOTH int64_t blocks() const { return blocks_; }
  Geometry geometry() const {
    const int size = plan.columns * plan.lanes * plan.groups;
    return {.grid = blocks_for(blocks_ * size, size),
            .block = dim3(unsigned(plan.columns), unsigned(plan.lanes), unsigned(plan.groups))};
  }
  KERNELS_INLINE Task operator()(int64_t block) const {
    const int64_t above = tiles_.quotient(block), group_block = pieces_.quotient(above),
                  piece = above - group_block * plan.pieces;
    Task t;
    t.pack = (block - above * plan.tiles) * plan.columns + threadIdx.x;
    t.group = group_block * plan.groups + threadIdx.z;
    t.sum = t.group * plan.pieces + piece;
    t.first = piece * plan.items + threadIdx.y;
    t.end = std::min(piece * plan.items + plan.items, problem.items);
    t.busy = t.group < problem.groups && t.pack < problem.packs;
    return t;
  }
  ReduceProblem problem;
  ReducePlan plan;

 private:
  FastDivisor tiles_, pieces_;
  int64_t blocks_;
};

/// f(count, i) for i = first, first + step, ... below end, by counts of Most (4 or 2) while there
/// are as many, then fewer: as many loads are under way.
template <int Most, class F>
KERNELS_INLINE void in_batches(int64_t first, int64_t end, int64_t step, F f) {
  int64_t i = first;
  if constexpr (Most == 4)
    for (; i + 3 * step < end; i += 4 * step) f(std::integral_constant<int, 4>(), i);
  for (; i + step < end; i += 2 * step) f(std::integral_constant<int, 2>(), i);
  if (i < end) f(std::integral_constant<int, 1>(), i);
}

void broadcast(Stream, const ReduceOptions&, View dy, View dx, bool accumulate);

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::reduce
