#include "bench/support/bench.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/reduce_cases.h"

using namespace kinema;

int main(int argc, char** argv) {
  for (const auto& c : kernels::reduce_cases) {
    if (std::string(c.tag) != "full") continue;
    kernels::ReduceOptions o;
    for (int a : c.axes) o.axes[size_t(a)] = true;
    const double bytes = 4.0 * double(c.x.size());
    const engine::Tensor x = bench::random(c.x), y = engine::empty(kernels::reduce_output(o, c.x)),
                         norm = engine::empty({1}, kernels::Dtype::f64);
    for (auto b : {kernels::Backend::cpu, kernels::Backend::reference}) {
      const auto& op = kernels::reduce(b);
      bench::add(bench::name("reduce.forward", b, c.x), bytes, 0,
                 [=] { op.forward({}, o, x.view(), y.view(), false); });
      bench::add(bench::name("reduce.broadcast", b, c.x), bytes, 0,
                 [=] { op.broadcast({}, o, y.view(), x.view(), false); });
      bench::add(bench::name("reduce.squared_norm", b, c.x), bytes, 0,
                 [=] { op.squared_norm({}, x.view(), norm.view(), false); });
    }
  }
  return bench::run(argc, argv);
}
