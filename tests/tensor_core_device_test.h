#pragma once
#include "kernels/base/backend.h"
#include "kernels/base/view.h"

namespace kinema::test {

/// y[n,d,h,w,k] = sum of x[n, d*stride - padding + t, ...] * filter[k,t,r,s,c]; axes depth, height,
/// width.
struct ConvolutionCase {
  int64_t stride[3], padding[3];
};

/// Whole pipelines of the vocabulary: copies that run ahead, tensor cores, epilogues.
struct TensorCoreKernels {
  /// c[M,N] = a[M,K] * b[K,N]: cp.async, ldmatrix, mma.sync; a, b bf16 or f16, c f32.
  void (*multiply_mma)(kernels::Stream, kernels::View a, kernels::View b, kernels::View c);
  /// c[M,N] = a[M,K] * b[N,K]^T: TMA and wgmma by warps of their own; a, b, c bf16.
  void (*multiply_wgmma)(kernels::Stream, kernels::View a, kernels::View b, kernels::View c);
  /// The same pipeline behind im2col loads; C a multiple of 64; all bf16.
  void (*convolve)(kernels::Stream, const ConvolutionCase&, kernels::View x, kernels::View filter,
                   kernels::View y);
};
KERNELS_OPTIONAL extern const TensorCoreKernels tensor_core_kernels_cuda,
    tensor_core_kernels_emulated;

}  // namespace kinema::test
