#pragma once
#include <string>
#include "kernels/base/backend.h"

namespace kinema::test {

/// What cuDNN says of the first GPU, as JSON: with it cuDNN plans for this GPU where none is
/// (bench/h200_device.json). Null in a program without cuDNN. Errors: cuDNN is not installed, or
/// older than 9.11.
KERNELS_OPTIONAL std::string gpu_properties();

}  // namespace kinema::test
