#include "kernels/conv3d/conv3d_fma.cuh"
#include "kernels/conv3d/conv3d_pointwise.cuh"

// grad_input of 1x1x1: pixels that a stride passes over are phases without a sum.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <class Product>
__global__ void __launch_bounds__(128, 3) grad_input_pointwise_kernel(
    const __grid_constant__ PointwiseProblem p,
    const __grid_constant__ GradFinish<typename Product::Element> finish) {
  pointwise_tiles<Product, Major::lines>(p, finish);
}

/// 64 columns; f32 as TF32 where the options allow it, else exact.
void grad_input_pointwise(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View dy,
                          View w, View dx, const Conv3dGradEpilogue& e) {
  const GemmProblem p = grad_input_problem(plan, o, dy, w, dx);
  dispatch_activation("conv3d", dy.dtype, [&]<class T>(T) {
    auto kernel = grad_input_pointwise_kernel<MmaProduct<T, 64, Major::lines>>;
    if constexpr (sizeof(T) == 4)
      if (!o.tf32) kernel = grad_input_pointwise_kernel<FmaProduct<64, Major::lines>>;
    launch_pointwise(stream, "conv3d.grad_input", plan, p, dy, kernel, GradFinish<T>(dx, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
