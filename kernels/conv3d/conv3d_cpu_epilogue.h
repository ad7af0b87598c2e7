#pragma once
#include "kernels/conv3d/conv3d.h"

namespace kinema::kernels {

/// What the epilogues ask for beyond oneDNN's passes, of results that are stored already. The
/// orders of all sums are fixed.

/// The statistics of y, all of whose pixels are one tile.
void conv3d_cpu_partials(const View& y, const View& partials);

/// dx = mask > 0 ? dx : 0, NaN counting as above 0.
void conv3d_cpu_mask(const View& dx, const View& mask);

/// The sums over dx, all of whose pixels are one tile.
void conv3d_cpu_sums(const View& dx, const Conv3dGradEpilogue&);

}  // namespace kinema::kernels
