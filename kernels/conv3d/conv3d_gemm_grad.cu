#include "kernels/conv3d/conv3d_gemm_launch.cuh"

// grad_input as implicit product by tensor cores, all phases of a stride in one launch.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <class T, int Columns>
__global__ void __launch_bounds__(128, Columns > 64 ? 2 : 3)
    grad_input_kernel(const __grid_constant__ GemmProblem p, SplitSums split,
                      const __grid_constant__ GradFinish<T> finish) {
  gemm_tile<MmaProduct<T, Columns, Major::lines>, Major::lines>(p, split, finish);
}

/// f32 by TF32. A template of its own: of one, there are at most 8 kernels.
template <int Columns>
__global__ void __launch_bounds__(128, Columns > 64 ? 2 : 3)
    grad_input_tf32_kernel(const __grid_constant__ GemmProblem p, SplitSums split,
                           const __grid_constant__ GradFinish<float> finish) {
  gemm_tile<MmaProduct<float, Columns, Major::lines>, Major::lines>(p, split, finish);
}

/// 128, 96, 64 and 32 columns; f32: 128 and 64.
void grad_input_gemm(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View dy, View w,
                     View dx, const Conv3dGradEpilogue& e) {
  const GemmProblem p = grad_input_problem(plan, o, dy, w, dx);
  dispatch_activation("conv3d", w.dtype, [&]<class T>(T) {
    const auto kernel = [&] {
      if constexpr (sizeof(T) == 4)
        return plan.columns == 128 ? grad_input_tf32_kernel<128> : grad_input_tf32_kernel<64>;
      else
        return plan.columns == 128  ? grad_input_kernel<T, 128>
               : plan.columns == 96 ? grad_input_kernel<T, 96>
               : plan.columns == 64 ? grad_input_kernel<T, 64>
                                    : grad_input_kernel<T, 32>;
    };
    launch_gemm(stream, "conv3d.grad_input", plan, p, kernel(), GradFinish<T>(dx, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
