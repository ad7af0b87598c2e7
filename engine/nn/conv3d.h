#pragma once
#include "engine/nn/module.h"
#include "engine/ops/conv3d.h"

namespace kinema::engine::nn {

/// 3D convolution with weights [out, kt,kh,kw, in/groups]. He initialisation, fan-in (He et al.,
/// arXiv:1502.01852, eq. 10): normal with variance 2 / (kt*kh*kw*in/groups); bias 0.
class Conv3d : public Module {
 public:
  struct Config {
    int64_t in = 0, out = 0;
    std::array<int64_t, 3> kernel{1, 1, 1};
    std::array<int64_t, 3> stride{1, 1, 1};
    std::array<int64_t, 3> padding{0, 0, 0};  ///< both sides; see geometry for unequal ones
    std::array<int64_t, 3> dilation{1, 1, 1};
    int64_t groups = 1;
    bool bias = true;
  };
  Conv3d(Module* parent, const std::string& name, const Config& config);
  /// `extras.bias` is this module's own and must not be given.
  Tensor forward(const Tensor& x, Conv3dExtras extras = {}) const;

  Conv3dOptions geometry;
  Tensor weight, bias;
  Tensor working_weight;  ///< read in place of weight while precision() is narrow

 protected:
  void reset(uint64_t seed) override;
};

/// (k - 1) / 2 along each axis: keeps the size at stride 1 for odd k.
constexpr std::array<int64_t, 3> same(const std::array<int64_t, 3>& kernel) {
  return {(kernel[0] - 1) / 2, (kernel[1] - 1) / 2, (kernel[2] - 1) / 2};
}

}  // namespace kinema::engine::nn
