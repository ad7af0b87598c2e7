#pragma once
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_plan.h"
#include "kernels/device/launch.h"

// The launch functions of the algorithms, each in a file conv3d_ALGORITHM*.cu. What they get is
// checked, has pixels, and suits the plan.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

using Forward = void(Stream, const Conv3dPlan&, const Conv3dOptions&, View x, View w, View y,
                     const Conv3dEpilogue&);
using GradInput = void(Stream, const Conv3dPlan&, const Conv3dOptions&, View dy, View w, View dx,
                       const Conv3dGradEpilogue&);
using GradWeight = void(Stream, const Conv3dPlan&, const Conv3dOptions&, View x, View dy, View dw,
                        bool accumulate);

Forward forward_gemm, forward_fma, forward_halo, forward_pointwise;
GradInput grad_input_gemm, grad_input_fma, grad_input_halo, grad_input_pointwise;
GradWeight grad_weight_gemm;
Forward forward_stem, forward_stem_march;
GradWeight grad_weight_stem;
Forward forward_grouped;
GradInput grad_input_grouped;
GradWeight grad_weight_grouped;

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
