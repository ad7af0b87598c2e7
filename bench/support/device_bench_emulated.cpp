#include "bench/support/device_bench.h"

namespace kinema::bench {

extern const Settings default_settings;
const Settings default_settings = {.emulated = true, .small = true};
extern const kernels::Runtime& the_runtime;
const kernels::Runtime& the_runtime = kernels::runtime_emulated;

}  // namespace kinema::bench
