#include "bench/support/device_bench.h"

namespace kinema::bench {

extern const Settings default_settings;
const Settings default_settings = {};
extern const kernels::Runtime& the_runtime;
const kernels::Runtime& the_runtime = kernels::runtime_cuda;

}  // namespace kinema::bench
