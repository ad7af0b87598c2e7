#include "engine/nn/linear.h"
#include "engine/nn/init.h"
#include "engine/ops/copy.h"

namespace kinema::engine::nn {

Linear::Linear(Module* parent, const std::string& name, const Config& c)
    : Module(parent, name), relu(c.relu) {
  weight = full({c.out, c.in}, 0);
  add_parameter("weight", weight, &working_weight);
  if (!c.bias) return;
  bias = full({c.out}, 0);
  add_parameter("bias", bias);
}

void Linear::reset(uint64_t seed) {
  const RandomKey key = key_of(seed, path() + ".weight");
  if (relu) {
    he_normal(weight, weight.shape(1), key);
  } else {
    xavier_uniform(weight, weight.shape(1), weight.shape(0), key);
  }
  if (bias) fill(bias, 0);
}

Tensor Linear::forward(const Tensor& x) const {
  auto scope = enter();
  return engine::linear(x, working_weight ? working_weight : weight, bias, relu);
}

}  // namespace kinema::engine::nn
