#include "kernels/device/device.h"
#include "tests/pointwise_device_test.h"
#include "tests/support/probe.cuh"

namespace kinema::kernels::device::inline KERNELS_TWIN::pointwise_probes {

using test::PlaceAsked, test::MaskAsked;

__global__ void places_kernel(const PlaceAsked* in, int64_t* out) {
  for (int64_t i = first_index(); i < test::places_asked; i += index_step()) {
    const Walk::Place place = in[i].walk.place(in[i].pack);
    out[3 * i] = place.element;
    out[3 * i + 1] = in[i].operand.offset(in[i].walk, place);
    out[3 * i + 2] = in[i].walk.whole(in[i].pack);
  }
}

__global__ void masks_kernel(const MaskAsked* in, uint32_t* out) {
  for (int64_t i = first_index(); i < test::masks_asked; i += index_step())
    out[i] = in[i].mask.kept<8>(in[i].element) & 0xff;
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::pointwise_probes

namespace kinema::test {

using namespace kernels::device::pointwise_probes;
using kernels::device::probes::probe;

const PointwiseProbes KERNELS_DEVICE(pointwise_probes) = {.places = probe<places_kernel, 128, 2>,
                                                          .masks = probe<masks_kernel, 128, 2>};

}  // namespace kinema::test
