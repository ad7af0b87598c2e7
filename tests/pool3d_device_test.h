#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"

namespace kinema::test {

/// The index functions of pooling on a device, for tensors that no memory holds.
struct Pool3dPlaces {
  /// n, t, h, w, c of pack i[k] of a tensor whose rows are cut into packs of `lanes`; both arrays
  /// on the device.
  void (*find)(kernels::Stream, const kernels::Shape&, int lanes, const int64_t* i, int64_t count,
               int* places);
};
KERNELS_OPTIONAL extern const Pool3dPlaces pool3d_places_cuda, pool3d_places_emulated;

}  // namespace kinema::test
