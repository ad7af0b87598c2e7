#include "bench/support/bench.h"
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  const auto& op = kernels::conv3d_cpu;
  const auto backend = kernels::Backend::cpu;
  for (const auto& c : kernels::conv3d_cases) {
    if (std::string(c.tag) != "full") continue;
    const kernels::Shape out = kernels::conv3d_output(c.options, c.x, c.w);
    const engine::Tensor x = bench::random(c.x), w = bench::random(c.w), y = bench::random(out);
    const double bytes = 4.0 * double(c.x.size() + c.w.size() + out.size());
    const double flop = 2.0 * double(out.size()) * double(c.w.size() / c.w[0]);
    bench::add(bench::name("conv3d.forward", backend, c.what), bytes, flop,
               [=, &op] { op.forward({}, c.options, x.view(), w.view(), y.view(), {}); });
    bench::add(bench::name("conv3d.grad_input", backend, c.what), bytes, flop,
               [=, &op] { op.grad_input({}, c.options, y.view(), w.view(), x.view(), false); });
    bench::add(bench::name("conv3d.grad_weight", backend, c.what), bytes, flop,
               [=, &op] { op.grad_weight({}, c.options, x.view(), y.view(), w.view(), false); });
  }
  return bench::run(argc, argv);
}
