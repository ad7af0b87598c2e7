#pragma once
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/cudnn/plan.h"
#include "kernels/cudnn/tensor.h"

// A pass as cuDNN is told of it, and its plans.

namespace kinema::kernels::cudnn {

enum class NormPass : uint8_t { train_forward, infer_forward, train_grad };

/// All that a plan of cuDNN depends on beside the GPU.
struct NormLayer {
  NormPass pass = NormPass::train_forward;
  Layout x;  ///< and of all that has its shape
  Dtype dtype = Dtype::f32;
  bool relu = false;      ///< of train_grad: the sign is computed again from x
  bool residual = false;  ///< of forward
  auto operator<=>(const NormLayer&) const = default;
};

/// The ids of a graph's tensors. Inference has no running statistics: mean and rstd are read there.
enum NormId : int64_t {
  id_norm_x = 1,
  id_norm_y,
  id_norm_residual,
  id_norm_dy,
  id_norm_dx,
  id_norm_gamma,
  id_norm_beta,
  id_norm_mean,
  id_norm_rstd,
  id_norm_dgamma,
  id_norm_dbeta,
  id_norm_eps,       ///< f32, by value: on the host
  id_norm_momentum,  ///< likewise
  id_norm_running_mean,
  id_norm_running_var,
  id_norm_new_mean,
  id_norm_new_var,
  id_norm_virtual
};

/// The layer of a pass on tensors of one shape, x first; those that are not given are left out.
/// Zero lanes count as channels. Unsupported: tensors with gaps; rows of different lanes.
NormLayer norm_layer(NormPass, std::span<const View> tensors);

Descriptor graph_of(const NormLayer&, const Target&);

/// The best plans that serve, at most `most`. Sums run in f32.
std::vector<Plan> plans_of(const NormLayer&, const Target&, int64_t most);

}  // namespace kinema::kernels::cudnn
