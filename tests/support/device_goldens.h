#pragma once
#include "tests/support/device_check.h"
#include "tests/support/golden.h"

namespace kinema::test {

/// What the micro kernels of the conformance tests make of fixed inputs on a run's GPU, or in its
/// emulation: products of tensor cores, where their lanes read and write matrices, tiles of TMA,
/// and which bytes of shared memory wgmma reads by a descriptor, those included of which NVIDIA's
/// documents say little: base offsets, and starts between the patterns of a swizzle.
std::vector<Golden> goldens_of(const DeviceRun&);

}  // namespace kinema::test
