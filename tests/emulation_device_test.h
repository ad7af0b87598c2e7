#pragma once
#include <cstdint>
#include <utility>
#include "kernels/base/backend.h"

namespace kinema::test {

/// A launch of a kernel of emulation_device_test.cu on memory of the device.
using EmulationRun = void (*)(kernels::Stream, int* memory);

struct EmulationShape {
  unsigned grid[3] = {1, 1, 1}, block[3] = {32, 1, 1}, cluster[3] = {1, 1, 1};
  int64_t shared_bytes = 0;
  bool cooperative = false;
};

/// Kernels that are right, and kernels with one mistake each; the line that a report must name says
/// "// HERE name", the other one "// THERE name".
struct EmulationKernels {
  // Right, of 64 threads where nothing else is said.
  EmulationRun many_readers, bytes_of_a_word, named_barrier, shared_atomics;
  EmulationRun order;  ///< 4 blocks: out[thread] = how many have stored before
  EmulationRun copy;   ///< 256 ints from memory[256] on to memory[0] on, in packs of 4
  // Races.
  EmulationRun read_too_early, overwritten_too_early, written_twice, one_reader_of_many;
  EmulationRun shuffle_is_no_barrier, arrival_is_no_wait, atomic_beside_read;
  // Races of blocks: 4 blocks, memory[256] is a 0.
  EmulationRun last_block, neighbours_of_a_word;  ///< right
  EmulationRun blocks_write_twice, read_of_another, in_place, last_block_unfenced;
  // Other mistakes.
  EmulationRun missing_thread, two_barriers, unequal_counts, arrived_twice, odd_count,
      no_such_barrier;
  EmulationRun different_operations, not_in_the_mask, endless_wait, grid_sync_alone, throws;
  EmulationRun too_much_shared, no_shared_pointer;
  EmulationRun behind_shared, behind_dynamic, behind_global, across_global, before_global,
      misaligned;
  /// first_index() and index_step() of a thread in a grid too large to run.
  std::pair<int64_t, int64_t> (*index_of)(unsigned block, unsigned blocks, unsigned thread,
                                          unsigned threads);
  void (*shaped)(kernels::Stream, const EmulationShape&);  ///< a kernel that does nothing
};
extern const EmulationKernels emulation_kernels;

}  // namespace kinema::test
