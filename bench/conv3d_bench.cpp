#include "bench/support/bench.h"
#include "kernels/conv3d/conv3d.h"
#include "kernels/conv3d/conv3d_cases.h"

using namespace kinema;

namespace {

/// All passes; the time in bf16 over that in f32, row by row, is what conversion costs.
void add_case(const kernels::Conv3dCase& c, kernels::Dtype type) {
  const auto& op = kernels::conv3d_cpu;
  const auto backend = kernels::Backend::cpu;
  const kernels::Shape out = kernels::conv3d_output(c.options, c.x, c.w);
  const engine::Tensor x = bench::random(c.x, type), w = bench::random(c.w, type),
                       y = bench::random(out, type), dw = bench::random(c.w);
  const auto activations = double(c.x.size() + out.size());
  const double bytes = double(kernels::size_of(type)) * (activations + double(c.w.size()));
  const double flop = 2.0 * double(out.size()) * double(c.w.size() / c.w[0]);
  const std::string what = std::string(c.what) + " " + name_of(type);
  bench::add(bench::name("conv3d.forward", backend, what), bytes, flop,
             [=, &op] { op.forward({}, c.options, x.view(), w.view(), y.view(), {}); });
  bench::add(bench::name("conv3d.grad_input", backend, what), bytes, flop,
             [=, &op] { op.grad_input({}, c.options, y.view(), w.view(), x.view(), {}); });
  bench::add(bench::name("conv3d.grad_weight", backend, what), bytes, flop,
             [=, &op] { op.grad_weight({}, c.options, x.view(), y.view(), dw.view(), false); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& c : kernels::conv3d_cases)
    for (auto type : {kernels::Dtype::f32, kernels::Dtype::bf16})
      if (std::string(c.tag) == "full") add_case(c, type);
  return bench::run(argc, argv);
}
