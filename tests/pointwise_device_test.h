#pragma once
#include "kernels/device/map.h"
#include "kernels/pointwise/dropout_mask.cuh"
#include "tests/support/probe.h"

namespace kinema::test {

/// A pack whose place is asked for, and elements whose mask is; the same bytes on both sides.
struct PlaceAsked {
  kernels::device::Walk walk;
  kernels::device::Input<kernels::bf16> operand;
  int64_t pack;
};
struct MaskAsked {
  kernels::device::pointwise::DropoutMask mask;
  int64_t element;
};
inline constexpr int64_t places_asked = 4096, masks_asked = 1024;

/// Micro kernels for what no test has the memory for: tensors of more than 2^32 elements.
struct PointwiseProbes {
  Probe places;  ///< PlaceAsked -> [place][element, offset, 1 where it is whole]
  Probe masks;   ///< MaskAsked -> bits of the 8 elements from there on
};
KERNELS_OPTIONAL extern const PointwiseProbes pointwise_probes_cuda, pointwise_probes_emulated;

}  // namespace kinema::test
