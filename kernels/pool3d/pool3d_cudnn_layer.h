#pragma once
#include "kernels/cudnn/plan.h"
#include "kernels/cudnn/tensor.h"
#include "kernels/pool3d/pool3d.h"

namespace kinema::kernels::cudnn {

enum class PoolPass : uint8_t { max_forward, max_grad, average_forward, average_grad };

/// All that a plan of cuDNN depends on beside the GPU. x stands for dx too, y for dy.
struct PoolLayer {
  PoolPass pass = PoolPass::max_forward;
  std::array<int64_t, 3> window{}, step{}, front{}, back{};
  Layout x, y;
  Dtype dtype = Dtype::f32;
  bool count_padding = true;
  Dtype taps = Dtype::u8;
  bool with_taps = false;  ///< forward leaves them
  auto operator<=>(const PoolLayer&) const = default;
};

/// The ids of a graph's tensors.
inline constexpr int64_t id_pool_x = 1, id_pool_y = 2, id_pool_taps = 3;

/// x and y lie without gaps. Unsupported: windows that reach beyond the padding and count it.
PoolLayer layer_of(PoolPass, const Pool3dOptions&, const View& x, const View& y, bool with_taps);

Descriptor graph_of(const PoolLayer&, const Target&);

/// The best plan that serves, or none. Sums of averages run in f32.
std::vector<Plan> plans_of(const PoolLayer&, const Target&, int64_t most);

}  // namespace kinema::kernels::cudnn
