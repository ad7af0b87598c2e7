#pragma once
#include <string>
#include <vector>
#include "kernels/base/backend.h"

namespace kinema::test {

/// What tensor_map() says of a tensor that breaks one of its limits, and what it must say.
struct MapRefusal {
  std::string got, expected;
};
/// `memory` is device memory of 4096 bytes.
using MapRefusals = std::vector<MapRefusal> (*)(void* memory);
KERNELS_OPTIONAL extern const MapRefusals map_refusals_cuda, map_refusals_emulated;
/// Encodes maps at every limit: all of these are taken.
using MapLimits = void (*)(void* memory);
KERNELS_OPTIONAL extern const MapLimits map_limits_cuda, map_limits_emulated;

}  // namespace kinema::test
