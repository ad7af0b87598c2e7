#include "engine/nn/conv3d.h"
#include "engine/nn/init.h"
#include "engine/ops/copy.h"

namespace kinema::engine::nn {

Conv3d::Conv3d(Module* parent, const std::string& name, const Config& c)
    : Module(parent, name),
      geometry{.stride = c.stride,
               .dilation = c.dilation,
               .pad_front = c.padding,
               .pad_back = c.padding,
               .groups = c.groups} {
  check(c.groups >= 1 && c.in % c.groups == 0 && c.out % c.groups == 0, "conv3d: ", c.groups,
        " groups must divide ", c.in, " and ", c.out, " channels");
  weight = full({c.out, c.kernel[0], c.kernel[1], c.kernel[2], c.in / c.groups}, 0);
  add_parameter("weight", weight, &working_weight);
  if (!c.bias) return;
  bias = full({c.out}, 0);
  add_parameter("bias", bias);
}

void Conv3d::reset(uint64_t seed) {
  const int64_t fan_in = weight.shape(1) * weight.shape(2) * weight.shape(3) * weight.shape(4);
  he_normal(weight, fan_in, key_of(seed, path() + ".weight"));
  if (bias) fill(bias, 0);
}

Tensor Conv3d::forward(const Tensor& x, Conv3dExtras extras) const {
  auto scope = enter();
  extras.bias = bias;
  return engine::conv3d(x, working_weight ? working_weight : weight, geometry, extras);
}

}  // namespace kinema::engine::nn
