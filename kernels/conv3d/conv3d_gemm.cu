#include "kernels/conv3d/conv3d_gemm_launch.cuh"

// forward as implicit product by tensor cores: any shape, groups and alignment; f32 as TF32.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <class T, int Columns>
__global__ void __launch_bounds__(128, Columns > 64 ? 2 : 3)
    forward_kernel(const __grid_constant__ GemmProblem p, SplitSums split,
                   const __grid_constant__ ForwardFinish<T> finish) {
  gemm_tile<MmaProduct<T, Columns, Major::depth>, Major::depth>(p, split, finish);
}

/// f32 by TF32. A template of its own: of one, there are at most 8 kernels.
template <int Columns>
__global__ void __launch_bounds__(128, Columns > 64 ? 2 : 3)
    forward_tf32_kernel(const __grid_constant__ GemmProblem p, SplitSums split,
                        const __grid_constant__ ForwardFinish<float> finish) {
  gemm_tile<MmaProduct<float, Columns, Major::depth>, Major::depth>(p, split, finish);
}

/// 128, 96, 64 and 32 columns; f32: 128 and 64.
void forward_gemm(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x, View w,
                  View y, const Conv3dEpilogue& e) {
  const GemmProblem p = forward_problem(plan, o, x, w, y);
  dispatch_activation("conv3d", w.dtype, [&]<class T>(T) {
    const auto kernel = [&] {
      if constexpr (sizeof(T) == 4)
        return plan.columns == 128 ? forward_tf32_kernel<128> : forward_tf32_kernel<64>;
      else
        return plan.columns == 128  ? forward_kernel<T, 128>
               : plan.columns == 96 ? forward_kernel<T, 96>
               : plan.columns == 64 ? forward_kernel<T, 64>
                                    : forward_kernel<T, 32>;
    };
    launch_gemm(stream, "conv3d.forward", plan, p, kernel(), ForwardFinish<T>(y, o, e));
  });
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
