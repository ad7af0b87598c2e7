#include "models/base/conv_stack.h"
#include <algorithm>
#include "engine/ops/views.h"
#include "engine/recompute.h"

namespace kinema::models {

using engine::reshape;

ConvBlock::ConvBlock(Module* parent, const std::string& name, const Config& c)
    : Module(parent, name),
      conv(this, "conv",
           {.in = c.in,
            .out = c.out,
            .kernel = c.kernel,
            .padding = c.padding,
            .bias = !c.batch_norm}) {
  if (c.batch_norm) norm.emplace(this, "norm", c.out);
}

Tensor ConvBlock::forward(const Tensor& x) {
  if (!norm) return conv.forward(x, {.relu = true});
  return norm->forward(conv.forward(x), {.relu = true});
}

ConvStack::ConvStack(Module* parent, const std::string& name, const Config& c)
    : Module(parent, name), output(c.size), channels(3) {
  for (size_t i = 0; i < c.widths.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    if (i > 0) {
      engine::Pool3dOptions pool;
      for (size_t a = 0; a < 3; ++a) {
        const int64_t wanted = i == 1 ? c.pool[a] : std::min<int64_t>(c.pool[a], 2);
        pool.kernel[a] = std::min(wanted, output[a]);
        output[a] /= pool.kernel[a];
      }
      pools_.push_back(
          std::make_unique<engine::nn::MaxPool3d>(this, "pool" + std::to_string(i), pool));
    }
    ConvBlock::Config block{.in = channels,
                            .out = c.widths[i],
                            .kernel = i ? c.kernel : c.first_kernel,
                            .padding = i ? engine::nn::same(c.kernel) : c.first_padding,
                            .batch_norm = c.batch_norm};
    blocks_.push_back(std::make_unique<ConvBlock>(this, "block" + number, block));
    for (size_t a = 0; a < 3; ++a) output[a] += 2 * block.padding[a] + 1 - block.kernel[a];
    channels = block.out;
  }
}

/// A block and the pool behind it: between segments lies what is smallest.
Tensor ConvStack::segment(size_t i, const Tensor& x) const {
  const Tensor y = blocks_[i]->forward(x);
  // Pooling single pixels would be a copy.
  if (i == pools_.size() || pools_[i]->geometry.kernel == Triple{1, 1, 1}) return y;
  return pools_[i]->forward(y);
}

Tensor ConvStack::forward(const Tensor& x) {
  Tensor y = x;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto run = [this, i](const Tensor& in) { return segment(i, in); };
    y = checkpoints_activations() ? recomputed(run, y) : run(y);
  }
  return y;
}

Tensor fold_frames(const Tensor& x) {
  return reshape(x, {x.shape(0) * x.shape(1), 1, x.shape(2), x.shape(3), x.shape(4)});
}

Tensor unfold_frames(const Tensor& x, int64_t frames) {
  const int64_t clips = frames ? x.shape(0) / frames : 0;
  return reshape(x, {clips, frames, x.shape(2), x.shape(3), x.shape(4)});
}

}  // namespace kinema::models
