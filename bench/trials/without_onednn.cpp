// What uses oneDNN on the CPU, left empty: gpu_bench runs on machines without it.
#include "kernels/conv3d/conv3d.h"
#include "kernels/linear/linear.h"

namespace kinema::kernels {

const Conv3d conv3d_cpu = {};
const Linear linear_cpu = {};

}  // namespace kinema::kernels
