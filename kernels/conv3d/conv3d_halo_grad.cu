#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_halo.cuh"

// grad_input by halo: what conv3d_halo.cu does for forward, with the taps from behind, and weights
// as rows of columns.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <class T, int J>
__global__ void __launch_bounds__(halo_threads, halo_blocks)
    grad_input_halo_kernel(const HaloProblem p, const T* dy, const T* w,
                           const GradFinish<T> finish) {
  halo<T, J, Major::lines>(p, dy, w, finish);
}
template <class T>
__global__ void __launch_bounds__(halo_threads, halo_blocks)
    grad_input_halo_few_kernel(const HaloProblem p, const T* dy, const T* w,
                               const GradFinish<T> finish) {
  halo<T, 4, Major::lines>(p, dy, w, finish);
}

void grad_input_halo(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View dy, View w,
                     View dx, const Conv3dGradEpilogue& e) {
  const HaloProblem p = halo_problem(Conv3dPass::grad_input, plan, o, dy, w, dx);
  dispatch_activation("conv3d", dy.dtype, [&]<class T>(T) {
    const bool few = plan.columns <= 32;
    launch("conv3d.grad_input",
           few                 ? grad_input_halo_few_kernel<T>
           : plan.columns % 64 ? grad_input_halo_kernel<T, 6>
                               : grad_input_halo_kernel<T, 8>,
           halo_geometry(plan), stream, p, data<T>(dy), data<T>(w), GradFinish<T>(dx, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
