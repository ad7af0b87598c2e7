#include "kernels/conv3d/conv3d_fma.cuh"
#include "kernels/conv3d/conv3d_gemm_launch.cuh"

// forward and grad_input as implicit product in exact f32: any shape, groups and alignment. Sums
// run through the whole depth in f32; of 13824 random products (C3D conv5) they were seen to err by
// 4e-6 of the largest sum, by 7e-6 where all products are positive.

namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d {

template <int Columns>
__global__ void __launch_bounds__(128, 3)
    forward_fma_kernel(const __grid_constant__ GemmProblem p, SplitSums split,
                       const __grid_constant__ ForwardFinish<float> finish) {
  gemm_tile<FmaProduct<Columns, Major::depth>, Major::depth>(p, split, finish);
}

template <int Columns>
__global__ void __launch_bounds__(128, 3)
    grad_input_fma_kernel(const __grid_constant__ GemmProblem p, SplitSums split,
                          const __grid_constant__ GradFinish<float> finish) {
  gemm_tile<FmaProduct<Columns, Major::lines>, Major::lines>(p, split, finish);
}

/// 64 and 32 columns.
void forward_fma(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View x, View w,
                 View y, const Conv3dEpilogue& e) {
  launch_gemm(stream, "conv3d.forward", plan, forward_problem(plan, o, x, w, y),
              plan.columns == 64 ? forward_fma_kernel<64> : forward_fma_kernel<32>,
              ForwardFinish<float>(y, o, e));
}

void grad_input_fma(Stream stream, const Conv3dPlan& plan, const Conv3dOptions& o, View dy, View w,
                    View dx, const Conv3dGradEpilogue& e) {
  launch_gemm(stream, "conv3d.grad_input", plan, grad_input_problem(plan, o, dy, w, dx),
              plan.columns == 64 ? grad_input_fma_kernel<64> : grad_input_fma_kernel<32>,
              GradFinish<float>(dx, o, e));
}

}  // namespace kinema::kernels::device::inline KERNELS_TWIN::conv3d
