#pragma once
#include <algorithm>
#include <cstdint>
#include "kernels/base/error.h"

namespace kinema::kernels {

/// A reduction as device code sees it: for each of `groups`, `packs` sums side by side of `items`
/// terms each. A pack is what one load brings.
struct ReduceProblem {
  int64_t groups, packs, items;
  int pack_bytes;
};

/// How much work is worth a thread.
struct ReduceGrain {
  int64_t threads;     ///< that keep a device busy
  int64_t lane_items;  ///< a thread takes no fewer
  bool cut;            ///< whether the items of one sum may go to several blocks
};

/// Who does what: a block is `columns` packs side by side, times `lanes` threads that share the
/// items of a sum, times `groups`. Blocks are counted along tiles of columns, then along pieces of
/// the items, then along the groups. A function of its arguments alone: with a fixed grain, sums
/// have one order on all devices.
struct ReducePlan {
  static constexpr int threads = 256;

  int columns, lanes, groups;
  int64_t tiles, pieces = 1, group_blocks;
  int64_t items;  ///< of a piece
  int64_t blocks() const { return tiles * pieces * group_blocks; }

  ReducePlan(const ReduceProblem& p, const ReduceGrain& grain) {
    const auto ceil = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
    const int64_t work = p.groups * p.packs * p.items, bytes = work * p.pack_bytes,
                  wanted = std::clamp<int64_t>(work / grain.lane_items, 1, grain.threads);
    // Tiles of up to 64 packs leave few threads idle whatever the number of packs. Where threads
    // are wanting, narrower ones let more lanes share a sum: down to 128 bytes, of which DRAM loses
    // nothing, to 64 where an L2 cache holds x, and to a sector of 32 where x is small.
    const int64_t narrow = bytes > 32 << 20 ? 128 : bytes > 4 << 20 ? 64 : 32;
    const int narrowest = std::max(1, int(narrow) / p.pack_bytes);
    columns = int(ceil(p.packs, ceil(p.packs, 64)));
    while (columns > narrowest && p.groups * ceil(p.packs, columns) * threads < wanted)
      columns = std::max(narrowest, (columns + 1) / 2);
    tiles = ceil(p.packs, columns);
    // Two lanes at least where a row is one pack wide: a sector.
    const int64_t least = p.packs == 1 && p.items > 1 ? 2 : 1,
                  most = std::min<int64_t>(threads / columns, p.items / grain.lane_items);
    lanes = int(std::max(least, std::min(most, ceil(grain.threads, p.groups * p.packs))));
    groups = int(std::min<int64_t>({p.groups, 64, threads / (columns * lanes)}));  // CUDA: 64 in z
    group_blocks = ceil(p.groups, groups);
    const int64_t cuts = grain.threads / threads / (tiles * group_blocks),
                  room = p.items / std::max<int64_t>(256, 2 * grain.lane_items * lanes);
    items = std::max<int64_t>(1, p.items);
    if (grain.cut && cuts > 1 && room > 1) items = ceil(p.items, std::min(cuts, room));
    pieces = ceil(std::max<int64_t>(1, p.items), items);
  }
};

}  // namespace kinema::kernels
