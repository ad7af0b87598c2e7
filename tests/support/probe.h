#pragma once
#include "kernels/base/backend.h"

namespace kinema::test {

/// A micro kernel of a test with its launch: reads `in`, writes `out`, both on the device.
using Probe = void (*)(kernels::Stream, const void* in, void* out);

}  // namespace kinema::test
