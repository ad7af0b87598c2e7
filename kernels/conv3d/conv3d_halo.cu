#include "kernels/conv3d/conv3d_device.cuh"
#include "kernels/conv3d/conv3d_halo.cuh"

// forward by halo: requires a plan of conv3d_halo_plan(). Few columns (up to 32) have a kernel of
// their own, whose warps have 64 pixels each and multiply only the columns that are there.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <class T, int J>
__global__ void __launch_bounds__(halo_threads, halo_blocks)
    forward_halo_kernel(const HaloProblem p, const T* x, const T* w,
                        const ForwardFinish<T> finish) {
  halo<T, J, Major::depth>(p, x, w, finish);
}
template <class T>
__global__ void __launch_bounds__(halo_threads, halo_blocks)
    forward_halo_few_kernel(const HaloProblem p, const T* x, const T* w,
                            const ForwardFinish<T> finish) {
  halo<T, 4, Major::depth>(p, x, w, finish);
}

void forward_halo(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x, View w,
                  View y, const Conv3dEpilogue& e) {
  const HaloProblem p = halo_problem(Conv3dPass::forward, plan, o, x, w, y);
  dispatch_activation("conv3d", x.dtype, [&]<class T>(T) {
    const bool few = plan.columns <= 32;
    launch("conv3d.forward",
           few                 ? forward_halo_few_kernel<T>
           : plan.columns % 64 ? forward_halo_kernel<T, 6>
                               : forward_halo_kernel<T, 8>,
           halo_geometry(plan), stream, p, data<T>(x), data<T>(w), ForwardFinish<T>(y, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
