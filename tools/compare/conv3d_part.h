#pragma once
#include "kernels/conv3d/conv3d.h"
#include "tools/compare/trial.h"

namespace kinema::tools::compare {

/// Some boxes of what a pass of a convolution writes: corners and the middle, few enough that the
/// reference computes them quickly.
std::vector<Part> conv3d_parts(const Shape& result, kernels::Conv3dPass);

/// Computes one of them: the same convolution of the slices that it depends on. `v` are the views
/// of the whole: x, w, y (or dy, w, dx; or x, dy, dw).
void run_conv3d_part(const kernels::Conv3d&, kernels::Conv3dPass, const kernels::Conv3dOptions&,
                     const Part&, const Views& v);

}  // namespace kinema::tools::compare
