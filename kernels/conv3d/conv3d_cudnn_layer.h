#pragma once
#include "kernels/conv3d/conv3d.h"
#include "kernels/cudnn/plan.h"
#include "kernels/cudnn/tensor.h"

// A pass as cuDNN is told of it, and its plans.

namespace kinema::kernels::cudnn {

/// What a plan depends on beside the GPU.
struct ConvolutionLayer {
  Conv3dPass pass = Conv3dPass::forward;
  std::array<int64_t, 3> stride{}, dilation{}, front{}, back{};
  Layout x, w, y;
  Dtype dtype = Dtype::f32;
  bool exact = false;               ///< f32 whose factors are not rounded to TF32
  bool accumulate = false;          ///< adds to the result, which is the pass's x, w or y
  bool bias = false, relu = false;  ///< of forward: y = relu(sum + bias), bias f32
  auto operator<=>(const ConvolutionLayer&) const = default;
};

/// cuDNN's ids of a layer's tensors.
enum TensorId : int64_t { id_x = 1, id_w, id_y, id_bias, id_virtual };

/// The graph of a layer: convolution, then bias and ReLU as far as it has them.
Descriptor graph_of(const ConvolutionLayer&, const Target&);
/// See plans_of a graph.
std::vector<Plan> plans_of(const ConvolutionLayer&, const Target&, int64_t most,
                           int64_t workspace = workspace_limit);

/// The tensors of a pass as cuDNN is to see them. It refuses filters with gaps between their rows
/// and is slow where channels are no multiple of 16 bytes, so zero lanes that x and y own count as
/// channels, as the rows of fresh tensors have them: then filters have as many lanes, zeros too,
/// and lie without gaps. Depthwise ones have as many groups. In other groups lanes would shift
/// channels, so there the true ones stay.
struct CudnnViews {
  View x, w, y;  ///< w may have no memory: then it does not lie so, and is to be packed
};
CudnnViews cudnn_views(const Conv3dOptions&, const View& x, const View& w, const View& y);

/// The layer of a pass on such tensors.
ConvolutionLayer layer_of(Conv3dPass, const Conv3dOptions&, const CudnnViews&);

}  // namespace kinema::kernels::cudnn
