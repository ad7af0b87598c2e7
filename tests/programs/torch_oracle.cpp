// torch_oracle IN OUT STEPS sgd|adamw: loads the weights, clips and labels that tests/torch_test.py
// wrote, runs the same network and optimiser, and writes outputs, gradients and the weights after
// STEPS steps.
#include <cstdio>
#include <cstdlib>
#include "engine/io/safetensors.h"
#include "engine/nn/batch_norm.h"
#include "engine/nn/conv3d.h"
#include "engine/nn/layer_norm.h"
#include "engine/nn/linear.h"
#include "engine/ops/copy.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/pool3d.h"
#include "engine/ops/reduce.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/optim/adamw.h"
#include "engine/optim/arena.h"
#include "engine/optim/sgd.h"

using namespace kinema::engine;

namespace {

/// The network of tests/torch_test.py.
struct Net : nn::Module {
  nn::Conv3d conv1{this,
                   "conv1",
                   {.in = 3,
                    .out = 10,
                    .kernel = {3, 3, 3},
                    .stride = {1, 2, 2},
                    .padding = {1, 1, 1},
                    .bias = false}};
  nn::BatchNorm norm1{this, "norm1", 10};
  nn::Conv3d conv2{this,
                   "conv2",
                   {.in = 10,
                    .out = 14,
                    .kernel = {3, 1, 3},
                    .padding = {2, 0, 1},
                    .dilation = {2, 1, 1},
                    .groups = 2}};
  nn::Conv3d conv3{this, "conv3", {.in = 14, .out = 14}};
  nn::BatchNorm norm3{this, "norm3", 14};
  nn::LayerNorm norm4{this, "norm4", 14};
  nn::Linear fc{this, "fc", 14, 5};

  Tensor forward(const Tensor& x) {
    Tensor h = norm1.forward(conv1.forward(x), {.relu = true});
    h = max_pool3d(
        h,
        {.kernel = {1, 3, 3}, .stride = {1, 2, 2}, .pad_front = {0, 1, 1}, .pad_back = {0, 1, 1}});
    h = conv2.forward(h, {.relu = true});
    h = norm3.forward(conv3.forward(h), {.residual = h, .relu = true});
    h = average_pool3d(h, {.kernel = {2, 2, 2}, .ceil_mode = true});
    h = norm4.forward(h);
    return fc.forward(global_average_pool(sigmoid(h)));
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const io::TensorFile in = io::read_safetensors(argv[1]);
  Net net;
  for (const auto& p : net.parameters()) copy(in.find(p.name), *p.tensor);
  optim::ParameterArena arena(net);
  const bool adamw = std::string(argv[4]) == "adamw";
  optim::Sgd sgd(arena, {.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3});
  optim::AdamW adam(arena, {.eps = 1e-3, .weight_decay = 0.1});
  std::vector<io::NamedValue> out;
  auto keep = [&](const std::string& name, const Tensor& t) {
    Tensor own = empty_like(t);
    copy(t, own);
    out.push_back({name, own});
  };
  const int steps = std::atoi(argv[3]);
  for (int step = 0; step < steps; ++step) {
    arena.zero_grad();
    const Tensor x = step == 0 ? parameter(in.find("x")) : in.find("x");
    const Tensor logits = net.forward(x);
    const Tensor loss = softmax_cross_entropy(logits, in.find("labels"), {.smoothing = 0.1});
    backward(loss);
    keep("loss." + std::to_string(step), loss);
    if (step == 0) {
      keep("logits", logits);
      keep("grad.x", gradient(x));
      for (const auto& p : net.parameters()) keep("grad." + p.name, gradient(*p.tensor));
    }
    if (adamw) {
      adam.step(0.01);
    } else {
      sgd.step(0.1);
    }
  }
  for (const auto& p : net.parameters()) keep("after." + p.name, *p.tensor);
  for (const auto& b : net.buffers()) keep("after." + b.name, *b.tensor);
  io::write_safetensors(argv[2], out);
}
