// train_step [STEPS BATCH FRAMES SIZE]: the network of bench/train_step.py, which runs it
// beside PyTorch; prints one line of JSON.
#include <sys/resource.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include "engine/nn/batch_norm.h"
#include "engine/nn/conv3d.h"
#include "engine/nn/linear.h"
#include "engine/nn/pool3d.h"
#include "engine/ops/reduce.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/optim/arena.h"
#include "engine/optim/sgd.h"
#include "engine/random.h"

using namespace kinema::engine;

namespace {

/// Convolution 3x3x3, batch norm with ReLU, max pool.
struct Block : nn::Module {
  nn::Conv3d conv;
  nn::BatchNorm norm{this, "norm", conv.weight.shape(0)};
  nn::MaxPool3d pool;

  Block(Module* parent, const std::string& name, int64_t in, int64_t out, int64_t frames)
      : Module(parent, name),
        conv(this, "conv",
             {.in = in, .out = out, .kernel = {3, 3, 3}, .padding = {1, 1, 1}, .bias = false}),
        pool(this, "pool", {.kernel = {frames, 2, 2}}) {}
  Tensor forward(const Tensor& x) {
    return pool.forward(norm.forward(conv.forward(x), {.relu = true}));
  }
};

struct Net : nn::Module {
  std::deque<Block> blocks;
  nn::Linear fc{this, "fc", 256, 12};

  Net() {
    const int64_t widths[] = {3, 32, 64, 128, 128, 256};
    for (size_t i = 0; i < 5; ++i)
      blocks.emplace_back(this, std::to_string(i), widths[i], widths[i + 1], i ? 2 : 1);
  }
  Tensor forward(Tensor x) {
    for (Block& b : blocks) x = b.forward(x);
    return fc.forward(global_average_pool(x));
  }
};

double resident_mb() {
  rusage use;
  getrusage(RUSAGE_SELF, &use);
  return double(use.ru_maxrss) / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  auto option = [&](int i, int64_t usual) { return argc > i ? std::atoll(argv[i]) : usual; };
  const int64_t steps = option(1, 4), batch = option(2, 8), frames = option(3, 16),
                size = option(4, 112);
  Net net;
  net.initialise(1);
  optim::ParameterArena arena(net);
  optim::Sgd sgd(arena, {.momentum = 0.9});
  const Tensor x = empty({batch, frames, size, size, 3});
  fill_uniform(x, -1, 1, {1, 2});
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < batch; ++i) classes.push_back(i % 12);
  const Tensor labels = from_vector<int64_t>({batch}, classes);
  const double start = resident_mb();
  std::printf("{\"seconds\": [");
  double last = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const auto began = std::chrono::steady_clock::now();
    arena.zero_grad();
    const Tensor loss = softmax_cross_entropy(net.forward(x), labels);
    backward(loss);
    sgd.step(0.01);
    last = item(loss);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("%s%.6f", step ? ", " : "", took.count());
  }
  std::printf("], \"start_mb\": %.1f, \"peak_mb\": %.1f, \"loss\": %.6f}\n", start, resident_mb(),
              last);
}
