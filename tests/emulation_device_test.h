#pragma once
#include <cstdint>
#include "kernels/base/backend.h"

namespace kinema::test {

/// A launch of a kernel of emulation_device_test.cu on memory of the device.
using EmulationRun = void (*)(kernels::Stream, int* memory);

/// Kernels that are right, and kernels with one mistake each; the line that a report must name says
/// "// HERE name", the other one "// THERE name".
struct EmulationKernels {
  EmulationRun many_readers, bytes_of_a_word, named_barrier, shared_atomics;  ///< right
  EmulationRun read_too_early, overwritten_too_early, written_twice, one_reader_of_many;
  EmulationRun shuffle_is_no_barrier, arrival_is_no_wait, atomic_beside_read;
};
KERNELS_OPTIONAL extern const EmulationKernels emulation_kernels_cuda, emulation_kernels_emulated;

}  // namespace kinema::test
