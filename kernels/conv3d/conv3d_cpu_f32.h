#pragma once
#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

/// The passes of the cpu backend on f32; other types come to them through conv3d_cpu.
extern const Conv3d conv3d_cpu_f32;

}  // namespace kinema::kernels
