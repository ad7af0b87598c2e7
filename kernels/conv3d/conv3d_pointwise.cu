#include "kernels/conv3d/conv3d_fma.cuh"
#include "kernels/conv3d/conv3d_pointwise.cuh"

// forward of 1x1x1.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <class Product>
__global__ void __launch_bounds__(128, 3) forward_pointwise_kernel(
    const __grid_constant__ PointwiseProblem p,
    const __grid_constant__ ForwardFinish<typename Product::Element> finish) {
  pointwise_tiles<Product, Major::depth>(p, finish);
}

/// 64 columns; f32 as TF32 where the options allow it, else exact.
void forward_pointwise(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x,
                       View w, View y, const Conv3dEpilogue& e) {
  const GemmProblem p = forward_problem(plan, o, x, w, y);
  dispatch_activation("conv3d", x.dtype, [&]<class T>(T) {
    auto kernel = forward_pointwise_kernel<MmaProduct<T, 64, Major::depth>>;
    if constexpr (sizeof(T) == 4)
      if (!o.tf32) kernel = forward_pointwise_kernel<FmaProduct<64, Major::depth>>;
    launch_pointwise(stream, "conv3d.forward", plan, p, x, kernel, ForwardFinish<T>(y, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
