#pragma once
// What kernels are written with; launch.h is what starts them. Instructions on tensor cores and
// asynchronous copies have headers of their own.
#include "kernels/device/atomic.h"
#include "kernels/device/index.h"
#include "kernels/device/math.h"
#include "kernels/device/pack.h"
#include "kernels/device/twin.h"
#include "kernels/device/warp.h"
